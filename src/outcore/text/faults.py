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

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import IngestError
from outcore.text import diagnosis, parse, structure
from outcore.text.cell_faults import wrong_cells
from outcore.text.cleaning import clean
from outcore.text.diagnosis import KINDS
from outcore.text.dialect import Dialect
from outcore.text.listing import Fault, Faults
from outcore.text.parse import Plan, Unreadable
from outcore.text.places import Chunk
from outcore.text.records import Positions
from outcore.text.structure import Found, Records, Spots

__all__ = ["KINDS", "Examined", "Fault", "Faults", "Inspected", "examine", "inspect"]


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
    left_out : ndarray of int64, shape (n_pieces,)
        Records of each piece that are not in `data`.
    """

    faults: Faults
    data: bytes
    plan: Plan
    n_records: int
    left_out: Positions


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
    left_out : ndarray of int64, shape (n_pieces,)
        Records of each piece that gave no row, or are not to give one.
    cut : int
        How many texts of `rows` were cut to fit.
    """

    rows: NDArray[Any] | None
    faults: Faults
    n_records: int
    left_out: Positions
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
        return Examined(None, found.faults, found.n_records, found.left_out)
    try:
        rows = parse.rows(found.data, found.plan)
    except Unreadable as reason:
        raise defect(chunk, str(reason)) from reason
    return Examined(rows.values, found.faults, found.n_records, found.left_out, rows.cut)


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
    cells = wrong_cells(_readable(records, broken, zeros, undecodable), np.flatnonzero(~broken), plan)
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
    whole = np.ones(len(found), np.bool_)
    if plan.on_error == "mask":  # a fault of quotes has a field, but its record has no cells
        whole = (found.field < 0) | (found.kind == diagnosis.QUOTE)
    data, changed = _kept(records, found, whole, plan)
    faults = Faults(chunk, plan, records, found)
    _, first = np.unique(found.record[whole], return_index=True)
    left_out = np.bincount(faults.pieces[whole][first], minlength=len(chunk.pieces))
    return Inspected(faults, data, changed, len(records), left_out)


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


def _kept(records: Records, found: Found, whole: NDArray[np.bool_], plan: Plan) -> tuple[bytes, Plan]:
    """Leave out the records of those faults that are `whole`, and the text of the other bad cells."""
    size = len(records.data)
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
