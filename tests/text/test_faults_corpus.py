"""The corpus of broken tables: file, line, column, byte and kind of every fault are exact."""

from __future__ import annotations

import csv
import gzip
import io
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcore.text.cleaning import clean
from outcore.text.cutting import Cutter
from outcore.text.faults import Fault, examine
from outcore.text.parse import Unreadable, rows
from outcore.text.places import Chunk, Piece, Place
from outcore.text.sources import find
from tests.text import corpus
from tests.text.corpus import Table, Wrong

#: Of each test here; together they are 800 broken tables in each run.
EXAMPLES = 200


def places(faults: Iterable[Fault]) -> list[Wrong]:
    return [Wrong(f.path, f.line, f.column, f.byte, f.kind) for f in faults]


@settings(max_examples=EXAMPLES)
@given(corpus.tables(n_wrong=1) | corpus.tables(n_wrong=5))
def test_every_fault_is_named_with_its_exact_place_and_the_other_records_are_read(table: Table) -> None:
    found = [examine(chunk, table.plan) for chunk in table.chunks]
    assert places([fault for part in found for fault in part.faults]) == table.wrong
    assert sum(part.n_records for part in found) == table.n_records
    made = [part.rows for part in found if part.rows is not None]
    for chunk, part, rows_ in zip(table.chunks, found, made, strict=True):
        broken = {(f.piece, f.line) for f in part.faults}
        assert part.left_out.tolist() == [
            sum(piece == i for piece, _ in broken) for i in range(len(chunk.pieces))
        ]
        assert len(rows_) == part.n_records - part.left_out.sum()
    assert b"".join(part.tobytes() for part in made) == table.good.tobytes()
    assert all(part.dtype == table.good.dtype for part in made)


@settings(max_examples=EXAMPLES)
@given(corpus.tables(mask=True, n_wrong=4))
def test_masked_cells_are_missing_and_nothing_else_changes(table: Table) -> None:
    found = [examine(chunk, table.plan) for chunk in table.chunks]
    assert places([fault for part in found for fault in part.faults]) == table.wrong
    assert b"".join(part.rows.tobytes() for part in found if part.rows is not None) == table.masked.tobytes()


@settings(max_examples=EXAMPLES)
@given(corpus.tables(n_wrong=2))
def test_what_the_parser_accepts_is_no_fault_and_what_it_refuses_is_one(table: Table) -> None:
    for chunk in table.chunks:
        try:
            rows(clean(chunk.data, table.plan.dialect), table.plan)
            accepted = True
        except Unreadable:
            accepted = False
        assert accepted == (len(examine(chunk, table.plan).faults) == 0)


@settings(max_examples=EXAMPLES)
@given(
    table=corpus.tables(n_wrong=1) | corpus.tables(n_wrong=5),
    chunk_bytes=st.integers(1, 300),
    compressed=st.booleans(),
)
def test_files_that_are_cut_by_the_cutter(
    tmp_path_factory: pytest.TempPathFactory, table: Table, chunk_bytes: int, compressed: bool
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    for name, data in table.files.items():
        (folder / name).write_bytes(gzip.compress(data) if compressed else data)
    found: list[Wrong] = []
    made = b""
    with Cutter(find(folder), table.plan.dialect, chunk_bytes) as cutter:
        while (chunk := cutter.next()) is not None:
            part = examine(chunk, table.plan)
            found += [replace(wrong, path=os.path.basename(wrong.path)) for wrong in places(part.faults)]
            assert part.rows is not None
            made += part.rows.tobytes()
    assert found == table.wrong
    assert made == table.good.tobytes()
    shutil.rmtree(folder)


@given(
    notes=st.lists(st.text(st.sampled_from('ab,"\n'), max_size=4), min_size=1, max_size=8),
    bad=st.integers(0, 7),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_lines_are_those_that_csv_counts(notes: list[str], bad: int, end: str) -> None:
    out = io.StringIO()
    writer, bad = csv.writer(out, lineterminator=end), bad % len(notes)
    for i, note in enumerate(notes):
        writer.writerow([note, "", "1.5", "bad" if i == bad else "1", "", ""])
    reader, line = csv.reader(io.StringIO(out.getvalue(), newline="")), 0
    for row in reader:
        if row[3] == "bad":
            break
        line = reader.line_num
    piece = Piece(Place(0, 0, 1), "x.csv", "utf-8", 0)
    (fault,) = examine(Chunk(0, out.getvalue().encode(), (piece,), Place(1, 0, 1), 0), corpus.PLAN).faults
    assert (fault.line, fault.column, fault.kind) == (line + 1, 4, "type")


@pytest.mark.parametrize("kind", sorted({*corpus.BAD_CELLS, "fields", "encoding"}))
def test_the_corpus_has_every_kind(kind: str) -> None:
    table = corpus.tables(n_wrong=3).filter(lambda t: any(w.kind == kind for w in t.wrong))
    seen = []
    given(table)(settings(max_examples=3, database=None)(lambda t: seen.append(t.wrong)))()
    assert seen


def test_the_oracle_itself_reads_what_numpy_reads() -> None:
    chunk = Chunk(
        0,
        b'x,"a,b",1.5,7,2024-01-31,green\n',
        (Piece(Place(0, 0, 1), "x", "utf-8", 0),),
        Place(1, 0, 1),
        0,
    )
    expected = np.array([(b"a,b", 1.5, 7, np.datetime64("2024-01-31"), 1)], corpus.DTYPE)
    assert examine(chunk, corpus.PLAN).rows.tobytes() == expected.tobytes()
