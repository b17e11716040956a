"""Which columns there are, their types, and what a row becomes.

Hands to   : text.plan, text.parse, the command line

A table becomes a matrix where one plain dtype holds every column, and structured rows otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from outcore.dtypes import as_dtype
from outcore.errors import DTypeError, OptionError
from outcore.text.cells import Cells, Kind, fraction_digits

#: Whole numbers beyond this are not all float64.
EXACT_FLOAT = 2**53
#: Kinds of dtype that text can become.
READABLE = "biufSUM"


@dataclass(frozen=True)
class Column:
    """One column that is kept: its place in the file (from 0), its name, and the dtype of its values."""

    place: int
    name: str
    dtype: np.dtype[Any]

    @property
    def unmeasured(self) -> bool:
        """Whether it is text whose width is still to be found."""
        return self.dtype.kind in "SU" and self.dtype.itemsize == 0


@dataclass(frozen=True)
class Schema:
    """What a row is made of.

    Attributes
    ----------
    file_names : tuple of str
        The names of all columns of the files.
    columns : tuple of Column
        Those that are kept, in the order of the result.
    matrix : bool
        Whether rows are those of a matrix of one plain dtype, rather than structured.
    record : numpy.dtype or None
        The structured dtype that the user gave, which may have padding.
    """

    file_names: tuple[str, ...]
    columns: tuple[Column, ...]
    matrix: bool
    record: np.dtype[Any] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the result."""
        if self.matrix:
            return self.columns[0].dtype
        if self.record is not None:
            return self.record
        return np.dtype([(column.name, column.dtype) for column in self.columns])

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row of the result."""
        return (len(self.columns),) if self.matrix else ()

    def with_dtypes(self, dtypes: dict[int, np.dtype[Any]]) -> Schema:
        """Give some columns, by their position in the result, another dtype."""
        if not dtypes:
            return self
        columns = tuple(replace(c, dtype=dtypes.get(i, c.dtype)) for i, c in enumerate(self.columns))
        return replace(self, columns=columns, record=None)


def parse_dtype(dtype: DTypeLike | str) -> np.dtype[Any]:
    """Turn ``"chr:S10 pos:i4"``, ``"f4"`` or anything that NumPy takes into a dtype.

    Raises
    ------
    DTypeError
        Not a dtype, or one that no text can become.

    Examples
    --------
    >>> parse_dtype("chr:S10 pos:i4")
    dtype([('chr', 'S10'), ('pos', '<i4')])
    """
    parsed = as_dtype(dtype)
    for field in [parsed] if parsed.fields is None else [entry[0] for entry in parsed.fields.values()]:
        _check_readable(field, parsed)
    return parsed


def _check_readable(field: np.dtype[Any], whole: np.dtype[Any]) -> None:
    plain = field.names is None and field.subdtype is None and not (field.kind == "f" and field.itemsize > 8)
    if field.kind in READABLE and plain:
        unit = np.datetime_data(field)[0] if field.kind == "M" else "s"
        if unit in ("D", "h", "m", "s", "ms", "us", "ns"):
            return
    raise DTypeError(
        f"dtype {whole}: no text is read as {field}.\n"
        'Use numbers ("f8", "i4"), truth values ("?"), text ("S10", "U10") or dates ("M8[s]", "M8[D]").'
    )


def valid_names(names: Iterable[str]) -> tuple[str, ...]:
    """Make field names of header cells: blanks and colons become ``_``, none is empty or comes twice.

    Examples
    --------
    >>> valid_names(["id", " wind speed", "", "id"])
    ('id', 'wind_speed', 'f2', 'id_2')
    """
    found: list[str] = []
    for place, name in enumerate(names):
        base = re.sub(r"[\s:,]+", "_", name.strip().replace("\0", "")) or f"f{place}"
        unique, n = base, 2
        while unique in found:
            unique, n = f"{base}_{n}", n + 1
        found.append(unique)
    return tuple(found)


def select(
    columns: Sequence[str | int] | None, file_names: tuple[str, ...], raw_names: Sequence[str]
) -> list[int]:
    """Turn names and positions into places in the file.

    Raises
    ------
    OptionError
        No such column; those that there are are listed.
    """
    if columns is None:
        return list(range(len(file_names)))
    if isinstance(columns, (str, int)):
        columns = [columns]
    places = []
    for column in columns:
        if isinstance(column, str) and column in file_names:
            places.append(file_names.index(column))
        elif isinstance(column, str) and column in raw_names:
            places.append(list(raw_names).index(column))
        elif isinstance(column, (int, np.integer)) and -len(file_names) <= column < len(file_names):
            places.append(int(column) % len(file_names))
        else:
            raise OptionError(
                f"columns holds {column!r}; the files have {len(file_names)} columns.\n"
                f"They are: {', '.join(file_names)}."
            )
    if not places:
        raise OptionError(
            f"columns is empty: nothing would be read.\nThe columns are: {', '.join(file_names)}."
        )
    return places


def given_schema(
    dtype: np.dtype[Any], file_names: tuple[str, ...], places: list[int], *, named: bool
) -> Schema:
    """Fit a dtype that the user gave to the columns of the files.

    Parameters
    ----------
    places : list of int
        The columns that are kept.
    named : bool
        Whether `file_names` were given or read, so that they mean something.

    Raises
    ------
    DTypeError
        The fields of `dtype` are not those of the files.
    """
    if dtype.names is None:
        return Schema(
            file_names, tuple(Column(place, file_names[place], dtype) for place in places), matrix=True
        )
    kept = [file_names[place] for place in places]
    wanted = list(dtype.names)
    if named and set(wanted) <= set(kept):
        order = [places[kept.index(name)] for name in wanted]  # the header says which is which
    elif len(wanted) == len(kept) and not (named and set(wanted) & set(kept)):
        order = places
    else:
        raise DTypeError(
            f"dtype has the {len(wanted)} fields {', '.join(wanted)}; the files have the {len(kept)} columns "
            f"{', '.join(kept)}.\nName one field for each column, or choose with columns=[...]."
        )
    columns = tuple(Column(place, name, dtype[name]) for place, name in zip(order, wanted, strict=True))
    return Schema(file_names, columns, matrix=False, record=dtype)


class Guess:
    """What the cells of one column seen so far have in common."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self.kinds: set[Kind] = set()
        self.low = self.high = 0
        self.digits = 0

    def add(self, cell: str) -> None:
        """Take in one cell."""
        kind = self._cells.kind(cell)
        self.kinds.add(kind)
        if kind is Kind.INT:
            value = int(cell)
            self.low, self.high = min(self.low, value), max(self.high, value)
        elif kind is Kind.DATETIME:
            self.digits = max(self.digits, fraction_digits(cell))

    def dtype(self, *, fill: bool) -> np.dtype[Any]:
        """Name the narrowest dtype that loses nothing; text without a width where there is none.

        Parameters
        ----------
        fill : bool
            Whether missing whole numbers and truth values are filled, so that they need no NaN.
        """
        kinds = self.kinds - {Kind.MISSING}
        gaps = Kind.MISSING in self.kinds and not fill
        if not kinds:
            return np.dtype("f8")
        if kinds == {Kind.INT} and not gaps:
            return self._integer()
        if kinds <= {Kind.INT, Kind.FLOAT}:
            return np.dtype("f8") if self.exact_as_float else np.dtype("S")
        if kinds == {Kind.BOOL} and not gaps:
            return np.dtype("?")
        if kinds == {Kind.DATE}:
            return np.dtype("M8[D]")
        if kinds <= {Kind.DATE, Kind.DATETIME}:
            return np.dtype(f"M8[{('s', 'ms', 'us', 'ns')[-(-self.digits // 3)]}]")
        return np.dtype("S")

    @property
    def exact_as_float(self) -> bool:
        """Whether float64 holds every whole number that was seen."""
        return max(-self.low, self.high) <= EXACT_FLOAT

    def _integer(self) -> np.dtype[Any]:
        if self.low >= -(2**63) and self.high < 2**63:
            return np.dtype("i8")
        return np.dtype("u8") if self.low >= 0 and self.high < 2**64 else np.dtype("S")


def guessed_schema(
    guesses: dict[int, Guess], file_names: tuple[str, ...], places: list[int], *, fill: bool
) -> Schema:
    """Choose dtypes from what was seen, and a matrix where one dtype holds all columns."""
    dtypes = [guesses[place].dtype(fill=fill) for place in places]
    common = _common(dtypes, [guesses[place] for place in places])
    if common is not None:
        dtypes = [common] * len(dtypes)
    columns = tuple(Column(p, file_names[p], dtype) for p, dtype in zip(places, dtypes, strict=True))
    return Schema(file_names, _distinct(columns) if common is None else columns, matrix=common is not None)


def _common(dtypes: list[np.dtype[Any]], guesses: list[Guess]) -> np.dtype[Any] | None:
    kinds = {dtype.kind for dtype in dtypes}
    if len(set(dtypes)) == 1 and kinds <= set("biuf"):
        return dtypes[0]
    if kinds <= set("iuf") and "f" in kinds and all(guess.exact_as_float for guess in guesses):
        return np.dtype("f8")
    return None


def _distinct(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    names = valid_names(column.name for column in columns)  # a column may have been chosen twice
    return tuple(replace(column, name=name) for column, name in zip(columns, names, strict=True))
