"""Clean text of whole records to rows.

Reads from : text.cleaning, by Polars
Hands to   : text.reading, text.survey, text.faults

Guarantees
- Each record becomes one row: fields and records are counted apart from the parser, and compared.
- Numbers are the float64 (float32, int...) nearest to their text; those that a type cannot hold are errors.
- Memory is that of the rows and `TABLE_COST` times the text.

Polars is told every type and infers nothing, so the result does not depend on where chunks end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outcore.text import columns as conversion
from outcore.text.boundaries import count_byte, first_record_end, last_record_end
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.records import count, even, unsound, without_blank
from outcore.text.schema import Schema

#: Bytes of Polars' table for each byte of text; larger ones are made in parts.
TABLE_COST = 4
#: What Polars takes for a cell of text, whatever is in it: 16 bytes, and twice that while its buffers grow.
CELL_BYTES = 48
#: Tables of one type and at least so many columns are read as one column, cell below cell: what Polars does
#: for each column makes it six times slower at 20 000 columns, and no faster below this number.
WIDE = 128
#: Takes the place of a delimiter where there is none; a number that holds it is no number.
_NOWHERE = "\x01"


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

    @cached_property  # 20 000 columns take a while, and there are many chunks
    def keeps_all(self) -> bool:
        """Whether Polars is asked for every column of the files."""
        return len({column.place for column in self.schema.columns}) == len(self.schema.file_names)

    @cached_property
    def uniform(self) -> bool:
        """Whether rows are those of a matrix of numbers, with the columns of the files in their order."""
        schema = self.schema
        first = schema.columns[0] if schema.columns else None
        return (
            first is not None
            and schema.matrix
            and first.dtype.kind in "biuf"
            and len(schema.columns) == len(schema.file_names)
            and all(
                column.place == i and column.dtype == first.dtype and column.categories is None
                for i, column in enumerate(schema.columns)
            )
        )


class Unreadable(Exception):  # noqa: N818 - a signal to look for the place, not an error for users
    """Something in this text is no value; `text.faults` knows how to find it."""


@dataclass(frozen=True)
class Rows:
    """Rows, and how many of their texts were cut to fit."""

    values: NDArray[Any]
    cut: int = 0


def rows(data: bytes, plan: Plan) -> Rows:
    """Turn text into rows.

    Raises
    ------
    Unreadable
        A record has the wrong number of fields, a cell is no value of its column's type, or Polars refuses
        the text.
    """
    wide = len(plan.schema.columns) >= WIDE and plan.uniform
    if wide and not (plan.dialect.quote and plan.dialect.quote.encode() in data):
        return _wide_rows(data, plan)
    at_once = _at_once(data, plan)
    if at_once is not None:
        return at_once
    data, n_records = checked(data, plan)
    made = _Making(n_records, plan, TABLE_COST * len(data))
    if n_records:
        for part in parts(data, plan.dialect, _typed_row_bytes(plan.schema), TABLE_COST * len(data)):
            frame = _read_typed(part, plan)
            if frame is not None:
                made.add(frame)
            else:
                for table in texts(part, plan):
                    made.add(table)
            del frame  # before the next one is made
    return made.finished()


def _at_once(data: bytes, plan: Plan) -> Rows | None:
    """Read text of the usual kind by one look; None where more care is needed.

    Where no cell is missing no record is too short, and no line is blank: then nothing has to be counted,
    which is a tenth of the time. That holds only if all columns are kept: Polars passes over what follows the
    last one that is, or is missing there.
    """
    if not plan.keeps_all:
        return None
    n_lines = count_byte(data, 0x0A) + (not data.endswith(b"\n"))
    if not data or _typed_row_bytes(plan.schema) * n_lines > TABLE_COST * len(data):
        return None
    if plan.dialect.quote and plan.dialect.quote.encode() in data:
        return None
    if unsound(data, plan.dialect):
        return None
    frame = _read_typed(data, plan)
    if frame is None or frame.height != n_lines:
        return None
    if any(series.null_count() for series in frame):
        counts = count(data, plan.dialect)
        if counts.blank or counts.separators != n_lines * (len(plan.schema.file_names) - 1):
            return None
    made = _Making(n_lines, plan, TABLE_COST * len(data))
    made.add(frame)
    return made.finished()


def _typed_row_bytes(schema: Schema) -> int:
    """Bytes that Polars takes for a record whose numbers it reads as numbers."""
    kinds = [column.dtype for column in schema.columns]
    return sum(2 * kind.itemsize if kind.kind in "iuf" else CELL_BYTES for kind in kinds)


def checked(data: bytes, plan: Plan) -> tuple[bytes, int]:
    """Check records and fields; return the text without blank lines, and the number of records.

    Raises
    ------
    Unreadable
        A record has too few or too many fields, or a byte cannot be text.
    """
    counts, n_fields = count(data, plan.dialect), len(plan.schema.file_names)
    if counts.separators != counts.records * (n_fields - 1):
        raise Unreadable("a record has the wrong number of fields")
    if reason := unsound(data, plan.dialect):
        raise Unreadable(reason)
    if counts.blank:
        data = without_blank(data, plan.dialect)
    # A record that is too long makes up for one that is too short. Polars refuses it, but only where all
    # columns are kept.
    if not plan.keeps_all and not even(data, plan.dialect, n_fields):
        raise Unreadable("a record has the wrong number of fields")
    return data, counts.records


def texts(data: bytes, plan: Plan) -> Iterator[pl.DataFrame]:
    """Parse the kept columns as text, in parts whose tables fit beside it; missing cells are null.

    Parameters
    ----------
    data : bytes
        Without blank lines.

    Yields
    ------
    polars.DataFrame
        Let go of it before asking for the next one.

    Raises
    ------
    Unreadable
        Polars refuses the text, or makes more or fewer rows of it than there are records.
    """
    for part in parts(data, plan.dialect, CELL_BYTES * len(plan.schema.columns), TABLE_COST * len(data)):
        table = read_texts(part, plan)
        found = count(part, plan.dialect).records
        if table.height != found:
            raise Unreadable(f"{found} records became {table.height} rows")
        yield table
        del table


def parts(data: bytes, dialect: Dialect, row_bytes: int, room_bytes: int) -> Iterator[bytes]:
    """Cut text so that the rows of each part take at most `room_bytes`, or that it is a single record."""
    if count_byte(data, 0x0A) * row_bytes > room_bytes:
        middle = last_record_end(data[: len(data) // 2], dialect) or first_record_end(data, dialect)
        if 0 < middle < len(data):
            yield from parts(data[:middle], dialect, row_bytes, room_bytes)
            yield from parts(data[middle:], dialect, row_bytes, room_bytes)
            return
    yield data


class _Making:
    """An array of rows that is filled table by table, with temporaries of at most `room_bytes`."""

    def __init__(self, n_records: int, plan: Plan, room_bytes: int) -> None:
        self._plan = plan
        self._filled = 0
        self._cut = 0
        schema = plan.schema
        self._step = max(1, room_bytes // max(conversion.work_bytes(column) for column in schema.columns))
        # Zeros rather than whatever was in memory: a dtype may have padding.
        self._rows = np.zeros((n_records, *schema.row_shape), schema.dtype)

    def add(self, table: pl.DataFrame) -> None:
        if self._filled + table.height > len(self._rows):
            raise Unreadable(f"{len(self._rows)} records became more rows")
        for start in range(0, table.height, self._step):
            # To slice a table of a single row is to copy it.
            self._add(table.slice(start, self._step) if table.height > self._step else table)

    def _add(self, table: pl.DataFrame) -> None:
        schema = self._plan.schema
        rows = self._rows[self._filled : self._filled + table.height]
        for i, column in enumerate(schema.columns):
            to = rows[:, i] if schema.matrix else rows[schema.dtype.names[i]]  # type: ignore[index]  # structured
            values, wrong, cut = conversion.convert(
                table[f"column_{column.place + 1}"],
                column,
                self._plan.meaning,
                truncate=self._plan.truncate,
                out=to,
            )
            self._cut += cut
            if wrong.any():
                raise Unreadable(f"{column.name} holds a cell that is not {column.dtype}")
            if values is not to:
                to[...] = values
        self._filled += table.height

    def finished(self) -> Rows:
        if self._filled != len(self._rows):
            raise Unreadable(f"{len(self._rows)} records became {self._filled} rows")
        return Rows(self._rows, self._cut)


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
    return None if _unclear(frame, plan) else frame


def _unclear(frame: pl.DataFrame, plan: Plan) -> bool:
    # Without the columns of text: of a frame with a single row, Polars copies what it is not asked for too.
    numbers = [column for column in frame if column.dtype.is_float()]
    if not numbers:
        return False
    # Infinite: written so, or too large for the type? NaN: written so, or " nan", which is to be filled?
    unclear = pl.all().is_infinite() if plan.meaning.fill is None else ~pl.all().is_finite()
    return any(any(row) for row in pl.DataFrame(numbers).select(unclear.any()).rows())


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
        null_values=_possible([text for text in plan.meaning.na_values if text], data) or None,
        infer_schema=False,
    )


def _possible(texts: list[str], data: bytes) -> list[str]:
    """Leave out texts of which a character is missing in `data`.

    Polars compares every cell with every text that means "missing", which is a third of its time.
    """
    return [
        text for text in texts if all(text.encode()[i : i + 1] in data for i in range(len(text.encode())))
    ]


def _wide_rows(data: bytes, plan: Plan) -> Rows:
    """Read a table whose columns are all of one type as one column, and fold it."""
    data, n_records = checked(data, plan)
    n_columns = len(plan.schema.columns)
    # Each record on its own, not only all together: one that is too short would be filled by the next.
    if not even(data, plan.dialect, n_columns):
        raise Unreadable("a record has the wrong number of fields")
    if data and not data.endswith(b"\n"):
        data += b"\n"  # or an empty last cell would be lost
    cells = data.translate(bytes.maketrans(plan.dialect.separator.encode(), b"\n"))
    one = replace(plan.schema.columns[0], place=0)
    narrow = replace(
        plan,
        dialect=replace(plan.dialect, delimiter=_NOWHERE, quote=""),
        schema=replace(plan.schema, file_names=("cell",), columns=(one,)),
    )
    made = _Making(n_records * n_columns, narrow, TABLE_COST * len(data))
    if n_records:
        frame = _read_typed(cells, narrow)
        if frame is not None:
            made.add(frame)
        else:
            for part in parts(cells, narrow.dialect, CELL_BYTES, TABLE_COST * len(data)):
                made.add(read_texts(part, narrow))
    flat = made.finished()
    return Rows(flat.values.reshape(n_records, n_columns), flat.cut)
