"""The faults of a chunk as a list: each with file, line, column, byte, text and words.

Reads from : text.faults
Hands to   : text.rejects, text.messages

Guarantees
- Lines, columns and bytes are those of the file as it was written, see `text.places`.
- A fault is made when it is asked for; until then it takes about 100 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from outcore.text import diagnosis
from outcore.text.diagnosis import KINDS
from outcore.text.locating import located
from outcore.text.parse import Plan
from outcore.text.places import SAME_BYTES, Chunk
from outcore.text.records import Positions
from outcore.text.structure import Found, Records

#: Faults of a chunk that are told in full; the others have no `cure` and no `context`.
TOLD = 10_000
#: Characters of a cell or record that a fault keeps; and bytes of it that its words are made from.
TEXT_CHARACTERS, LOOKED_AT = 200, 1 << 16
#: The longest record that is shown around a cell.
CONTEXT_CHARACTERS = 100
#: Faults that are made at a time.
_AT_A_TIME = 4096


@dataclass(frozen=True)
class Fault:
    """A cell or a record that cannot be read.

    Attributes
    ----------
    path : str
        The file.
    line : int
        Physical line, from 1, on which the record starts.
    column : int
        Field, from 1; 0 for the record as a whole.
    byte : int
        Where the record starts in the file behind decompression, in the file's own encoding.
    field : str
        The column's name; "" for the record as a whole.
    kind : str
        One of `KINDS`.
    text : str
        The cell without the quotes around it, or the record or badly quoted cell as it is written; at most
        `TEXT_CHARACTERS` of it. Bytes that are no text are written with backslashes.
    what, cure : str
        What is wrong, and what to type.
    context : str
        The record with carets under the cell, in two lines; "" if that does not fit.
    earlier : int
        Records of the same file before this one in the chunk.
    piece : int
        The piece of the chunk that it is in.
    """

    path: str
    line: int
    column: int
    byte: int
    field: str
    kind: str
    text: str
    what: str = ""
    cure: str = ""
    context: str = ""
    earlier: int = 0
    piece: int = 0

    @property
    def place(self) -> str:
        """``file:line:column``, or ``file:line``.

        Examples
        --------
        >>> Fault("x.csv", 3, 2, 14, "pct", "type", "1,5").place
        'x.csv:3:2'
        """
        return f"{self.path}:{self.line}" + (f":{self.column}" if self.column else "")


@dataclass(frozen=True)
class _Row:
    """One fault as numbers; `start` and `end` are those of its text, `record_start` of its record."""

    field: int
    column: int
    kind: int
    fields: int
    start: int
    end: int
    record_start: int
    record_end: int
    line: int
    byte: int
    piece: int
    earlier: int


class Faults(Sequence[Fault]):
    """Faults of one chunk, in the order of records and fields; each is made when it is asked for."""

    def __init__(self, chunk: Chunk, plan: Plan, records: Records, found: Found) -> None:
        self._chunk = chunk
        self._plan = plan
        self._data = records.data
        line, byte, piece, earlier, raw_start, raw_end = located(chunk, records, found.record)
        # Of a record as a whole, what was written counts, not what is left once runs of blanks are gone.
        whole = found.field < 0
        starts, ends = records.cells(found.record, np.maximum(found.field, 0))
        self._piece = piece
        self._arrays = (
            found.field,
            found.column,
            found.kind,
            records.fields[found.record],
            np.where(whole, raw_start, starts),
            np.where(whole, raw_end, ends),
            records.starts[found.record],
            records.ends[found.record],
            line,
            byte,
            piece,
            earlier,
        )

    @property
    def pieces(self) -> Positions:
        """The piece of the chunk that each is in."""
        return self._piece

    def __len__(self) -> int:
        return len(self._piece)

    @overload
    def __getitem__(self, index: int) -> Fault: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fault]: ...
    def __getitem__(self, index: int | slice) -> Fault | Sequence[Fault]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        i = range(len(self))[index]
        return next(self._made(i, i + 1))

    def __iter__(self) -> Iterator[Fault]:
        for start in range(0, len(self), _AT_A_TIME):
            yield from self._made(start, start + _AT_A_TIME)

    def _made(self, start: int, stop: int) -> Iterator[Fault]:
        rows = zip(*(array[start:stop].tolist() for array in self._arrays), strict=True)
        for i, row in enumerate(rows, start):
            yield self._fault(_Row(*row), told=i < TOLD)

    def _fault(self, row: _Row, *, told: bool) -> Fault:
        piece = self._chunk.pieces[row.piece]
        text = self._text(row, TEXT_CHARACTERS)
        what, cure = self._words(row, text) if told else (f"{diagnosis.short(text)!r}: {KINDS[row.kind]}", "")
        return Fault(
            path=piece.path,
            line=row.line,
            column=row.field + 1,
            byte=row.byte,
            field=self._name(row),
            kind=KINDS[row.kind],
            text=text,
            what=what,
            cure=cure,
            context=self._context(row) if told else "",
            earlier=row.earlier,
            piece=row.piece,
        )

    def _name(self, row: _Row) -> str:
        schema = self._plan.schema
        if row.column >= 0:
            return schema.columns[row.column].name
        if not 0 <= row.field < len(schema.file_names):
            return ""
        kept = (column.name for column in schema.columns if column.place == row.field)
        return next(kept, schema.file_names[row.field])

    def _words(self, row: _Row, text: str) -> tuple[str, str]:
        plan, encoding = self._plan, self._chunk.pieces[row.piece].encoding
        if row.kind == diagnosis.FIELDS:
            return diagnosis.uneven_words(row.fields, len(plan.schema.file_names), text, plan.dialect)
        if row.kind == diagnosis.QUOTE:
            return diagnosis.quote_words(text, plan.dialect)
        if row.kind == diagnosis.NUL:
            return diagnosis.nul_words(text)
        if row.kind == diagnosis.ENCODING:
            as_written = self._bytes(row, LOOKED_AT) if encoding in SAME_BYTES else b""
            return diagnosis.encoding_words(as_written, text, encoding)
        if row.column < 0:
            return diagnosis.refused_words(text)
        cell = text if len(text) < TEXT_CHARACTERS else self._text(row, LOOKED_AT)
        return diagnosis.words(row.kind, cell, plan.schema.columns[row.column], plan.meaning)

    def _text(self, row: _Row, limit: int) -> str:
        """Return the text of a fault, shortened."""
        data = self._bytes(row, 4 * limit + 4)
        mark = self._plan.dialect.quote.encode()
        if row.field < 0:
            data = data.removesuffix(b"\r")
        elif mark and row.kind != diagnosis.QUOTE and data.startswith(mark):
            data = data[1:].removesuffix(mark).replace(mark * 2, mark)
        text = _shown(data, self._chunk.pieces[row.piece].encoding)
        return text if len(text) <= limit else text[: limit - 3] + "..."

    def _bytes(self, row: _Row, limit: int) -> bytes:
        """Return the bytes of a fault, as many as are asked for, up to the end of a character."""
        data = self._chunk.data if row.field < 0 else self._data
        end = row.end
        if end - row.start > limit:
            end = row.start + limit
            while end > row.start and data[end] & 0xC0 == 0x80:
                end -= 1
        return data[row.start : end]

    def _context(self, row: _Row) -> str:
        if row.field < 0 or row.fields == 1 or row.record_end - row.record_start > 4 * CONTEXT_CHARACTERS:
            return ""
        try:
            record = self._data[row.record_start : row.record_end].decode().replace("\t", " ")
        except UnicodeDecodeError:
            return ""
        # Carets stand right only under letters that are all of one width.
        if len(record) > CONTEXT_CHARACTERS or not record.isascii() or not record.isprintable():
            return ""
        return f"{record}\n{' ' * (row.start - row.record_start)}{'^' * max(row.end - row.start, 1)}"


def _shown(data: bytes, encoding: str) -> str:
    """Make text of bytes; backslashes for those that are none."""
    if encoding in SAME_BYTES:
        text = data.decode("utf-8", "backslashreplace")
    else:
        text = data.decode("utf-8", "surrogatepass")
        if not encoding.startswith("utf-16"):  # lone surrogates stand for single bytes
            text = "".join(f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in text)
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00")
