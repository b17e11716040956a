"""Columns of an array, by number or by the name of a field.

Hands to   : transforms.selecting, transforms.scaling
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outcore.errors import FieldError, OptionError, ShapeError

#: A column: its number, or the name of a field.
Column: TypeAlias = int | str
#: Columns as they were asked for: one of them, several, or all from here to there.
Columns: TypeAlias = Column | tuple[Column, ...] | slice
#: So many names are listed in an error.
NAMED = 12


def as_columns(transform: str, option: str, given: Any) -> Columns:
    """Check what names one column or several.

    Raises
    ------
    OptionError
        Neither a name nor a number, or no column at all.
    """
    if isinstance(given, slice):
        if (
            all(end is None or _is_number(end) for end in (given.start, given.stop, given.step))
            and given.step != 0
        ):
            return given
    elif isinstance(given, str):
        return given
    elif _is_number(given):
        return int(given)
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, dict)):
        several = list(given)
        if several and all(isinstance(one, str) or _is_number(one) for one in several):
            return tuple(one if isinstance(one, str) else int(one) for one in several)
    raise OptionError(
        f"{transform}: {option}={given!r:.80} names no columns.\n"
        f'Use a name or number, a list of them, or a slice: "a", [0, 3], slice(1, None).'
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def shown(columns: Columns | None) -> str:
    """Write columns as they were given."""
    return repr(list(columns)) if isinstance(columns, tuple) else repr(columns)


@dataclass(frozen=True)
class Header:
    """The columns that there are.

    Attributes
    ----------
    width : int
    names : tuple of str or None
        Of the fields; None where columns have numbers only.
    """

    width: int
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, transform: str, array: NDArray[Any]) -> Header:
        """Return the columns of an array: its fields, or its last axis.

        Raises
        ------
        ShapeError
            The array has one axis only.
        """
        if array.dtype.names is not None:
            return cls(len(array.dtype.names), array.dtype.names)
        if array.ndim < 2:
            raise ShapeError(
                f"{transform}: the batch has shape {array.shape} and dtype {array.dtype}: neither columns "
                "nor fields.\nIt needs two axes, samples and columns, or a structured dtype."
            )
        return cls(array.shape[-1], None)

    def numbers(self, transform: str, option: str, columns: Columns) -> list[int]:
        """Return which columns are meant.

        Raises
        ------
        FieldError
            No such name.
        ShapeError
            No such number, or a slice without a column.
        """
        if isinstance(columns, slice):
            meant = list(range(*columns.indices(self.width)))
            if not meant:
                raise ShapeError(f"{transform}: {option}={columns} holds no column; {self}.")
            return meant
        several = columns if isinstance(columns, tuple) else (columns,)
        return [self._number(transform, option, one) for one in several]

    def _number(self, transform: str, option: str, column: Column) -> int:
        if isinstance(column, str):
            if self.names is None or column not in self.names:
                raise FieldError(f"{transform}: {option} names {column!r}, which is not there; {self}.")
            return self.names.index(column)
        if not -self.width <= column < self.width:
            raise ShapeError(f"{transform}: {option} names column {column}, which is not there; {self}.")
        return column % self.width

    def __str__(self) -> str:
        if self.names is None:
            return f"the columns are 0 to {self.width - 1}" if self.width else "there are no columns"
        some = ", ".join(self.names[:NAMED])
        return f"the fields are {some}" + (f", ... {self.width} in all" if self.width > NAMED else "")
