"""Columns of text to arrays of fixed width, and dates out of those; all of it vectorised.

Reads from : polars.Series of strings
Hands to   : text.parse, text.widths

Guarantees
- No text is cut: rows that do not fit are returned as a mask, and so are dates that are none.
- Dates are those of the ISO 8601 forms ``2024-01-31``, ``2024-01-31T12:30``, ``...:59``, ``...:59.25``, with
  a blank for the ``T`` and a ``Z`` at the end if you like; what the unit cannot hold exactly is an error.

NumPy's own parser was rejected: it cuts fractions silently and stops at the first error. Making one Python
string a cell is three times slower than moving all bytes of a column at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outcore.text.string_views import INLINE_BYTES, lengths, long_texts, short_texts

Mask = NDArray[np.bool_]

#: The longest date: 2024-01-31T12:30:59.123456789
DATE_BYTES = 29
#: Fields that are wider are filled one by one: masks as large as the rows, and larger, cost more.
LONG_BYTES = 1 << 11
_UNITS = {
    "D": 1,
    "h": 24,
    "m": 1440,
    "s": 86_400,
    "ms": 86_400_000,
    "us": 86_400 * 10**6,
    "ns": 86_400 * 10**9,
}
_MONTH_DAYS = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
#: Where each form must have what; "d" is a digit, "T" stands for a blank too.
_FORM = "dddd-dd-ddTdd:dd:dd.ddddddddd"


def fixed_width(
    texts: pl.Series, dtype: np.dtype[Any], out: NDArray[Any] | None = None
) -> tuple[NDArray[Any], Mask]:
    """Copy texts, none of them null, into an array of dtype S or U.

    Parameters
    ----------
    out : ndarray of zeros, of `dtype`, shape (n,), optional
        Filled and returned where texts are copied one by one, that is where `dtype` is wide.

    Returns
    -------
    values : ndarray of shape (n,)
    wrong : ndarray of bool, shape (n,)
        Texts that are longer than `dtype` is wide; their values mean nothing.
    """
    size, unit = (dtype.itemsize, np.uint8) if dtype.kind == "S" else (dtype.itemsize // 4, np.uint32)
    needed = lengths(texts) if dtype.kind == "S" else texts.str.len_chars().to_numpy()
    wrong = needed > size
    if wrong.any():
        texts = pl.select(pl.when(pl.Series(wrong)).then(pl.lit("")).otherwise(texts)).to_series()
        needed = np.where(wrong, 0, needed)
    if dtype.kind == "S" and needed.max(initial=0) <= INLINE_BYTES and size:
        return short_texts(texts, size), wrong
    if dtype.kind == "S" and size > LONG_BYTES:
        return long_texts(texts, np.zeros(len(texts), dtype) if out is None else out), wrong
    joined = texts.str.join("").item() or ""
    units = np.frombuffer(joined.encode() if dtype.kind == "S" else joined.encode("utf-32-le"), unit)
    cells = np.zeros((len(texts), size), unit)
    if size > LONG_BYTES:
        for cell, end, length in zip(cells, np.cumsum(needed, dtype=np.int64), needed, strict=True):
            cell[:length] = units[end - length : end]
    else:
        # The texts lie one after the other in `units`, in the order in which the mask is walked.
        cells[np.arange(size) < needed[:, None]] = units
    values: NDArray[Any] = cells.view(f"{dtype.kind}{size}")[:, 0]
    return values, wrong


def dates(texts: pl.Series, dtype: np.dtype[Any]) -> tuple[NDArray[Any], Mask]:
    """Turn texts into datetime64; null is NaT.

    Returns
    -------
    values : ndarray of dtype, shape (n,)
    wrong : ndarray of bool, shape (n,)
        Texts that are no date, or one that `dtype` cannot hold exactly.
    """
    missing = texts.is_null().to_numpy()
    plain = texts.fill_null("").str.strip_chars(" ")
    zulu = plain.str.ends_with("Z").to_numpy()
    fixed, wrong = fixed_width(plain.str.strip_suffix("Z"), np.dtype(f"S{DATE_BYTES}"))
    cells = fixed.view(np.uint8).reshape(-1, DATE_BYTES)
    wrong |= _misformed(cells)
    wrong |= zulu & (cells[:, 10] == 0)  # a day has no time zone
    unit, step = np.datetime_data(dtype)
    values, inexact = _count(cells, wrong | missing, _UNITS[unit])
    wrong = (wrong | inexact | (values % step != 0)) & ~missing
    result = (values // step).view(f"M8[{step}{unit}]").copy()
    result[missing] = "NaT"
    return result.astype(dtype, copy=False), wrong


def _misformed(cells: NDArray[np.uint8]) -> Mask:
    """Rows that do not follow the form, or end where they must not."""
    wrong = np.zeros(len(cells), bool)
    ends = (cells != 0).sum(axis=1)
    for at, wanted in enumerate(_FORM):
        byte, used = cells[:, at], ends > at
        if wanted == "d":
            right = (byte >= 0x30) & (byte <= 0x39)
        elif wanted == "T":
            right = (byte == ord("T")) | (byte == ord(" "))
        else:
            right = byte == ord(wanted)
        wrong |= used & ~right
    whole = (ends == 10) | (ends == 16) | (ends == 19) | (ends > 20)
    wrong |= ~whole
    return wrong


def _count(cells: NDArray[np.uint8], skip: Mask, per_day: int) -> tuple[NDArray[np.int64], Mask]:
    """Units since 1970 for each row, and the rows where that is impossible or not exact."""

    # Position by position: a whole matrix of int64 digits would take 232 bytes a row.
    def number(low: int, high: int) -> NDArray[np.int64]:
        total = np.zeros(len(cells), np.int64)
        for at in range(low, high):
            digit = np.where(skip | (cells[:, at] == 0), 0x30, cells[:, at])
            total *= 10
            total += digit
            total -= 0x30
        return total

    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    hour, minute, second, nanosecond = number(11, 13), number(14, 16), number(17, 19), number(20, 29)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    inside = (month >= 1) & (month <= 12)
    last = _MONTH_DAYS[np.where(inside, month, 0)] - ((month == 2) & ~leap)
    wrong = ~inside | (day < 1) | (day > last) | (hour > 23) | (minute > 59) | (second > 59)
    nanoseconds = ((hour * 60 + minute) * 60 + second) * 10**9 + nanosecond
    unit_ns = 86_400 * 10**9 // per_day
    days = _days(year, month, day)
    wrong |= nanoseconds % unit_ns != 0
    if per_day > 86_400 * 10**6:  # only nanoseconds are too fine for every year of four digits
        wrong |= (days < -106_751) | (days > 106_750)  # all days that an int64 holds to their end
    days = np.where(wrong, 0, days)
    return days * per_day + nanoseconds // unit_ns, wrong & ~skip


def _days(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days since 1970-01-01 in the Gregorian calendar, counted in years that start in March."""
    late = year - (month <= 2)
    era = late // 400
    of_era = late - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: NDArray[np.int64] = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days
