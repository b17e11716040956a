"""Every bad cell of a chunk; and what the rest of it makes.

Reads from : text.places.Chunk, after `text.parse` refused it
Hands to   : text.ingesting, text.rejects, text.messages

Guarantees
- Faults come in the order of records and fields, and are the same wherever the text was cut: those of a
  record are found from this record alone.
- What `text.parse` accepts is no fault, and what it refuses has one.
- Rows are those that `text.parse` makes of a file without the bad records (reject), or with the bad cells
  left empty (mask).
- Memory: a small multiple of the chunk, and about 100 bytes a fault; words are made for those that are read.

Only a chunk that failed is looked at again; clean chunks pay nothing for the exact place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import IngestError
from outcore.text import diagnosis, parse, structure
from outcore.text.cleaning import clean
from outcore.text.diagnosis import KINDS
from outcore.text.dialect import Dialect
from outcore.text.listing import Fault, Faults, Found
from outcore.text.parse import Plan, Unreadable
from outcore.text.places import Chunk
from outcore.text.records import without_blank
from outcore.text.structure import Records, Spots

__all__ = ["KINDS", "Examined", "Fault", "Faults", "Inspected", "examine", "inspect"]

#: Parts in which a chunk is tried, to look closer only at those that fail. A part has so many bytes or more,
#: and so many for each column, since a column costs time of its own.
PARTS, LEAST_PART_BYTES, COLUMN_BYTES = 16, 1 << 16, 1 << 10


@dataclass(frozen=True)
class Inspected:
    """What is wrong with a chunk.

    Attributes
    ----------
    faults : Faults
        All of them.
    data : bytes
        Clean text of the records that are kept: without those that have faults, or, to mask, with their bad
        cells left empty.
    plan : Plan
        How to read `data`.
    n_records : int
        Records of the chunk, bad ones among them.
    """

    faults: Faults
    data: bytes
    plan: Plan
    n_records: int


@dataclass(frozen=True)
class Examined:
    """What is wrong with a chunk, and what can be made of it.

    Attributes
    ----------
    rows : ndarray or None
        None if the work is to stop.
    faults : Faults
        All of them.
    n_records : int
        Records of the chunk, bad ones among them.
    cut : int
        How many texts of `rows` were cut to fit.
    """

    rows: NDArray[Any] | None
    faults: Faults
    n_records: int
    cut: int = 0


def examine(chunk: Chunk, plan: Plan) -> Examined:
    """Look again at a chunk that could not be parsed.

    Raises
    ------
    IngestError
        Nothing is wrong with any record, and yet the chunk cannot be read.
    """
    found = inspect(chunk, plan)
    if plan.on_error == "stop":
        if not found.faults:
            raise defect(chunk, "no record has a fault")
        return Examined(None, found.faults, found.n_records)
    try:
        rows = parse.rows(found.data, found.plan)
    except Unreadable as reason:
        raise defect(chunk, str(reason)) from reason
    return Examined(rows.values, found.faults, found.n_records, rows.cut)


def defect(chunk: Chunk, reason: str) -> IngestError:
    """Build the error for a chunk that is refused though each of its records is fine."""
    first, last = chunk.pieces[0], chunk.pieces[-1]
    return IngestError(
        f"{first.path}:{first.place.line}  the text from here on (up to somewhere in {last.path}) cannot be "
        f"parsed: {reason}.\nThat is a defect of outcore: please report it, with the file if you can."
    )


def inspect(chunk: Chunk, plan: Plan) -> Inspected:
    """Find every fault of a chunk, and the text that is left without them.

    Columns whose width or categories are still to be found take any text.

    Parameters
    ----------
    plan : Plan
        With ``on_error="mask"`` bad cells of whole records are left empty; otherwise their records are left
        out.
    """
    records = Records(clean(chunk.data, plan.dialect), plan.dialect)
    n_fields = len(plan.schema.file_names)
    quotes, uneven = structure.stray(records, plan.dialect), structure.uneven(records, n_fields)
    broken = np.zeros(len(records), np.bool_)
    broken[uneven.record] = broken[quotes.record] = True
    uneven = uneven.where(~np.isin(uneven.record, quotes.record))
    zeros, undecodable = structure.zeros(records), structure.undecodable(records, plan.dialect)
    zeros, undecodable = zeros.where(~broken[zeros.record]), undecodable.where(~broken[undecodable.record])
    undecodable = undecodable.where(~np.isin(undecodable.keys(n_fields), zeros.keys(n_fields)))
    cells = _cells(_readable(records, broken, zeros, undecodable), np.flatnonzero(~broken), plan)
    known = np.concatenate([zeros.keys(n_fields), undecodable.keys(n_fields)])
    found = Found.all(
        [
            Found.of(quotes, diagnosis.QUOTE),
            Found.of(uneven, diagnosis.FIELDS),
            Found.of(zeros, diagnosis.NUL),
            Found.of(undecodable, diagnosis.ENCODING),
            cells.at((cells.field < 0) | ~np.isin(cells.record * n_fields + cells.field, known)),
        ]
    )
    found = found.at(np.lexsort((found.column, found.field, found.record)))
    data, changed = _kept(records, found, plan)
    return Inspected(Faults(chunk, plan, records, found), data, changed, len(records))


def _readable(records: Records, broken: NDArray[np.bool_], zeros: Spots, undecodable: Spots) -> bytes:
    """Leave broken records out, and write question marks for bytes that are no text."""
    data = records.data
    if len(zeros) or len(undecodable):
        array = np.frombuffer(data, np.uint8).copy()
        within = structure.inside(*records.cells(undecodable.record, undecodable.field), len(array))
        array[(within & (array >= 0x80)) | (array == 0)] = ord("?")
        data = array.tobytes()
    gone = structure.inside(*records.lines(np.flatnonzero(broken)), len(data))
    return structure.without(data, gone) if broken.any() else data


def _kept(records: Records, found: Found, plan: Plan) -> tuple[bytes, Plan]:
    """Leave bad records out, or only the text of bad cells."""
    size = len(records.data)
    whole = np.ones(len(found), np.bool_)
    if plan.on_error == "mask":  # a fault of quotes has a field, but its record has no cells
        whole = (found.field < 0) | (found.kind == diagnosis.QUOTE)
    gone = np.unique(found.record[whole])
    left_out = structure.inside(*records.lines(gone), size)
    bad = np.unique(np.stack([found.record[~whole], found.field[~whole]]), axis=1)
    starts, ends = records.cells(bad[0], bad[1])
    if not bad.size or len(plan.schema.file_names) > 1:
        left_out |= structure.inside(starts, ends, size)
        return structure.without(records.data, left_out), plan
    # An empty line is no record, so something else must stand for "missing".
    token = _unused(records.data, plan.dialect)
    array = np.frombuffer(records.data, np.uint8).copy()
    array[starts] = ord(token)
    left_out |= structure.inside(starts + 1, ends, size)
    meaning = replace(plan.meaning, na_values=(*plan.meaning.na_values, token))
    return structure.without(array.tobytes(), left_out), replace(plan, meaning=meaning)


def _unused(data: bytes, dialect: Dialect) -> str:
    """Find a character that stands nowhere."""
    taken = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    for i in range(1, 127):
        if not taken[i] and chr(i) not in f"\t\n\r {dialect.separator}{dialect.quote}{dialect.comment}":
            return chr(i)
    raise IngestError(
        "every character of ASCII stands in this column, so none is left to mask bad cells with.\n"
        'Use on_error="reject" (--on-error reject).'
    )


def _cells(data: bytes, numbers: NDArray[np.int64], plan: Plan) -> Found:
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
    try:
        texts = parse.read_texts(without_blank(records.stretch(first, last), plan.dialect), plan)
    except Unreadable:
        if last - first == 1:
            yield _refused(first)
            return
        middle = (first + last) // 2
        yield from _looked_at(records, first, middle, plan)
        yield from _looked_at(records, middle, last, plan)
        return
    fine = True
    for i, column in enumerate(plan.schema.columns):
        if column.unmeasured:
            continue  # any text will do
        cells = texts[f"column_{column.place + 1}"]
        wrong = np.flatnonzero(diagnosis.wrong_cells(cells, column, plan))
        if len(wrong):
            fine, kinds = False, diagnosis.kinds(cells.gather(wrong), column, plan.meaning)
            yield Found(first + wrong, np.full(len(wrong), column.place), np.full(len(wrong), i), kinds)
    if fine:
        yield from _unread(records, first, last, plan)


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
    schema = plan.schema
    measured = tuple(column for column in schema.columns if not column.unmeasured)
    if not measured:
        return False  # nothing to gain: the closer look converts nothing either
    if len(measured) < len(schema.columns):
        plan = replace(plan, schema=replace(schema, columns=measured, matrix=False, record=None))
    try:
        parse.rows(records.stretch(first, last), plan)
    except Unreadable:
        return False
    return True
