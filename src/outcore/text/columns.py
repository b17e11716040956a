"""One column of parsed text to an ndarray of its dtype, with the rows where that is impossible.

Reads from : polars.Series, typed by Polars or still text
Hands to   : text.parse, text.faults
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outcore.text.categories import codes
from outcore.text.schema import Column
from outcore.text.texts import Mask, dates, fixed_width
from outcore.text.truncation import cut_to_fit

#: Types that Polars reads as they are; all others are read as text first.
_NATIVE: dict[str, pl.DataType] = {
    "i1": pl.Int8(), "i2": pl.Int16(), "i4": pl.Int32(), "i8": pl.Int64(),
    "u1": pl.UInt8(), "u2": pl.UInt16(), "u4": pl.UInt32(), "u8": pl.UInt64(),
    "f4": pl.Float32(), "f8": pl.Float64(),
}  # fmt: skip
_TRUE, _FALSE = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]
#: Bytes that turning a date into a number takes for each row.
DATE_WORK_BYTES = 256
#: The same for a text and its place in a vocabulary.
CODE_WORK_BYTES = 48


@dataclass(frozen=True)
class Values:
    """What stands for values.

    Attributes
    ----------
    na_values : tuple of str
        Texts that mean "missing"; an empty one always does.
    fill : int, float, bool or None
        Stands for missing numbers and truth values; None means NaN.
    decimal : str
        The decimal mark.
    """

    na_values: tuple[str, ...]
    fill: float | None
    decimal: str

    @property
    def hidden(self) -> bool:
        """Whether a missing value looks like a number, so that " -99" would be taken for one."""
        return any(_finite(text.replace(self.decimal, ".")) for text in self.na_values)


class Converted(NamedTuple):
    """A column of values.

    Attributes
    ----------
    values : ndarray of shape (n,)
        Of the column's dtype, or one that NumPy casts to it without loss.
    wrong : ndarray of bool, shape (n,)
        Cells that are no value of that dtype; what stands in `values` for them means nothing.
    cut : int
        How many texts were cut to fit.
    """

    values: NDArray[Any]
    wrong: Mask
    cut: int


def _finite(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def native_type(column: Column, decimal: str) -> pl.DataType:
    """Name the type that Polars shall read the column as."""
    kind = f"{column.dtype.kind}{column.dtype.itemsize}"
    if column.categories is not None:
        return pl.String()
    if column.dtype.kind == "f" and decimal != ".":
        return pl.String()  # Polars would take a point for a decimal mark too
    return _NATIVE.get(kind, pl.String())


def work_bytes(column: Column) -> int:
    """Bytes that turning a cell into a value takes, at most, besides the value."""
    if column.dtype.kind == "M":
        return DATE_WORK_BYTES
    if column.categories is not None:
        return CODE_WORK_BYTES
    return 24 + 3 * column.dtype.itemsize


def convert(
    series: pl.Series,
    column: Column,
    meaning: Values,
    *,
    truncate: bool = False,
    out: NDArray[Any] | None = None,
) -> Converted:
    """Turn a column into an ndarray.

    Parameters
    ----------
    truncate : bool
        Whether texts that are wider than the dtype are cut, between two characters, rather than wrong.
    out : ndarray of zeros, of the column's dtype, shape (n,), optional
        Filled and returned instead of new memory, where the column is of wide text; else left alone.
    """
    kind = column.dtype.kind
    if column.categories is not None:
        return Converted(*codes(series, column, meaning.fill), 0)
    if kind in "SU":
        # Filling copies all of the text, whether anything is missing or not.
        texts, cut = series.fill_null("") if series.null_count() else series, 0
        if truncate:
            texts, cut = cut_to_fit(texts, column.dtype)
        return Converted(*fixed_width(texts, column.dtype, out), cut)
    if kind == "M":
        values, wrong = dates(series, column.dtype)
        if wrong.any():  # for what is missing, there may be blanks around it, or quotes around nothing
            plain, missing = _plain(series, meaning)
            values, wrong = dates(pl.select(pl.when(~missing).then(plain)).to_series(), column.dtype)
        return Converted(values, wrong, 0)
    wrong = np.zeros(len(series), bool)
    if series.dtype == pl.String:
        series, wrong = _truths(series, meaning) if kind == "b" else _numbers(series, column.dtype, meaning)
    if meaning.fill is not None:
        series = series.fill_null(meaning.fill)
    elif kind != "f" and series.null_count():
        wrong = wrong | series.is_null().to_numpy()
        series = series.fill_null(strategy="zero") if kind != "b" else series.fill_null(False)
    return Converted(series.to_numpy().astype(column.dtype, copy=False), wrong, 0)


def _plain(texts: pl.Series, meaning: Values) -> tuple[pl.Series, pl.Series]:
    """Strip what Polars passes over before numbers that it reads itself; say which cells are missing."""
    plain = texts.str.strip_chars(" \t")
    return plain, plain.is_null() | plain.is_in(["", *meaning.na_values]).fill_null(True)


def _numbers(texts: pl.Series, dtype: np.dtype[Any], meaning: Values) -> tuple[pl.Series, Mask]:
    plain, missing = _plain(texts, meaning)
    wrong = pl.Series(np.zeros(len(texts), bool))
    if meaning.decimal != "." and dtype.kind == "f":
        wrong = plain.str.contains(".", literal=True).fill_null(False)
        plain = plain.str.replace(meaning.decimal, ".", literal=True)
    numbers = plain.cast(_NATIVE.get(f"{dtype.kind}{dtype.itemsize}", pl.Float64()), strict=False)
    wrong = wrong | numbers.is_null()
    if dtype.kind == "f":
        spelled = plain.str.contains("(?i)inf").fill_null(False)
        beyond = numbers.is_infinite()
        if dtype.itemsize == 2:
            beyond = beyond | ((numbers.abs() >= 65520) & ~numbers.is_nan())  # rounds to infinity
        wrong = wrong | (beyond & ~spelled).fill_null(False)
    numbers = pl.select(pl.when(~(missing | wrong)).then(numbers)).to_series()
    wrong = wrong & ~missing
    if wrong.any():
        numbers = pl.select(pl.when(wrong).then(0).otherwise(numbers)).to_series().cast(numbers.dtype)
    return numbers, wrong.to_numpy()


def _truths(texts: pl.Series, meaning: Values) -> tuple[pl.Series, Mask]:
    plain, missing = _plain(texts, meaning)
    lower = plain.str.to_lowercase()
    true, false = lower.is_in(_TRUE).fill_null(False), lower.is_in(_FALSE).fill_null(False)
    wrong = ~(true | false | missing)
    return pl.select(pl.when(~missing).then(true)).to_series(), wrong.to_numpy()
