"""Measure text and find categories: one pass over all files before the one that writes.

Reads from : text.cleaning, text.parse
Hands to   : text.ingesting

Guarantees
- The result does not depend on the order of the chunks, on where they were cut, or on the number of threads.
- Memory is that of a chunk's texts for each thread, and that of the vocabularies.

A width or a vocabulary guessed from samples was rejected: another text far down would be cut, or stop the
work at its end.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from outcore.text.categories import Vocabulary, settle
from outcore.text.parse import Plan, checked, texts
from outcore.text.schema import Column


@dataclass
class _Width:
    """The widest text of one column so far."""

    nbytes: int = 1
    characters: int = 1
    ascii: bool = True

    def add(self, other: _Width) -> None:
        self.nbytes = max(self.nbytes, other.nbytes)
        self.characters = max(self.characters, other.characters)
        self.ascii = self.ascii and other.ascii


def _width(column: pl.Series) -> _Width:
    if len(column) == 1:  # or Polars makes four copies of the text first, which may be a long one
        column = pl.concat([column, pl.Series([""])], rechunk=False)
    nbytes, characters = column.str.len_bytes(), column.str.len_chars()
    return _Width(
        max(_maximum(nbytes), 1), max(_maximum(characters), 1), bool(nbytes.sum() == characters.sum())
    )


def _maximum(lengths: pl.Series) -> int:
    largest = lengths.max()  # None where all texts are missing
    return largest if isinstance(largest, int) else 0


class Survey:
    """Finds what samples cannot tell of a plan's columns: widths of text, vocabularies of categories.

    Parameters
    ----------
    guessed : bool
        Whether S was a guess, so that text which is not all ASCII becomes U.
    """

    def __init__(self, plan: Plan, *, guessed: bool) -> None:
        self._whole = plan
        self._guessed = guessed
        columns = {i: column for i, column in enumerate(plan.schema.columns) if column.unmeasured}
        #: The columns in question, as they are in the plan.
        self.plan = replace(
            plan, schema=replace(plan.schema, columns=tuple(columns.values()), matrix=False, record=None)
        )
        self._widths = {i: _Width() for i, column in columns.items() if not column.sought}
        self._vocabularies = {i: Vocabulary(c.name) for i, c in columns.items() if c.sought}
        #: Only the columns in question are parsed.
        kept = tuple(Column(column.place, column.name, np.dtype("S1")) for column in columns.values())
        self._plan = replace(plan, schema=replace(plan.schema, columns=kept, matrix=False, record=None))
        self._lock = threading.Lock()

    @property
    def needed(self) -> bool:
        """Whether there is anything to find."""
        return bool(self._widths or self._vocabularies)

    def add(self, data: bytes) -> int:
        """Take in clean text of whole records; return how many. Several threads may do so at a time.

        Raises
        ------
        Unreadable
            A record is wrong.
        IngestError
            Too many categories.
        """
        data, n_records = checked(data, self._plan)
        widths = {i: _Width() for i in self._widths}
        different: dict[int, set[str]] = {i: set() for i in self._vocabularies}
        for table in texts(data, self._plan) if n_records else ():
            for i, width in widths.items():
                width.add(_width(self._column(table, i)))
            for i, found in different.items():
                found.update(_different(self._column(table, i)))
            del table  # before the next one is made
        # Only now: had a later part been refused, bad records of the earlier ones would count.
        with self._lock:
            for i, width in widths.items():
                self._widths[i].add(width)
            for i, vocabulary in self._vocabularies.items():
                vocabulary.add(different[i])
        return n_records

    def _column(self, table: pl.DataFrame, i: int) -> pl.Series:
        return table[f"column_{self._whole.schema.columns[i].place + 1}"]

    def result(self) -> Plan:
        """Complete the plan.

        Raises
        ------
        DTypeError
            More categories than the type of the codes holds.
        """
        columns = list(self._whole.schema.columns)
        for i, width in self._widths.items():
            columns[i] = replace(columns[i], dtype=self._dtype(columns[i], width))
        for i, vocabulary in self._vocabularies.items():
            columns[i] = settle(columns[i], vocabulary.sorted(), self._whole.meaning.fill)
        schema = self._whole.schema.with_columns(columns)
        if schema.matrix and self._widths:  # one type for all: the widest
            widest = max((column.dtype for column in columns), key=lambda dtype: dtype.itemsize)
            schema = schema.with_columns([replace(column, dtype=widest) for column in columns])
        return replace(self._whole, schema=schema)

    def _dtype(self, column: Column, width: _Width) -> np.dtype[np.generic]:
        if column.dtype.kind == "U" or (self._guessed and not width.ascii):
            return np.dtype(f"U{width.characters}")
        return np.dtype(f"S{width.nbytes}")


def _different(column: pl.Series) -> list[str]:
    """List the different texts of a column; "" is missing."""
    return [text for text in column.unique().to_list() if text]
