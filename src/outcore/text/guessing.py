"""What samples say about columns: the narrowest type that loses nothing.

Hands to   : text.plan, text.evidence
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from outcore.text.cells import Cells, Kind, fraction_digits
from outcore.text.schema import Column, Schema, valid_names

#: Whole numbers beyond this are not all float64.
EXACT_FLOAT = 2**53
#: More than any type holds; Python refuses to make an int of some thousand.
MANY_DIGITS = 40


def whole(cell: str) -> int:
    """Turn a whole number into an int; of one with very many digits, only that it is very large.

    Examples
    --------
    >>> whole("-007"), whole("9" * 5000) == 10**MANY_DIGITS
    (-7, True)
    """
    digits = cell.strip(" +-").lstrip("0")
    value = 10**MANY_DIGITS if len(digits) > MANY_DIGITS else int(digits or "0")
    return -value if "-" in cell else value


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
            self.span(whole(cell))
        elif kind is Kind.DATETIME:
            self.digits = max(self.digits, fraction_digits(cell))

    def span(self, *values: int) -> None:
        """Take in that there are such whole numbers."""
        self.low, self.high = min(self.low, *values), max(self.high, *values)

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
    """Choose dtypes from what was seen, and a matrix where one dtype holds all columns.

    Parameters
    ----------
    guesses : dict of int to Guess
        For each place; those without one are categories, for whose codes text without a width stands.
    """
    dtypes = [guesses[place].dtype(fill=fill) if place in guesses else np.dtype("S") for place in places]
    common = _common(dtypes, [guesses[place] for place in places if place in guesses])
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
