"""What a single cell of text could be: a number, a date, nothing at all.

Hands to   : text.dialect (sniffing), text.schema (inference), text.evidence (the same for whole columns)

Python's own conversions were rejected: they accept "1_000" and digits of other scripts, which the parser
of the chunks does not. The patterns are written in what Python's and Polars' regular expressions have in
common, and mean the same in both.
"""

from __future__ import annotations

import re
from enum import Enum


class Kind(Enum):
    """The narrowest kind that holds a cell."""

    MISSING = "missing"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    DATE = "date"
    DATETIME = "datetime"
    TEXT = "text"


INT = "[+-]?[0-9]+"
BOOL = "[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]"
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
#: Its one group holds the digits behind the point of the seconds.
DATETIME = DATE + r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.([0-9]{1,9}))?)?Z?"
_INT, _BOOL, _DATE, _DATETIME = (re.compile(pattern) for pattern in (INT, BOOL, DATE, DATETIME))


def float_pattern(decimal: str) -> str:
    """Write the pattern of numbers with that decimal mark."""
    mark = re.escape(decimal)
    named = "[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN]"
    return rf"[+-]?(?:(?:[0-9]+{mark}?[0-9]*|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?|{named})"


class Cells:
    """Knows the kinds of cells for one decimal mark and one set of missing values."""

    def __init__(self, na_values: frozenset[str], decimal: str = ".") -> None:
        self.na_values = na_values
        self.decimal = decimal
        self._float = re.compile(float_pattern(decimal))

    def kind(self, cell: str) -> Kind:
        """Name the narrowest kind that holds `cell`.

        Examples
        --------
        >>> cells = Cells(frozenset({"NA"}))
        >>> [cells.kind(c).value for c in ("NA", "12", " 1e3", "2024-01-31", "True", "12 a")]
        ['missing', 'int', 'float', 'date', 'bool', 'text']
        """
        text = cell.strip(" ")
        if not text or text in self.na_values:
            return Kind.MISSING
        if _INT.fullmatch(text):
            return Kind.INT
        if self._float.fullmatch(text):
            return Kind.FLOAT
        if _BOOL.fullmatch(text):
            return Kind.BOOL
        if _DATE.fullmatch(text):
            return Kind.DATE
        return Kind.DATETIME if _DATETIME.fullmatch(text) else Kind.TEXT


def fraction_digits(cell: str) -> int:
    """Digits behind the decimal point of the seconds of a date and time."""
    found = _DATETIME.fullmatch(cell.strip(" "))
    return len(found[1]) if found and found[1] else 0
