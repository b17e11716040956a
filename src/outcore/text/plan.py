"""Decide how to read the files: dialect, columns and types, from samples of every file or from a schema.

Reads from : text.samples, text.schema_file
Hands to   : text.ingesting

The samples are the start of each file and, where it is not compressed, pieces of its middle and its end. What
is decided here holds for all files and is never changed on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from outcore.errors import IngestError, OptionError
from outcore.text.boundaries import header_end
from outcore.text.categories import as_wanted, mark
from outcore.text.cells import Cells
from outcore.text.cleaning import clean
from outcore.text.contradictions import refuse_contradictions
from outcore.text.cutting import Files
from outcore.text.dialect import SNIFFED, SNIFFED_CELLS, Dialect, sniff_delimiter, sniff_header, split
from outcore.text.evidence import Evidence
from outcore.text.guessing import guessed_schema
from outcore.text.parse import Plan
from outcore.text.samples import LEAST_BYTES, Sampler, sample_bytes, shortened
from outcore.text.schema import (
    Column,
    Schema,
    given_schema,
    listed,
    parse_dtype_and_categories,
    select,
    valid_names,
)
from outcore.text.schema_file import load
from outcore.text.wishes import Wishes as Wishes


def make_plan(sources: Files, wishes: Wishes) -> Plan:
    """Decide how to read `sources`.

    Raises
    ------
    IngestError
        The files differ in header or number of columns, or there is nothing to go by.
    OptionError, DTypeError
        A wish that makes no sense, does not fit the files, or contradicts the schema.
    """
    if wishes.schema is not None:
        plan = load(wishes.schema)
        refuse_contradictions(wishes, plan)
        check_headers(sources, plan, "the schema")
    else:
        plan = _Planning(sources, wishes).plan()
    _check_fill(plan)
    return plan


def check_headers(sources: Files, plan: Plan, model: str = "the others") -> None:
    """Check that files have the header, or the number of columns, of a plan that was made before.

    Raises
    ------
    IngestError
        The first one that has not.
    """
    dialect, check = plan.dialect, header_check(plan, model)
    for i in range(len(sources)):
        source = sources[i]
        with source.open(sample=True) as stream:
            record = _first_record(
                clean(Sampler(source, stream, dialect, LEAST_BYTES).head(), dialect), dialect
            )
        if record:
            check(source.path, record)


def header_check(plan: Plan, model: str = "the others") -> Callable[[str, bytes], None]:
    """Make a check of files' first records against a plan.

    Parameters
    ----------
    model : str
        What to call the file with the right header in messages.

    Returns
    -------
    callable
        Gets a file's name and its first record as UTF-8; raises IngestError if its header is another one, or,
        where files have none, if it has more or fewer fields.
    """
    dialect, header, width = plan.dialect, plan.schema.header, len(plan.schema.file_names)
    right = b""

    def check(path: str, record: bytes) -> None:
        nonlocal right
        if record == right:  # of a million files, all but the first
            return
        text = clean(record, dialect).decode(errors="replace")
        cells = next(iter(split(text, dialect, 1)), [])
        if dialect.header and header and tuple(cells) != header:
            raise IngestError(
                f"{path} has another header than {model}:{_difference(header, cells)}\n"
                "Ingest files of one kind at a time; if only the names differ, use header=False, skip_rows=1."
            )
        if len(cells) != width:
            raise IngestError(
                f"{path} has {len(cells)} column{'s' * (len(cells) != 1)}; {model} "
                f"{'have' if model == 'the others' else 'has'} {width}.\n"
                "Ingest files of one kind at a time."
            )
        right = record

    return check


def _difference(header: Sequence[str], cells: Sequence[str]) -> str:
    text = f"\n  {listed(header)}\n  {listed(cells)}"
    if len(header) != len(cells):
        return f" {len(header)} names, here {len(cells)}:{text}"
    at = next(i for i, (one, other) in enumerate(zip(header, cells, strict=True)) if one != other)
    return f" column {at + 1} is {header[at]!r}, here {cells[at]!r}:{text}" if len(header) > 20 else text


def _first_record(text: bytes, dialect: Dialect) -> bytes:
    """Return the blank lines at the start of clean text, and its first record; empty if there is none."""
    return text[: header_end(text, dialect, ended=True)]


class _Planning:
    """Looks at the files, one after the other; keeps nothing of them but what their cells have in common."""

    def __init__(self, sources: Files, wishes: Wishes) -> None:
        self._sources = sources
        self._wishes = wishes
        self._dialect = wishes.dialect()
        self._meaning = wishes.meaning()
        self._cells = Cells(frozenset(self._meaning.na_values), wishes.decimal)
        parsed = (None, ()) if wishes.dtype is None else parse_dtype_and_categories(wishes.dtype)
        self._dtype: np.dtype[Any] | None = parsed[0]
        self._given = as_wanted(wishes.categories, wishes.given_names() or ())
        self._fields = parsed[1]

    def plan(self) -> Plan:
        """Complete the dialect and choose the columns."""
        first: list[str] | None = None
        evidence: Evidence | None = None
        check: Callable[[str, bytes], None] | None = None
        nbytes = sample_bytes(len(self._sources))
        seen = b""
        for i in range(len(self._sources)):
            source = self._sources[i]
            with source.open(sample=True) as stream:
                sampler = Sampler(source, stream, self._dialect, nbytes)
                raw = sampler.head()
                if first is None:
                    if not clean(raw, self._dialect).strip():
                        continue
                    first = self._begin(raw)
                    names, places = self._choose(first)
                    evidence = self._evidence(names, places, first)
                    check = header_check(self._bare_plan(names, first), source.path)
                text = clean(raw, self._dialect)
                record = _first_record(text, self._dialect)
                if not record:
                    continue
                if record != seen and check is not None:
                    check(source.path, record)
                seen = record if self._dialect.header else b""
                if evidence is not None:
                    body = text[len(record) :] if self._dialect.header else text
                    evidence.add(shortened(body, self._dialect))
                    for piece in sampler.pieces():
                        evidence.add_part(piece, text)
        if first is None:
            first = []
            names, places = self._choose(first)
            evidence = self._evidence(names, places, first)
        return Plan(self._dialect, self._schema(first, names, places, evidence), self._meaning)

    def _begin(self, raw: bytes) -> list[str]:
        """Complete the dialect from the first file with records; return its first record."""
        if self._wishes.delimiter is None:
            text = shortened(clean(raw, self._dialect), self._dialect)
            found = sniff_delimiter(text.decode(errors="replace"), self._dialect, self._cells)
            self._dialect = replace(self._dialect, delimiter=found)
        whole = clean(raw, self._dialect)
        text = shortened(whole, self._dialect)
        records = split(text.decode(errors="replace"), self._dialect, SNIFFED, SNIFFED_CELLS)
        if self._wishes.header is None:
            self._dialect = replace(self._dialect, header=sniff_header(records, self._cells))
        if self._dialect.header and text is not whole:
            header = _first_record(whole, self._dialect).decode(errors="replace")
            return split(header, self._dialect, 1)[0]
        return records[0]

    def _choose(self, first: list[str]) -> tuple[tuple[str, ...], list[int]]:
        """Name all columns of the files, and choose the places of those that are kept."""
        header = self._dialect.header
        names = _names(first, self._wishes.given_names(), self._dtype, header=header)
        return names, select(self._wishes.columns, names, first if header else ())

    def _evidence(self, names: tuple[str, ...], places: list[int], first: list[str]) -> Evidence | None:
        """Begin to collect what samples show, unless all types are given."""
        if self._dtype is not None:
            return None
        guessed = places
        if self._given:
            marked = self._marked(guessed_schema({}, names, places, fill=False), self._given, first)
            guessed = [column.place for column in marked if column.categories is None]
        return Evidence(guessed, len(names), self._dialect, self._cells)

    def _bare_plan(self, names: tuple[str, ...], first: list[str]) -> Plan:
        header = tuple(first) if self._dialect.header else ()
        return Plan(self._dialect, Schema(names, (), matrix=False, header=header), self._meaning)

    def _schema(
        self, first: list[str], names: tuple[str, ...], places: list[int], evidence: Evidence | None
    ) -> Schema:
        if self._dtype is not None:
            named = self._dialect.header or self._wishes.names is not None
            schema = given_schema(self._dtype, names, places, named=named)
        else:
            guesses = evidence.guesses() if evidence is not None else {}
            schema = guessed_schema(guesses, names, places, fill=self._wishes.fill is not None)
        columns = self._marked(schema, {**dict.fromkeys(self._fields), **self._given}, first)
        return replace(schema.with_columns(columns), header=tuple(first) if self._dialect.header else ())

    def _marked(
        self, schema: Schema, wanted: dict[str | int, tuple[str, ...] | None], first: list[str]
    ) -> tuple[Column, ...]:
        raw_names = first if self._dialect.header else []
        missing, fill = self._meaning.na_values, self._meaning.fill
        columns, matrix = schema.columns, schema.matrix
        return mark(columns, wanted, schema.file_names, raw_names, missing=missing, fill=fill, matrix=matrix)


def _names(
    raw_names: list[str], names: list[str] | None, dtype: np.dtype[Any] | None, *, header: bool
) -> tuple[str, ...]:
    """Name all columns of the files; `raw_names` is their first record, empty if they have none."""
    if names is not None:
        if raw_names and len(names) != len(raw_names):
            raise OptionError(
                f"names has {len(names)} entries; the files have {len(raw_names)} columns: "
                f"{listed(raw_names)}.\nGive one name for each column of the files; choose with columns=."
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


def _check_fill(plan: Plan) -> None:
    fill = plan.meaning.fill
    for column in plan.schema.columns if fill is not None else ():
        if column.dtype.kind in "biuf" and not _holds(column.dtype, fill):
            raise OptionError(
                f"fill={fill!r} is no value of {column.name}, which is {column.dtype}.\n"
                "Use a number that every column can hold."
            )


def _holds(dtype: np.dtype[Any], fill: object) -> bool:
    if not isinstance(fill, (int, float, np.number, np.bool)):
        return False
    if dtype.kind == "f":
        return True
    if dtype.kind == "b":
        return fill in (0, 1)
    limits = np.iinfo(dtype)
    return bool(limits.min <= fill <= limits.max) and int(fill) == fill
