"""Measure how wide the text columns are: one pass over all files before the one that writes.

Reads from : text.chunks, text.parse
Hands to   : text.ingesting

A width guessed from samples was rejected: a longer text far down would be cut, or stop the work at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from outcore.text.parse import Plan, tables


@dataclass
class _Width:
    """The widest text of one column so far."""

    nbytes: int = 1
    characters: int = 1
    ascii: bool = True

    def add(self, texts: pl.Series) -> None:
        nbytes, characters = texts.str.len_bytes(), texts.str.len_chars()
        self.nbytes = max(self.nbytes, _maximum(nbytes))
        self.characters = max(self.characters, _maximum(characters))
        self.ascii = self.ascii and nbytes.sum() == characters.sum()


def _maximum(lengths: pl.Series) -> int:
    largest = lengths.max()  # None where all texts are missing
    return largest if isinstance(largest, int) else 0


class Widths:
    """Widths of the columns whose dtype is text without a width."""

    def __init__(self, plan: Plan, *, guessed: bool) -> None:
        self._columns = {i: c for i, c in enumerate(plan.schema.columns) if c.unmeasured}
        self._found = {i: _Width() for i in self._columns}
        self._guessed = guessed
        #: Only the columns to be measured are parsed.
        kept = tuple(replace(c, dtype=np.dtype("S1")) for c in self._columns.values())
        self._plan = replace(plan, schema=replace(plan.schema, columns=kept, matrix=False, record=None))

    @property
    def needed(self) -> bool:
        """Whether there is anything to measure."""
        return bool(self._columns)

    def add(self, data: bytes, chunk_bytes: int) -> int:
        """Take in a chunk; return its number of records.

        Raises
        ------
        Unreadable
            A record is wrong.
        """
        records = 0
        for table in tables(data, self._plan, chunk_bytes):
            for i, column in self._columns.items():
                self._found[i].add(table[f"column_{column.place + 1}"])
            records += table.height
            del table
        return records

    def dtypes(self) -> dict[int, np.dtype[Any]]:
        """Choose dtypes: S for ASCII, U for other text unless S was asked for."""
        return {i: self._dtype(i) for i in self._columns}

    def _dtype(self, i: int) -> np.dtype[Any]:
        width, kind = self._found[i], self._columns[i].dtype.kind
        if kind == "U" or (self._guessed and not width.ascii):
            return np.dtype(f"U{width.characters}")
        return np.dtype(f"S{width.nbytes}")
