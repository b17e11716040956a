"""Records and cells of a chunk by their bytes, and the ones that are no text or have no place in a table.

Reads from : text.records
Hands to   : text.faults

Guarantees
- A record that is broken as a whole (a stray quote, too few or too many fields) has one fault and no cells:
  nothing says which of them belongs to which column.
- What is found depends on the record alone, so not on where the text was cut.
- Work goes by columns of bytes, not by cells, but for text in a wrong encoding: there by records that hold
  bytes beyond ASCII. Memory: 8 bytes a separator, newline or quote, and a few times the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.text.dialect import Dialect
from outcore.text.records import Positions, lines, separators, stray_quotes


class Records:
    """Where the records of clean text and their cells lie.

    Attributes
    ----------
    data : bytes
    starts, ends, stops : ndarray of int64, shape (n_records,)
        As in `text.records.Lines`.
    fields : ndarray of int64, shape (n_records,)
        How many fields each has.
    """

    def __init__(self, data: bytes, dialect: Dialect) -> None:
        found = lines(data, dialect)
        self.data = data
        self.starts, self.ends, self.stops = found.starts, found.ends, found.stops
        self._separators = separators(data, dialect)
        self._first = np.searchsorted(self._separators, self.starts)
        self.fields = np.diff(self._first, append=len(self._separators)) + 1

    def __len__(self) -> int:
        return len(self.starts)

    def cells(self, record: Positions, field: Positions) -> tuple[Positions, Positions]:
        """Return the first bytes of cells, and those behind their last; the fields exist."""
        if not len(self._separators):
            return self.starts[record], self.ends[record]
        left = self._separators[np.maximum(self._first[record] + field - 1, 0)] + 1
        right = self._separators[np.minimum(self._first[record] + field, len(self._separators) - 1)]
        last = field == self.fields[record] - 1
        return np.where(field == 0, self.starts[record], left), np.where(last, self.ends[record], right)

    def lines(self, record: Positions) -> tuple[Positions, Positions]:
        """Return the first bytes of records, and those behind their newlines."""
        return self.starts[record], np.minimum(self.stops[record] + 1, len(self.data))

    def stretch(self, first: int, last: int) -> bytes:
        """Return the text of some records, at least one."""
        return self.data[int(self.starts[first]) : int(self.stops[last - 1]) + 1]

    def at(self, positions: Positions) -> tuple[Positions, Positions]:
        """Return the records in which bytes stand, and their fields."""
        record = np.searchsorted(self.starts, positions, side="right") - 1
        return record, np.searchsorted(self._separators, positions) - self._first[record]


@dataclass(frozen=True)
class Spots:
    """Records or cells with a fault each.

    Attributes
    ----------
    record, field : ndarray of int64
        The field is -1 for a record as a whole.
    """

    record: Positions
    field: Positions

    def __len__(self) -> int:
        return len(self.record)

    def where(self, chosen: NDArray[np.bool_]) -> Spots:
        """Choose some."""
        return Spots(self.record[chosen], self.field[chosen])

    def keys(self, n_fields: int) -> Positions:
        """Give each cell of the chunk a number of its own."""
        return self.record * n_fields + self.field


@dataclass(frozen=True)
class Found:
    """Faults in columns.

    Attributes
    ----------
    record, field, column : ndarray of int64, shape (n,)
        The record in the chunk; the field of the file, or -1 for the whole record; the column of the schema,
        or -1 where it does not matter.
    kind : ndarray of int8, shape (n,)
        Index into `text.diagnosis.KINDS`.
    """

    record: Positions
    field: Positions
    column: Positions
    kind: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.record)

    @classmethod
    def of(cls, spots: Spots, kind: int) -> Found:
        """Give all of them one kind."""
        n = len(spots)
        return cls(spots.record, spots.field, np.full(n, -1), np.full(n, kind, np.int8))

    @classmethod
    def all(cls, parts: Sequence[Found]) -> Found:
        """Put parts, at least one, behind one another."""
        return cls(
            np.concatenate([part.record for part in parts]),
            np.concatenate([part.field for part in parts]),
            np.concatenate([part.column for part in parts]),
            np.concatenate([part.kind for part in parts]),
        )

    def at(self, index: NDArray[Any]) -> Found:
        """Choose some, or another order."""
        return Found(self.record[index], self.field[index], self.column[index], self.kind[index])


def stray(records: Records, dialect: Dialect) -> Spots:
    """Find the first stray quote of each record that has one."""
    record, field = records.at(stray_quotes(records.data, dialect))
    record, first = np.unique(record, return_index=True)
    return Spots(record, field[first])


def uneven(records: Records, n_fields: int) -> Spots:
    """Find the records that have not `n_fields` fields."""
    record = np.flatnonzero(records.fields != n_fields)
    return Spots(record, np.full(len(record), -1))


def zeros(records: Records) -> Spots:
    """Find the cells that hold zero bytes."""
    if b"\0" not in records.data:
        return Spots(np.zeros(0, np.int64), np.zeros(0, np.int64))
    record, field = records.at(np.flatnonzero(np.frombuffer(records.data, np.uint8) == 0))
    new = np.append(True, (record[1:] != record[:-1]) | (field[1:] != field[:-1]))
    return Spots(record[new], field[new])


def undecodable(records: Records, dialect: Dialect) -> Spots:
    """Find the cells that hold bytes which the encoding has no characters for."""
    found: list[tuple[int, int]] = []
    encoding = "ascii" if dialect.encoding == "ascii" else "utf-8"
    data = memoryview(records.data)
    if not _decodes(data, encoding):
        suspects, _ = records.at(np.flatnonzero(np.frombuffer(data, np.uint8) >= 0x80))
        for record in np.unique(suspects).tolist():
            if _decodes(data[int(records.starts[record]) : int(records.ends[record])], encoding):
                continue
            fields = np.arange(records.fields[record])
            starts, ends = records.cells(np.full(len(fields), record), fields)
            for field, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
                if not _decodes(data[start:end], encoding):
                    found.append((record, field))
    spots = np.array(found, np.int64).reshape(-1, 2)
    return Spots(spots[:, 0], spots[:, 1])


def _decodes(data: memoryview, encoding: str) -> bool:
    try:
        str(data, encoding)
    except UnicodeDecodeError:
        return False
    return True


def inside(starts: Positions, ends: Positions, n_bytes: int) -> NDArray[np.bool_]:
    """Mark the bytes of stretches that do not overlap."""
    steps = np.zeros(n_bytes + 1, np.int8)
    used = ends > starts
    steps[starts[used]] += 1
    steps[ends[used]] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_)


def without(data: bytes, left_out: NDArray[np.bool_]) -> bytes:
    """Leave marked bytes out."""
    return np.frombuffer(data, np.uint8)[~left_out].tobytes()
