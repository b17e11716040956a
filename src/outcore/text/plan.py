"""Decide how to read the files: dialect, columns and types, from samples of every file.

Reads from : text.chunks (samples)
Hands to   : text.ingesting

The samples are the start of each file and, where it is not compressed, pieces of its middle and its end. What
is decided here holds for all files and is never changed on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from outcore.errors import IngestError, OptionError
from outcore.text.cells import Cells
from outcore.text.chunks import read_chunks
from outcore.text.columns import Values
from outcore.text.dialect import (
    WHITESPACE,
    Dialect,
    check_options,
    sniff_delimiter,
    sniff_header,
    split,
    squeeze,
)
from outcore.text.parse import Plan
from outcore.text.schema import (
    Guess,
    Schema,
    given_schema,
    guessed_schema,
    parse_dtype,
    select,
    valid_names,
)
from outcore.text.sources import Source

#: Bytes of the start of a file that are looked at; a compressed file has no cheap middle, so more of it.
HEAD_BYTES, COMPRESSED_HEAD_BYTES = 1 << 17, 1 << 20
#: Of many files less is looked at: so much of all together, but at least so much of each.
ALL_BYTES, LEAST_BYTES = 1 << 25, 1 << 12
#: Records that a sample should have; where they are wide, it may take 16 times the bytes above.
HEAD_RECORDS = 20


@dataclass(frozen=True)
class Wishes:
    """What the user said about the text; None means: find out."""

    dtype: DTypeLike | None
    delimiter: str | None
    header: bool | None
    names: Sequence[str] | None
    columns: Sequence[str | int] | None
    skip_rows: int
    comment: str | None
    quote: str | None
    encoding: str
    decimal: str
    na_values: Sequence[str]
    fill: float | None


def make_plan(sources: list[Source], wishes: Wishes) -> Plan:
    """Decide how to read `sources`.

    Raises
    ------
    IngestError
        The files differ in header or number of columns, or there is nothing to go by.
    OptionError, DTypeError
        A wish that makes no sense, or does not fit the files.
    """
    encoding = check_options(wishes.delimiter, wishes.quote, wishes.comment, wishes.decimal, wishes.encoding)
    if wishes.skip_rows < 0:
        raise OptionError(f"skip_rows={wishes.skip_rows} is not a number of lines.\nUse 0 or more.")
    na_values = (wishes.na_values,) if isinstance(wishes.na_values, str) else tuple(wishes.na_values)
    meaning = Values(na_values, wishes.fill, wishes.decimal)
    dtype = None if wishes.dtype is None else parse_dtype(wishes.dtype)
    dialect = Dialect(
        wishes.delimiter or ",",
        wishes.quote or "",
        wishes.comment or "",
        encoding,
        wishes.decimal,
        wishes.skip_rows,
    )
    planning = _Planning(sources, dialect, wishes, Cells(frozenset(na_values), wishes.decimal))
    dialect, schema = planning.schema(dtype)
    _check_fill(wishes.fill, schema)
    return Plan(dialect, schema, meaning)


class _Planning:
    """Looks at the files, one after the other; keeps nothing of them but what their cells have in common."""

    def __init__(self, sources: list[Source], dialect: Dialect, wishes: Wishes, cells: Cells) -> None:
        self._sources = sources
        self._dialect = dialect
        self._wishes = wishes
        self._cells = cells
        self._nbytes = min(HEAD_BYTES, max(LEAST_BYTES, ALL_BYTES // max(len(sources), 1)))

    def schema(self, dtype: np.dtype[Any] | None) -> tuple[Dialect, Schema]:
        """Complete the dialect and choose the columns."""
        model, first = self._begin()
        file_names = _names(first, self._wishes.names, dtype, header=self._dialect.header)
        places = select(self._wishes.columns, file_names, first if self._dialect.header else ())
        guesses = {place: Guess(self._cells) for place in places} if dtype is None else {}
        for source in self._sources:
            records = self._head(source)
            if records and model is not None:
                _compare(source, records[0], model, first, self._dialect)
                _learn(guesses, records[1:] if self._dialect.header else records, len(first))
                for text in self._pieces(source) if guesses else ():
                    _learn(guesses, self._split(text), len(first))
        if dtype is None:
            filled = self._wishes.fill is not None
            return self._dialect, guessed_schema(guesses, file_names, places, fill=filled)
        named = self._dialect.header or self._wishes.names is not None
        return self._dialect, given_schema(dtype, file_names, places, named=named)

    def _begin(self) -> tuple[Source | None, list[str]]:
        """Find the first file with records, and what it says about the dialect; return its first record."""
        for source in self._sources:
            text = self._text(source)
            if not text.strip():
                continue
            if self._wishes.delimiter is None:
                found = sniff_delimiter(text, self._dialect, self._cells)
                self._dialect = replace(self._dialect, delimiter=found)
            records, header = self._split(text), self._wishes.header
            if header is None:
                header = sniff_header(records, self._cells)
            self._dialect = replace(self._dialect, header=header)
            return source, records[0]
        return None, []

    def _head(self, source: Source) -> list[list[str]]:
        return self._split(self._text(source))

    def _text(self, source: Source) -> str:
        """Whole records from the start of a file, its header among them."""
        nbytes = self._nbytes * (COMPRESSED_HEAD_BYTES // HEAD_BYTES if source.compression else 1)
        # Not squeezed yet, even where that was asked for: `_split` does it.
        plain = (
            replace(self._dialect, delimiter=",") if self._dialect.delimiter == WHITESPACE else self._dialect
        )
        data = b""
        for chunk in read_chunks(source, plain, nbytes, header=True):
            if b"\0" in chunk.data:
                raise IngestError(
                    f"{source.path} holds zero bytes: it is not {plain.encoding} text.\n"
                    "Ingest reads delimited text; an array file is opened with oc.open."
                )
            data += chunk.data
            if len(data) >= 16 * nbytes or data.strip().count(b"\n") >= HEAD_RECORDS:
                break
        return data.decode("utf-8", errors="replace")

    def _split(self, text: str) -> list[list[str]]:
        if self._dialect.delimiter == WHITESPACE:
            text = squeeze(text.encode(), self._dialect.quote).decode()
        return split(text, self._dialect)

    def _pieces(self, source: Source) -> Iterator[str]:
        """Whole lines from the middle and the end of an uncompressed file, behind what its head shows."""
        if source.compression:
            return
        encoding, comment = self._dialect.encoding, self._dialect.comment.encode()
        nbytes = self._nbytes // 2
        with source.open() as stream:
            for start in (source.nbytes // 2, source.nbytes - nbytes):
                if start < self._nbytes:
                    continue
                stream.seek(start)
                # The first line began before the piece, and the last one may end behind it.
                whole = stream.read(nbytes).split(b"\n")[1:]
                whole = whole if start + nbytes >= source.nbytes else whole[:-1]
                kept = [line for line in whole if not (comment and line.startswith(comment))]
                yield b"\n".join(kept).decode(encoding, errors="replace")


def _learn(guesses: dict[int, Guess], records: list[list[str]], width: int) -> None:
    """Take in records; those of another width say nothing: they may be parts of one with quoted lines."""
    for record in records:
        if len(record) == width:
            for place, guess in guesses.items():
                guess.add(record[place])


def _compare(source: Source, record: list[str], model: Source, first: list[str], dialect: Dialect) -> None:
    """Check that a file has the columns of the first one."""
    if dialect.header and record != first:
        raise IngestError(
            f"{source.path} has another header than {model.path}:\n"
            f"  {', '.join(first)}\n  {', '.join(record)}\n"
            "Ingest files of one kind at a time; if only the names differ, use header=False, skip_rows=1."
        )
    if len(record) != len(first):
        raise IngestError(
            f"{source.path} has {len(record)} columns; {model.path} has {len(first)}.\n"
            "Ingest files of one kind at a time."
        )


def _names(
    raw_names: list[str], given: Sequence[str] | None, dtype: np.dtype[Any] | None, *, header: bool
) -> tuple[str, ...]:
    """Name all columns of the files; `raw_names` is their first record, empty if they have none."""
    if given is not None:
        names = given.split(",") if isinstance(given, str) else list(given)
        if raw_names and len(names) != len(raw_names):
            raise OptionError(
                f"names has {len(names)} entries; the files have {len(raw_names)} columns: {raw_names}.\n"
                "Give one name for each column of the files; choose with columns=."
            )
        return valid_names(names)
    if raw_names:
        return valid_names(raw_names if header else [""] * len(raw_names))
    if dtype is not None and dtype.names:
        return dtype.names
    raise IngestError(
        "the files hold no records, so nothing says which columns there are.\n"
        'Give names and types: dtype="a:i4 b:f8".'
    )


def _check_fill(fill: float | None, schema: Schema) -> None:
    for column in schema.columns:
        if fill is not None and column.dtype.kind in "biuf" and not _holds(column.dtype, fill):
            raise OptionError(
                f"fill={fill!r} is no value of {column.name}, which is {column.dtype}.\n"
                "Use a number that every column can hold."
            )


def _holds(dtype: np.dtype[Any], fill: float) -> bool:
    if not isinstance(fill, (int, float, np.number, np.bool)):
        return False
    if dtype.kind == "f":
        return True
    if dtype.kind == "b":
        return fill in (0, 1)
    limits = np.iinfo(dtype)
    return bool(limits.min <= fill <= limits.max) and int(fill) == fill
