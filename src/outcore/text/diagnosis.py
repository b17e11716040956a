"""What is wrong with a cell, in words, and what to type about it.

Reads from : the text of a cell, and the column that it is in
Hands to   : text.faults

The kind of a fault is found for whole columns at once; the words are made cell by cell, for those that
somebody will read.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outcore.text.columns import Values, convert
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan
from outcore.text.schema import Column
from outcore.text.texts import dates

#: What the column `kind` of a rejects file may hold.
KINDS = ("fields", "quote", "encoding", "nul", "missing", "type", "range", "width", "category")
FIELDS, QUOTE, ENCODING, NUL, MISSING, TYPE, RANGE, WIDTH, CATEGORY = range(len(KINDS))

_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE
)
_FINER = ("ms", "us", "ns")

#: Characters of a cell that a message shows.
SHOWN = 60


def wrong_cells(series: pl.Series, column: Column, plan: Plan) -> NDArray[np.bool_]:
    """Find the cells that `text.columns.convert` cannot turn into values."""
    return convert(series, column, plan.meaning, truncate=plan.truncate).wrong


def kinds(texts: pl.Series, column: Column, meaning: Values) -> NDArray[np.int8]:
    """Say which kind of fault each cell has, all of them being wrong.

    Parameters
    ----------
    texts : polars.Series of str
        Null where the cell is missing.

    Examples
    --------
    >>> texts = pl.Series(["x", "300", None])
    >>> [KINDS[k] for k in kinds(texts, Column(0, "a", np.dtype("i1")), Values((), None, "."))]
    ['type', 'range', 'missing']
    """
    plain, kind = texts.str.strip_chars(" \t"), column.dtype.kind
    if column.categories is not None or kind in "SU":
        return np.full(len(texts), WIDTH if column.categories is None else CATEGORY, np.int8)
    missing = np.zeros(len(texts), bool)
    if kind in "biu":
        missing = (plain.is_null() | plain.is_in(["", *meaning.na_values]).fill_null(True)).to_numpy()
    beyond = np.zeros(len(texts), bool)
    if kind == "M":
        for unit in ("s", "ns"):
            beyond |= ~dates(plain, np.dtype(f"M8[{unit}]"))[1]
    elif kind in "iu":
        beyond = plain.str.contains(r"^[+-]?[0-9]+$").fill_null(False).to_numpy()
    elif kind == "f":
        mark = re.escape(meaning.decimal)
        number = rf"(?i)^[+-]?([0-9]+{mark}?[0-9]*|{mark}[0-9]+)(e[+-]?[0-9]+)?$"
        beyond = plain.str.contains(number).fill_null(False).to_numpy()
    return np.where(missing, MISSING, np.where(beyond, RANGE, TYPE)).astype(np.int8)


def words(kind: int, text: str, column: Column, meaning: Values) -> tuple[str, str]:
    """Say what is wrong with a cell that cannot become a value, and what helps.

    Parameters
    ----------
    text : str
        The whole cell, without the quotes around it.

    Examples
    --------
    >>> what, cure = words(TYPE, "1,5", Column(0, "pct", np.dtype("f4")), Values((), None, "."))
    >>> print(what, cure, sep="; ")
    '1,5' is not float32; Use decimal="," (--decimal ,) if that is a decimal comma.
    """
    dtype, shown = column.dtype, repr(short(text))
    if kind == MISSING:
        return (
            f"{shown} is a missing value, which {_type_name(dtype)} cannot express",
            'Use fill=VALUE (--fill VALUE) to stand for missing values, or a float dtype ("f8") for NaN.',
        )
    if kind == WIDTH:
        return _too_wide(text, dtype)
    if kind == CATEGORY:
        known = column.categories or ()
        listed = ", ".join(map(repr, known[:5])) + (", ..." if len(known) > 5 else "")
        return (
            f"{shown} is not one of the {len(known)} categories: {listed}",
            f"Add it to the categories of {column.name}, or name the column alone "
            f"(categories={column.name!r}, --categories {column.name}) to find them in the files.",
        )
    if kind == RANGE:
        return f"{shown} is not {_type_name(dtype)}, {_limits(dtype)}", _roomier(text.strip(" "), column)
    return f"{shown} is not {_type_name(dtype)}", _cure(text.strip(" "), column, meaning)


def uneven_words(count: int, expected: int, record: str, dialect: Dialect) -> tuple[str, str]:
    """Say what is wrong with a record of too few or too many fields."""
    return (
        f"{count} field{'s' * (count != 1)}, expected {expected}: {short(record)!r}",
        f"Correct the line, or name another delimiter than {dialect.delimiter!r} (--delimiter)"
        + ("." if dialect.quote else ", or the quote (--quote)."),
    )


def quote_words(text: str, dialect: Dialect) -> tuple[str, str]:
    """Say what is wrong with a cell in which quotes stand where they mean nothing."""
    return (
        f"a quote {dialect.quote} stands in the middle of a field: {short(text)!r}",
        "Double it inside a quoted field, or use quote=None (--quote '') if quotes mean nothing here.",
    )


def encoding_words(cell: bytes, shown: str, encoding: str) -> tuple[str, str]:
    """Say what is wrong with a cell whose bytes are no characters.

    Parameters
    ----------
    cell : bytes
        As it stands in the file; empty if that is not at hand.
    """
    byte = ""
    try:
        cell.decode(encoding)
    except UnicodeDecodeError as error:
        byte = f"byte 0x{cell[error.start]:02x} of "
    # Not the repr: what is shown holds backslashes of its own.
    return (
        f"{byte}'{short(shown)}' is not {encoding}",
        'Use encoding="latin-1" (--encoding latin-1), or the encoding that the files have.',
    )


def nul_words(text: str) -> tuple[str, str]:
    """Say what is wrong with a cell that holds zero bytes."""
    return (
        f"'{short(text)}' holds a zero byte",
        "Zero bytes end text of dtype S, so nothing is read from such a cell. Correct the file, or recode it "
        'if it is UTF-16 (encoding="utf-16", --encoding utf-16).',
    )


def refused_words(record: str) -> tuple[str, str]:
    """Say that the parser refuses a record, and nobody knows why."""
    return f"the parser refuses this record: {short(record)!r}", "Check its quotes and numbers."


def short(text: str) -> str:
    """Shorten text for a message."""
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _type_name(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.isnative and dtype.kind in "biuf" else str(dtype)


def _too_wide(text: str, dtype: np.dtype[Any]) -> tuple[str, str]:
    size, unit = (len(text.encode()), "bytes") if dtype.kind == "S" else (len(text), "characters")
    width = dtype.itemsize // (1 if dtype.kind == "S" else 4)
    return (
        f"{short(text)!r} has {size} {unit}, {dtype.kind}{width} holds {width}; nothing is cut",
        f'Use "{dtype.kind}{size}" or wider, "{dtype.kind}" to measure the data first, or truncate=True '
        "(--truncate) to cut what is too long.",
    )


def _limits(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return f"the largest of which is {np.finfo(dtype).max:g}"
    if dtype.kind == "M":
        return "which is coarser than this, or ends before it"
    return f"which holds {np.iinfo(dtype).min} to {np.iinfo(dtype).max}"


def _roomier(text: str, column: Column) -> str:
    if column.dtype.kind == "M":
        digits = len(text.partition(".")[2].rstrip("Z"))
        finer = f"M8[{_FINER[(digits - 1) // 3] if digits else 's'}]"
        return f"Use a dtype for {column.name} that holds it, such as {finer!r}."
    return f"Use a dtype for {column.name} that holds it, such as {_wider(text, column)!r}."


def _cure(text: str, column: Column, meaning: Values) -> str:
    mark, kind = meaning.decimal, column.dtype.kind
    if kind in "fiu":
        if mark == "." and re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", text, re.IGNORECASE):
            return 'Use decimal="," (--decimal ,) if that is a decimal comma.'
        if mark == "," and re.fullmatch(r"[+-]?\d*\.\d+(e[+-]?\d+)?", text, re.IGNORECASE):
            return 'Use decimal="." (--decimal .) if that is a decimal point.'
        if _NUMBER.fullmatch(text.replace(mark, ".")):
            return f"Use a dtype for {column.name} that holds it, such as {_wider(text, column)!r}."
        if re.fullmatch(r"[+-]?\d{1,3}([,.' ]\d{3})+([.,]\d+)?", text):
            return (
                "Numbers are written without marks between thousands. Remove these, or keep the text: "
                f'give {column.name} the dtype "S{len(text)}".'
            )
    if kind == "M":
        return 'Dates are written 2024-01-31 or 2024-01-31T12:30:59; a dtype such as "S30" keeps any text.'
    extra = "Truth values are written true, t, yes, y, 1 and so on. " if kind == "b" else ""
    return (
        f"{extra}Add {short(text)!r} to na_values (--na) if it means a missing value, or give {column.name} "
        f'another dtype, such as "S{max(len(text.encode(errors="replace")), 1)}".'
    )


def _wider(text: str, column: Column) -> str:
    whole = re.fullmatch(r"[+-]?[0-9]+", text) is not None
    if column.dtype.kind == "f" or not whole:
        narrow = column.dtype.itemsize < 8 or column.dtype.kind != "f"
        too_large = abs(float(text.replace(",", "."))) == float("inf")
        return f"S{len(text)}" if too_large or not narrow else "f8"
    digits = text.lstrip("+-")
    if len(digits) <= 19 and -(2**63) <= int(text) < 2**63:
        return "i8"
    return "u8" if len(digits) <= 20 and 0 <= int(text) < 2**64 else "f8"
