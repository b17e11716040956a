"""Columns of categories: which ones, what their codes are, and texts to codes.

Reads from : what the user asked for; polars.Series of texts
Hands to   : text.plan, text.columns, text.survey

Guarantees
- The code of a text is its place in the vocabulary; found vocabularies are sorted by their UTF-8 bytes, so
  codes do not depend on the order of the records or on how the text was cut.
- Texts are taken as they are, blanks around them included, as in other columns of text.
- Missing is -1, or `fill` where that is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outcore.errors import DTypeError, IngestError, OptionError
from outcore.text.schema import Column, listed, place_of, places_by_name
from outcore.text.schema_text import dtype_text
from outcore.text.texts import Mask

#: Which columns are categories, and their vocabularies where these are fixed.
CategoriesLike = str | int | Sequence[str | int] | Mapping[str | int, Sequence[str] | None]

#: A vocabulary that is found may have so many entries and bytes; a larger one must be given.
MAX_FOUND, MAX_FOUND_BYTES = 100_000, 16 << 20
#: Types of codes, and how many entries they are used for.
_CODE_TYPES = (("i1", 127), ("i2", 2**15 - 1), ("i4", 2**31 - 1))
MISSING_CODE = -1


def codes(series: pl.Series, column: Column, fill: float | None) -> tuple[NDArray[Any], Mask]:
    """Turn texts into their places in the vocabulary; null and "" are missing.

    Returns
    -------
    values : ndarray of column.dtype, shape (n,)
    wrong : ndarray of bool, shape (n,)
        Texts that are not in the vocabulary.
    """
    if not column.categories:
        found = pl.Series([None] * len(series), dtype=pl.UInt32)
    else:
        found = series.cast(pl.Enum(column.categories), strict=False).to_physical()
    nothing = found.is_null()
    wrong = nothing & ~(series.is_null() | (series == "").fill_null(False))
    values = found.fill_null(0).to_numpy().astype(column.dtype)
    if nothing.any():
        values[nothing.to_numpy()] = MISSING_CODE if fill is None else fill
    return values, wrong.to_numpy()


def as_wanted(given: CategoriesLike | None, known: Sequence[str]) -> dict[str | int, tuple[str, ...] | None]:
    """Bring the ways to name categories into one form: column to vocabulary, None where it is to be found.

    Raises
    ------
    OptionError
        Not names of columns, or a vocabulary that is none.

    Examples
    --------
    >>> as_wanted("carrier,origin", []), as_wanted({"origin": ["JFK", "LGA"]}, [])
    ({'carrier': None, 'origin': None}, {'origin': ('JFK', 'LGA')})
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {name: None if texts is None else _vocabulary(name, texts) for name, texts in given.items()}
    if isinstance(given, str):
        return dict.fromkeys([given] if given in known or "," not in given else given.split(","))
    if isinstance(given, (int, np.integer)):
        return {int(given): None}
    try:
        return dict.fromkeys(given)
    except TypeError as error:
        raise OptionError(
            f"categories={given!r} does not name columns ({error}).\n"
            'Use a name, a list of names, or vocabularies: categories={"carrier": ["AA", "UA"]}.'
        ) from error


def _vocabulary(name: object, texts: object) -> tuple[str, ...]:
    entries = list(texts) if isinstance(texts, Iterable) and not isinstance(texts, (str, bytes)) else None
    if entries is None or not all(isinstance(text, str) for text in entries):
        raise OptionError(
            f"categories[{name!r}] is {texts!r}, which is no list of texts.\n"
            f'Use categories={{{name!r}: ["a", "b"]}}, or categories=[{name!r}] to have them found.'
        )
    seen: set[str] = set()
    for text in entries:
        if text in seen:
            raise OptionError(
                f"categories[{name!r}] holds {text!r} twice, so its code is not clear.\nName each text once."
            )
        seen.add(text)
    return tuple(str(text) for text in entries)


def mark(
    columns: Sequence[Column],
    wanted: Mapping[str | int, tuple[str, ...] | None],
    file_names: Sequence[str],
    raw_names: Sequence[str],
    *,
    missing: Sequence[str],
    fill: float | None,
    matrix: bool,
) -> tuple[Column, ...]:
    """Make categories of the columns that are named.

    Parameters
    ----------
    missing : sequence of str
        Texts that stand for no value.
    matrix : bool
        Whether all columns have one type, which the codes have too then.

    Raises
    ------
    OptionError
        No such column, or a vocabulary with a text that means "missing".
    DTypeError
        The column's type has no room for the codes.
    """
    marked = list(columns)
    known = places_by_name(file_names, raw_names)
    for key, vocabulary in wanted.items():
        named = [i for i, column in enumerate(columns) if column.name == key]
        if not named:
            place = place_of(key, known, file_names, option="categories")
            named = [i for i, column in enumerate(columns) if column.place == place]
        if not named:
            raise OptionError(
                f"categories holds {key!r}, which is not kept; the columns kept are "
                f"{listed([column.name for column in columns])}.\nName it in columns= and dtype= too."
            )
        for i in named:
            marked[i] = as_category(columns[i], vocabulary, missing, fill, matrix=matrix)
    return tuple(marked)


def _refuse_missing(key: str, vocabulary: tuple[str, ...], missing: Sequence[str]) -> None:
    for text in ("", *missing):
        if text in vocabulary:
            raise OptionError(
                f"categories[{key!r}] holds {text!r}, which means a missing value.\n"
                f"Leave it out, or give na_values (--na) without {text!r}."
                if text
                else f"categories[{key!r}] holds an empty text, which means a missing value.\nLeave it out."
            )


def as_category(
    column: Column,
    vocabulary: tuple[str, ...] | None,
    missing: Sequence[str],
    fill: float | None,
    *,
    matrix: bool,
) -> Column:
    """Make a column one of categories; `vocabulary` is None where it is to be found.

    Raises
    ------
    DTypeError
        Its type has no room for the codes.
    OptionError
        `fill` is no code, or the vocabulary holds a text that means "missing".
    """
    if vocabulary is not None:
        _refuse_missing(column.name, vocabulary, missing)
    open_type = column.dtype.kind == "S" and column.dtype.itemsize == 0 and not matrix
    if not open_type and column.dtype.kind not in "iuf":
        raise DTypeError(
            f"{column.name} is a category, whose codes are whole numbers; its dtype is {column.dtype}.\n"
            f'Use dtype="{column.name}:category", or an integer type such as "i4".'
        )
    if column.dtype.kind == "u" and fill is None:
        raise DTypeError(
            f"{column.name} is a category of dtype {column.dtype}, which has no room for -1, the code of "
            "missing values.\nUse a signed type, or fill=VALUE (--fill VALUE) to stand for them."
        )
    if fill is not None and int(fill) != fill:
        raise OptionError(
            f"fill={fill!r} is no code of {column.name}, whose codes are whole numbers.\n"
            "Use a whole number that every column can hold."
        )
    sought = replace(column, categories=(), sought=True)
    return sought if vocabulary is None else settle(sought, vocabulary, fill)


def settle(column: Column, vocabulary: tuple[str, ...], fill: float | None) -> Column:
    """Give a column of categories its vocabulary, and the type of its codes where that is open.

    Raises
    ------
    DTypeError
        Its type holds fewer codes.
    """
    dtype = column.dtype
    if dtype.kind == "S":
        dtype = _code_type(len(vocabulary), fill)
    room = 2 ** (np.finfo(dtype).nmant + 1) if dtype.kind == "f" else np.iinfo(dtype).max + 1
    if len(vocabulary) > room:
        raise DTypeError(
            f"{column.name} has {len(vocabulary)} categories; {dtype} holds the codes of {room}.\n"
            f'Use dtype="{column.name}:{dtype_text(_code_type(len(vocabulary), fill))}", or leave it to '
            f'"{column.name}:category".'
        )
    return replace(column, dtype=dtype, categories=vocabulary, sought=False)


def _code_type(n: int, fill: float | None) -> np.dtype[Any]:
    for name, most in _CODE_TYPES:
        limits = np.iinfo(name)
        if n <= most and limits.min <= (MISSING_CODE if fill is None else fill) <= limits.max:
            return np.dtype(name)
    return np.dtype("i8")


class Vocabulary:
    """The different texts of one column, collected from chunks in any order."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._texts: set[str] = set()
        self._nbytes = 0

    def add(self, texts: Iterable[str]) -> None:
        """Take in the different texts of a chunk.

        Raises
        ------
        IngestError
            More than `MAX_FOUND` texts, or `MAX_FOUND_BYTES`.
        """
        new = set(texts) - self._texts
        self._texts |= new
        self._nbytes += sum(map(len, new))
        if len(self._texts) > MAX_FOUND or self._nbytes > MAX_FOUND_BYTES:
            raise IngestError(
                f"{self._name} has more than {MAX_FOUND} different texts, or {MAX_FOUND_BYTES >> 20} MB of "
                "them: too many to be found as categories.\n"
                f'Keep it as text, dtype="{self._name}:S", or give the vocabulary: '
                f"categories={{{self._name!r}: [...]}}."
            )

    def sorted(self) -> tuple[str, ...]:
        """All texts, in the order of their UTF-8 bytes."""
        return tuple(sorted(self._texts, key=str.encode))
