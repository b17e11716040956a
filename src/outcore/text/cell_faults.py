"""The cells of a chunk that are no values of their columns' types.

Reads from : text.structure.Records of text that has as many fields as it should
Hands to   : text.faults

Guarantees
- A cell is wrong here if, and only if, `text.columns.convert` says so; a record that the parser refuses for
  another reason is found by halving.
- Memory: a table of texts of about `text.parse.TABLE_COST` times the chunk, or of one record.

What the parser reads at its usual speed is not looked at again. Many columns of one type are converted as one
column, since each column costs time of its own: with 20 000 of them, a hundred times that of the cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outcore.text import diagnosis, parse
from outcore.text.parse import Plan, Unreadable
from outcore.text.records import separators, without_blank
from outcore.text.schema import Column
from outcore.text.structure import Found, Records, Spots

#: Parts in which a chunk is tried, to look closer only at those that fail. A part has so many bytes or more,
#: and so many for each column, since a column costs time of its own.
PARTS, LEAST_PART_BYTES, COLUMN_BYTES = 16, 1 << 16, 1 << 10
#: Takes the place of the delimiter where each cell is a line.
_NOWHERE = "\x01"


def wrong_cells(data: bytes, numbers: NDArray[np.int64], plan: Plan) -> Found:
    """Find the cells that are no values.

    Parameters
    ----------
    data : bytes
        Records that are text and have as many fields as they should.
    numbers : ndarray of int64
        Their places among all records of the chunk.
    """
    records = Records(data, plan.dialect)
    found = [Found.of(Spots(numbers[:0], numbers[:0]), 0)]
    size = max(LEAST_PART_BYTES, len(data) // PARTS, COLUMN_BYTES * len(plan.schema.columns))
    # So that the table of all texts is not much larger than the chunk.
    room = parse.TABLE_COST * max(len(data), 1 << 20)
    step = max(1, room // (parse.CELL_BYTES * len(plan.schema.columns)))
    first = 0
    while first < len(records):
        last = int(np.searchsorted(records.starts, records.starts[first] + size))
        if not _reads(records, first, last, plan):
            for start in range(first, last, step):
                found += _looked_at(records, start, min(start + step, last), plan)
        first = last
    together = Found.all(found)
    return replace(together, record=numbers[together.record])


def _looked_at(records: Records, first: int, last: int, plan: Plan) -> Iterator[Found]:
    """Convert every column of a stretch, and note where that fails."""
    text = without_blank(records.stretch(first, last), plan.dialect)
    try:
        fine = True
        for cells, places in _texts(text, last - first, plan):
            column = plan.schema.columns[int(places[0])]
            wrong = np.flatnonzero(diagnosis.wrong_cells(cells, column, plan))
            if len(wrong):
                fine, kinds = False, diagnosis.kinds(cells.gather(wrong), column, plan.meaning)
                which = places[wrong % len(places)]
                fields = np.array([plan.schema.columns[i].place for i in places.tolist()])
                yield Found(first + wrong // len(places), fields[wrong % len(places)], which, kinds)
    except Unreadable:
        if last - first == 1:
            yield _refused(first)
            return
        middle = (first + last) // 2
        yield from _looked_at(records, first, middle, plan)
        yield from _looked_at(records, middle, last, plan)
        return
    if fine:
        yield from _unread(records, first, last, plan)


def _texts(text: bytes, n_records: int, plan: Plan) -> Iterator[tuple[pl.Series, NDArray[np.int64]]]:
    """Parse cells as text, column by column, or those of all columns of one type together.

    Yields
    ------
    cells : polars.Series of str
        Record by record.
    places : ndarray of int64
        The columns of the schema that they are in; not those that take any text.

    Raises
    ------
    Unreadable
        Before anything was yielded: Polars refuses the text.
    """
    columns = plan.schema.columns
    flat = _each_a_line(text, n_records, plan) if len(columns) >= parse.WIDE else None
    if flat is None:
        table = parse.read_texts(text, plan)
        for i, column in enumerate(columns):
            if not column.unmeasured:
                yield table[f"column_{column.place + 1}"], np.array([i])
        return
    groups: dict[Column, list[int]] = {}
    for i, column in enumerate(columns):
        if not column.unmeasured:
            groups.setdefault(replace(column, place=0, name=""), []).append(i)
    n_fields = len(plan.schema.file_names)
    for group in groups.values():
        fields = np.array([columns[i].place for i in group])
        at = np.arange(n_records)[:, None] * n_fields + fields
        yield (
            flat if np.array_equal(fields, np.arange(n_fields)) else flat.gather(at.ravel()),
            np.array(group),
        )


def _each_a_line(text: bytes, n_records: int, plan: Plan) -> pl.Series | None:
    """Parse all cells as one column; None where that might not give the same texts."""
    array = np.frombuffer(text if text.endswith(b"\n") else text + b"\n", np.uint8).copy()
    array[separators(text, plan.dialect)] = 0x0A
    one = Column(0, "cell", np.dtype("S1"))
    narrow = replace(
        plan,
        dialect=replace(plan.dialect, delimiter=_NOWHERE),
        schema=replace(plan.schema, file_names=("cell",), columns=(one,), matrix=False, record=None),
    )
    try:
        cells = parse.read_texts(array.tobytes(), narrow)["column_1"]
    except Unreadable:
        return None
    return cells if len(cells) == n_records * len(plan.schema.file_names) else None


def _unread(records: Records, first: int, last: int, plan: Plan) -> Iterator[Found]:
    """Find the records that the parser refuses, though each of their cells is a value."""
    if _reads(records, first, last, plan):
        return
    if last - first == 1:
        yield _refused(first)
        return
    middle = (first + last) // 2
    yield from _unread(records, first, middle, plan)
    yield from _unread(records, middle, last, plan)


def _refused(record: int) -> Found:
    return Found.of(Spots(np.array([record]), np.array([-1])), diagnosis.TYPE)


def _reads(records: Records, first: int, last: int, plan: Plan) -> bool:
    """Whether the parser takes a stretch; columns that are still to be measured take any text."""
    schema, text = plan.schema, records.stretch(first, last)
    measured = tuple(column for column in schema.columns if not column.unmeasured)
    try:
        if not measured:
            parse.read_texts(without_blank(text, plan.dialect), plan)
            return True
        if len(measured) < len(schema.columns):
            plan = replace(plan, schema=replace(schema, columns=measured, matrix=False, record=None))
        parse.rows(text, plan)
    except Unreadable:
        return False
    return True
