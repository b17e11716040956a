"""What a single cell of text could be: a number, a date, nothing at all.

Hands to   : text.dialect (sniffing), text.schema (inference)

Python's own conversions were rejected: they accept "1_000" and digits of other scripts, which the parser
of the chunks does not.
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


_INT = re.compile(r"[+-]?[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.([0-9]{1,9}))?)?Z?")


class Cells:
    """Knows the kinds of cells for one decimal mark and one set of missing values."""

    def __init__(self, na_values: frozenset[str], decimal: str = ".") -> None:
        self.na_values = na_values
        mark = re.escape(decimal)
        self._float = re.compile(
            rf"[+-]?(?:(?:[0-9]+{mark}?[0-9]*|{mark}[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE
        )

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
        if text.lower() in ("true", "false"):
            return Kind.BOOL
        if _DATE.fullmatch(text):
            return Kind.DATE
        return Kind.DATETIME if _DATETIME.fullmatch(text) else Kind.TEXT


def fraction_digits(cell: str) -> int:
    """Digits behind the decimal point of the seconds of a date and time."""
    found = _DATETIME.fullmatch(cell.strip(" "))
    return len(found[1]) if found and found[1] else 0
