"""Chunks of text to blocks of rows.

Reads from : text.chunks, by Polars
Hands to   : text.ingesting, text.widths

Guarantees
- Each record becomes one row: fields and records are counted apart from the parser, and compared.
- Numbers are the float64 (float32, int...) nearest to their text; those that a type cannot hold are errors.
- Memory is a multiple of the chunk's bytes, see `CHUNK_COST`, whatever the width of the rows.

Polars is told every type and infers nothing, so the result does not depend on where chunks end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.selectors import float as floats

from outcore.text import columns as conversion
from outcore.text.chunks import last_record_end
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.records import count, count_byte, without_blank
from outcore.text.schema import Schema

#: Bytes in use at the peak for each byte of a chunk: the text with its copies while it is cut (4), the table
#: that Polars makes of a part of it (`TABLE_COST`), and a block of rows with its temporaries (2).
CHUNK_COST = 12
TABLE_COST = 6
ROWS_COST = 2
#: What Polars takes for a cell, whatever is in it: 16 bytes, and twice that while its buffers grow.
CELL_BYTES = 48


@dataclass(frozen=True)
class Plan:
    """All that is needed to turn text into rows.

    Attributes
    ----------
    on_error : {"stop", "reject", "mask"}
        What becomes of a record that cannot be read.
    truncate : bool
        Whether text that is wider than its dtype is cut.
    """

    dialect: Dialect
    schema: Schema
    meaning: Values
    on_error: Literal["stop", "reject", "mask"] = "stop"
    truncate: bool = False


class Unreadable(Exception):  # noqa: N818 - a signal to look for the place, not an error for users
    """Something in this chunk is no value; `text.faults` knows how to find it."""


def tables(data: bytes, plan: Plan, chunk_bytes: int) -> Iterator[pl.DataFrame]:
    """Parse the kept columns of a chunk, in parts whose tables fit beside it.

    Yields
    ------
    polars.DataFrame
        Let go of it before asking for the next one.

    Raises
    ------
    Unreadable
        A record has the wrong number of fields, or Polars refuses the text.
    """
    cells = (count_byte(data, "\n") + 1) * len(plan.schema.columns)
    parts = -(-cells * CELL_BYTES // (TABLE_COST * chunk_bytes))
    if parts <= 1:
        yield _table(data, plan)
        return
    size, start = -(-len(data) // parts), 0
    while start < len(data):
        end = last_record_end(data[start : start + size], plan.dialect.quote) or len(data) - start
        yield _table(data[start : start + end], plan)
        start += end


def blocks(frame: pl.DataFrame, plan: Plan, chunk_bytes: int) -> Iterator[NDArray[Any]]:
    """Turn a table into blocks of rows.

    Raises
    ------
    Unreadable
        A cell is no value of its column's type.
    """
    step = max(1, ROWS_COST * chunk_bytes // _row_cost(plan.schema))
    for start in range(0, frame.height, step):
        yield _rows(frame.slice(start, step), plan)


def _table(data: bytes, plan: Plan) -> pl.DataFrame:
    """Parse, and check that each record has all its fields and became one row."""
    dialect, schema = plan.dialect, plan.schema
    counts = count(data, dialect)
    if counts.separators != counts.records * (len(schema.file_names) - 1):
        raise Unreadable("a record has the wrong number of fields")
    if dialect.encoding == "ascii" and not data.isascii():
        raise Unreadable("a byte is not ASCII")
    if counts.blank:
        data = without_blank(data, dialect)
    frame = _read_typed(data, plan) if counts.records else None
    if frame is None:
        frame = read_texts(data, plan)
    if frame.height != counts.records:
        raise Unreadable(f"{counts.records} records became {frame.height} rows")
    return frame


def read_texts(data: bytes, plan: Plan) -> pl.DataFrame:
    """Parse the kept columns as text; missing cells are null.

    Raises
    ------
    Unreadable
        Polars refuses the text.
    """
    try:
        return _read(data, plan, {})
    except pl.exceptions.PolarsError as error:
        raise Unreadable(str(error)) from error


def _read_typed(data: bytes, plan: Plan) -> pl.DataFrame | None:
    """Parse numbers as numbers; None where a closer look at their texts is needed.

    Both ways must give the same values, or these would depend on what else is in a chunk.
    """
    if plan.meaning.hidden:
        return None
    types: dict[int, pl.DataType] = {}
    for column in plan.schema.columns:
        wanted = conversion.native_type(column, plan.dialect.decimal)
        # A column may be kept twice, as different types.
        types[column.place] = wanted if types.get(column.place, wanted) == wanted else pl.String()
    try:
        frame = _read(data, plan, types)
    except pl.exceptions.PolarsError:
        return None  # blanks behind a number are enough
    # Infinite: written so, or too large for the type? NaN: written so, or " nan", which is to be filled?
    unclear = floats().is_infinite() if plan.meaning.fill is None else ~floats().is_finite()
    return None if any(any(row) for row in frame.select(unclear.any()).rows()) else frame


def _read(data: bytes, plan: Plan, types: dict[int, pl.DataType]) -> pl.DataFrame:
    dialect = plan.dialect
    names = [f"column_{i + 1}" for i in range(len(plan.schema.file_names))]  # the only names it can project
    wanted = [names[column.place] for column in plan.schema.columns]
    if not data:
        return pl.DataFrame({name: pl.Series([], dtype=pl.String) for name in wanted})
    return pl.read_csv(
        data,
        has_header=False,
        schema={name: types.get(i, pl.String()) for i, name in enumerate(names)},
        columns=list(dict.fromkeys(wanted)),
        separator=dialect.separator,
        quote_char=dialect.quote or None,
        null_values=[text for text in plan.meaning.na_values if text] or None,
        infer_schema=False,
    )


def _rows(frame: pl.DataFrame, plan: Plan) -> NDArray[Any]:
    schema = plan.schema
    # Zeros rather than whatever was in memory: a dtype may have padding.
    rows = np.zeros((frame.height, *schema.row_shape), schema.dtype)
    for i, column in enumerate(schema.columns):
        values, wrong = conversion.convert(frame[f"column_{column.place + 1}"], column, plan.meaning)
        if wrong.any():
            raise Unreadable(f"{column.name} holds a cell that is not {column.dtype}")
        if schema.matrix:
            rows[:, i] = values
        else:
            rows[schema.dtype.names[i]] = values  # type: ignore[index]  # structured
    return rows


def _row_cost(schema: Schema) -> int:
    """Bytes that a row takes while it is made: itself, and the temporaries of one column."""
    row = schema.dtype.itemsize * max(1, len(schema.columns) if schema.matrix else 1)
    return row + max(conversion.work_bytes(column) for column in schema.columns)
