"""Say exactly which cell of a chunk could not be read, and what to do about it.

Reads from : text.chunks.Chunk, after `text.parse` refused it
Hands to   : text.ingesting

Only a chunk that failed is looked at again, with the same conversions that refused it; clean chunks pay
nothing for the exact place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outcore.errors import IngestError
from outcore.text.chunks import Chunk
from outcore.text.columns import convert
from outcore.text.dialect import Dialect, split
from outcore.text.parse import Plan, Unreadable, read_texts
from outcore.text.records import Lines, fields_in_each, lines, stray_quote, without_blank
from outcore.text.schema import Column

SHOWN = 60


@dataclass(frozen=True)
class _Fault:
    """The first thing that is wrong: in which record of the chunk, in which field (-1: the record)."""

    record: int
    field: int
    what: str
    cure: str


def explain(chunk: Chunk, plan: Plan, *, earlier_rows: int, target: str, reason: Exception) -> IngestError:
    """Build the error for a chunk that could not be read.

    Parameters
    ----------
    earlier_rows : int
        Rows of this file that came before the chunk.
    target : str
        Where nothing was written.
    reason : Exception
        Why it was refused; told if nothing better is found.
    """
    found = lines(chunk.data, plan.dialect)
    fault = _first(chunk, plan, found)
    if fault is None:
        fault = _Fault(0, -1, f"the parser refused the text after this line: {reason}", "Check the quotes.")
    start = int(found.starts[fault.record]) if len(found.starts) else 0
    line = chunk.first_line + chunk.data.count(b"\n", 0, start)
    place = f"{chunk.path}:{line}" + (f":{fault.field + 1}" if fault.field >= 0 else "")
    fine = earlier_rows + fault.record
    return IngestError(
        f"{place}  {fault.what}\n"
        f"  {fine} earlier row{'s' * (fine != 1)} of this file {'were' if fine != 1 else 'was'} fine; "
        f"nothing was written to {target}.\n{fault.cure}"
    )


def _first(chunk: Chunk, plan: Plan, found: Lines) -> _Fault | None:
    faults = [
        fault
        for fault in (
            _quoting(chunk, plan, found),
            _fields(chunk, plan, found),
            _encoding(chunk, plan, found),
        )
        if fault is not None
    ]
    limit = min((fault.record for fault in faults), default=len(found.starts))
    cell = _cell(chunk, plan, found, limit)
    if cell is not None:
        return cell
    return min(faults, key=lambda fault: fault.record, default=None)


def _quoting(chunk: Chunk, plan: Plan, found: Lines) -> _Fault | None:
    at = stray_quote(chunk.data, plan.dialect)
    if at < 0:
        return None
    around = chunk.data[max(at - 10, 0) : at + 10].decode(errors="replace")
    return _Fault(
        _record_at(found, at),
        -1,
        f"a quote {plan.dialect.quote} stands in the middle of a field: {around!r}",
        "Double it inside a quoted field, or use quote=None (--quote '') if quotes mean nothing here.",
    )


def _fields(chunk: Chunk, plan: Plan, found: Lines) -> _Fault | None:
    wanted = len(plan.schema.file_names)
    counts = fields_in_each(chunk.data, plan.dialect, found.starts)
    wrong = np.flatnonzero(counts != wanted)
    if not len(wrong):
        return None
    record = int(wrong[0])
    text = chunk.data[found.starts[record] : found.ends[record]].decode(errors="replace")
    return _Fault(
        record,
        -1,
        f"{counts[record]} field{'s' * (int(counts[record]) != 1)}, expected {wanted}: {_short(text)!r}",
        f"Correct the line, or name another delimiter than {plan.dialect.delimiter!r} (--delimiter).",
    )


def _encoding(chunk: Chunk, plan: Plan, found: Lines) -> _Fault | None:
    encoding = "ascii" if plan.dialect.encoding == "ascii" else "utf-8"
    try:
        chunk.data.decode(encoding)
    except UnicodeDecodeError as error:
        around = chunk.data[max(error.start - 10, 0) : error.start + 10]
        return _Fault(
            _record_at(found, error.start),
            -1,
            f"byte 0x{chunk.data[error.start]:02x} is not {plan.dialect.encoding}: {around!r}",
            'Use encoding="latin-1" (--encoding latin-1), or the encoding that the files have.',
        )
    return None


def _record_at(found: Lines, position: int) -> int:
    return max(int(np.searchsorted(found.starts, position, side="right")) - 1, 0)


def _cell(chunk: Chunk, plan: Plan, found: Lines, limit: int) -> _Fault | None:
    """Find the first bad cell in the records before `limit`."""
    if limit == 0:
        return None
    data = chunk.data[: int(found.stops[limit - 1])]
    try:
        texts = read_texts(without_blank(data, plan.dialect), plan)
    except Unreadable:
        return None
    first: tuple[int, int, Column] | None = None
    for column in plan.schema.columns:
        if column.unmeasured:
            continue  # any text will do
        _, wrong = convert(texts[f"column_{column.place + 1}"], column, plan.meaning)
        if wrong.any() and (first is None or (int(wrong.argmax()), column.place) < first[:2]):
            first = (int(wrong.argmax()), column.place, column)
    if first is None:
        return None
    record, place, column = first
    text = _text_of(chunk.data[found.starts[record] : found.ends[record]], place, plan.dialect)
    what, cure = _diagnosis(text, column, plan)
    return _Fault(record, place, f"{column.name}: {what}", cure)


def _text_of(record: bytes, place: int, dialect: Dialect) -> str:
    (fields,) = split(record.decode(errors="replace"), dialect)
    return fields[place]


def _diagnosis(text: str, column: Column, plan: Plan) -> tuple[str, str]:
    dtype, plain = column.dtype, text.strip(" ")
    if not plain or plain in plan.meaning.na_values:
        return (
            f"{text!r} is a missing value, which {dtype} cannot express",
            'Use fill=VALUE (--fill VALUE) to stand for missing values, or a float dtype ("f8") for NaN.',
        )
    if dtype.kind in "SU":
        size = len(text.encode()) if dtype.kind == "S" else len(text)
        unit = "bytes" if dtype.kind == "S" else "characters"
        width = dtype.itemsize // (1 if dtype.kind == "S" else 4)
        return (
            f"{_short(text)!r} has {size} {unit}, {dtype.kind}{width} holds {width}; nothing is cut",
            f'Use "{dtype.kind}{size}" or wider, or "{dtype.kind}" to measure the data first.',
        )
    return f"{_short(text)!r} is not {dtype}", _cure(plain, column, plan)


def _cure(text: str, column: Column, plan: Plan) -> str:
    mark = plan.meaning.decimal
    if column.dtype.kind in "fiu":
        if mark == "." and text.count(",") == 1 and text.replace(",", "").lstrip("+-").isdigit():
            return 'Use decimal="," (--decimal ,) if that is a decimal comma.'
        if _number(text.replace(mark, ".")) is not None:
            return f"Use a dtype for {column.name} that holds it, such as {_wider(text, column)!r}."
    if column.dtype.kind == "M":
        return 'Dates are written 2024-01-31 or 2024-01-31T12:30:59; a dtype such as "S30" keeps any text.'
    return (
        f"Add {_short(text)!r} to na_values (--na) if it means a missing value, or give {column.name} "
        f'another dtype, such as "S{max(len(text), 1)}".'
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _wider(text: str, column: Column) -> str:
    whole = text.lstrip("+-").isdigit()
    if column.dtype.kind == "f" or not whole:
        return "f8" if column.dtype.itemsize < 8 or column.dtype.kind != "f" else f"S{len(text)}"
    return "i8" if -(2**63) <= int(text) < 2**63 else "f8"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
