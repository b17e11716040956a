"""Which columns there are, their types, and what a row becomes.

Hands to   : text.plan, text.parse, the command line

A table becomes a matrix where one plain dtype holds every column, and structured rows otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from outcore.dtypes import as_dtype
from outcore.errors import DTypeError, OptionError

#: Written in a dtype for a column of categories.
CATEGORY = "category"
#: Names of columns that a message shows.
LISTED = 40
#: Kinds of dtype that text can become.
READABLE = "biufSUM"


@dataclass(frozen=True)
class Column:
    """One column that is kept.

    Attributes
    ----------
    place : int
        Its place in the file, from 0.
    name : str
    dtype : numpy.dtype
        Of its values; S for categories whose number, and so the type of their codes, is still to be found.
    categories : tuple of str or None
        The vocabulary of a column of categories, whose values are places in it; None for any other column.
    sought : bool
        Whether that vocabulary is still to be found.
    """

    place: int
    name: str
    dtype: np.dtype[Any]
    categories: tuple[str, ...] | None = None
    sought: bool = False

    @property
    def unmeasured(self) -> bool:
        """Whether the width of its texts, or their vocabulary, is still to be found."""
        return self.sought or (self.dtype.kind in "SU" and self.dtype.itemsize == 0)


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
    header : tuple of str
        The cells of the files' header as they are written; empty if there is none.
    """

    file_names: tuple[str, ...]
    columns: tuple[Column, ...]
    matrix: bool
    record: np.dtype[Any] | None = None
    header: tuple[str, ...] = ()

    @cached_property  # 20 000 fields take a while
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

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the result."""
        return self.dtype.itemsize * (len(self.columns) if self.matrix else 1)

    def with_columns(self, columns: Sequence[Column]) -> Schema:
        """Give the columns other types or vocabularies."""
        same = all(old.dtype == new.dtype for old, new in zip(self.columns, columns, strict=True))
        return replace(self, columns=tuple(columns), record=self.record if same else None)


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
    return parse_dtype_and_categories(dtype)[0]


def parse_dtype_and_categories(dtype: DTypeLike | str) -> tuple[np.dtype[Any], tuple[str, ...]]:
    """Do the same, and name the fields that are categories, as in ``"carrier:category delay:f4"``.

    Returns
    -------
    dtype : numpy.dtype
        Text without a width in place of categories, as the type of their codes follows from their number.
    categories : tuple of str

    Examples
    --------
    >>> parse_dtype_and_categories("carrier:category delay:f4")
    (dtype([('carrier', 'S'), ('delay', '<f4')]), ('carrier',))
    """
    categories: list[str] = []
    if isinstance(dtype, str) and CATEGORY in dtype:
        if dtype.strip() == CATEGORY:
            raise DTypeError(
                f"dtype={dtype!r} does not say which columns are categories.\n"
                'Name them: dtype="carrier:category delay:f4", or categories=["carrier"].'
            )
        parts = re.split(r"([\s,]+)", dtype.strip())
        for i, part in enumerate(parts):
            if part.endswith(f":{CATEGORY}"):
                name = part.removesuffix(f":{CATEGORY}")
                categories.append(name)
                parts[i] = f"{name}:S"
        dtype = "".join(parts)
    parsed = as_dtype(dtype)
    for field in [parsed] if parsed.fields is None else [entry[0] for entry in parsed.fields.values()]:
        _check_readable(field, parsed)
    return parsed, tuple(categories)


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
    found: dict[str, int] = {}  # each with the number that its next namesake tries first
    for place, name in enumerate(names):
        base = re.sub(r"[\s:,]+", "_", name.strip().replace("\0", "")) or f"f{place}"
        unique, n = base, found.get(base, 2)
        while unique in found:
            unique, n = f"{base}_{n}", n + 1
        found[base] = n
        found.setdefault(unique, 2)
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
    if isinstance(columns, (str, int, np.integer)):
        columns = [columns]
    known = {
        name: place for names in (raw_names, file_names) for place, name in reversed(list(enumerate(names)))
    }
    places = [place_of(column, known, file_names, option="columns") for column in columns]
    if not places:
        raise OptionError(f"columns is empty: nothing would be read.\nThe columns are: {listed(file_names)}.")
    return places


def places_by_name(file_names: Sequence[str], raw_names: Sequence[str]) -> dict[str, int]:
    """Say where each name stands; of names that come twice, the first place."""
    by_name: dict[str, int] = {}
    for names in (file_names, raw_names):
        for place, name in enumerate(names):
            by_name.setdefault(name, place)
    return by_name


def place_of(column: object, known: dict[str, int], file_names: Sequence[str], *, option: str) -> int:
    """Turn a name or position into a place in the file.

    Raises
    ------
    OptionError
        No such column; `option` is where the user named it.
    """
    if isinstance(column, str) and column in known:
        return known[column]
    whole = int(column) if isinstance(column, (int, np.integer)) and not isinstance(column, bool) else None
    if whole is not None and -len(file_names) <= whole < len(file_names):
        return whole % len(file_names)
    raise OptionError(
        f"{option} holds {column!r}; the files have {len(file_names)} columns.\n"
        f"They are: {listed(file_names)}."
    )


def listed(names: Sequence[str]) -> str:
    """Write names one after the other, but not thousands of them.

    Examples
    --------
    >>> listed(["a", "b"])
    'a, b'
    """
    if len(names) <= LISTED:
        return ", ".join(names)
    return f"{', '.join(names[: LISTED - 1])} ... {names[-1]} (positions 0 to {len(names) - 1})"


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
        by_name = dict(zip(kept, places, strict=True))
        order = [by_name[name] for name in wanted]  # the header says which is which
    elif len(wanted) == len(kept) and not (named and set(wanted) & set(kept)):
        order = places
    else:
        raise DTypeError(
            f"dtype has the {len(wanted)} fields {listed(wanted)}; the files have the {len(kept)} columns "
            f"{listed(kept)}.\nName one field for each column, or choose with columns=[...]."
        )
    columns = tuple(Column(place, name, dtype[name]) for place, name in zip(order, wanted, strict=True))
    return Schema(file_names, columns, matrix=False, record=dtype)
