"""Chunks that were refused: what is found in each mode, and what the rest becomes."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from outcore.errors import IngestError
from outcore.text import faults as module
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.faults import KINDS, examine, inspect
from outcore.text.parse import Plan, Rows, Unreadable, rows
from outcore.text.places import Chunk, Piece, Place
from outcore.text.schema import Column, Schema
from tests.text import corpus

COMMA = Dialect(",")


def plan_for(dtype: str, mode: str = "reject", *, dialect: Dialect = COMMA, **values: Any) -> Plan:
    """Plan for columns a, b, c... of the types in `dtype`; a matrix where there is but one."""
    kinds = [np.dtype(kind) for kind in dtype.split()]
    columns = tuple(Column(i, "abcdef"[i], kind) for i, kind in enumerate(kinds))
    matrix = len(set(kinds)) == 1 and len(kinds) > 1
    schema = Schema(tuple("abcdef"[: len(kinds)]), columns, matrix=matrix)
    meaning = Values(**{"na_values": ("", "NA"), "fill": None, "decimal": ".", **values})
    return Plan(dialect, schema, meaning, on_error=mode)  # type: ignore[arg-type]


def chunk_of(data: bytes, encoding: str = "utf-8") -> Chunk:
    return Chunk(0, data, (Piece(Place(0, 0, 1), "x.csv", encoding, 0),), Place(1, 0, 1), 0)


def told(found: Any) -> list[tuple[int, int, str, str]]:
    return [(f.line, f.column, f.kind, f.text) for f in found]


def test_stop_makes_no_rows_but_names_every_fault() -> None:
    found = examine(chunk_of(b"1,x\n3,4\n5,\nz,6\n7\n"), plan_for("i4 i4", "stop"))
    assert found.rows is None
    assert found.n_records == 5
    assert told(found.faults) == [
        (1, 2, "type", "x"),
        (3, 2, "missing", ""),
        (4, 1, "type", "z"),
        (5, 0, "fields", "7"),
    ]


def test_reject_leaves_records_out() -> None:
    found = examine(chunk_of(b"1,x\n3,4\n5,\n\nz,y\n7\n8,9\n"), plan_for("i4 i4"))
    assert found.rows is not None
    assert found.rows.tolist() == [[3, 4], [8, 9]]
    assert told(found.faults)[2:4] == [(5, 1, "type", "z"), (5, 2, "type", "y")]
    assert (found.n_records, found.cut) == (6, 0)


def test_mask_leaves_cells_empty() -> None:
    plan = plan_for("i4 f8 S2 M8[D] ?", "mask", fill=-1)
    data = b'1,x,abc,2024-13-01,2\nz,2,"d""",2024-12-01,no\n3,4\n5,"6,",\xff,,1\n"7"8,9,e,,1\n'
    found = examine(chunk_of(data), plan)
    assert found.rows is not None
    assert found.rows.tolist() == [
        (1, -1.0, b"", None, True),
        (-1, 2.0, b'd"', np.datetime64("2024-12-01").item(), False),
        (5, -1.0, b"", None, True),
    ]
    assert [f.kind for f in found.faults] == [
        "type", "width", "type", "type", "type", "fields", "type", "encoding", "quote",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["i4", "f8", "S3", "M8[D]", "?"])
@pytest.mark.parametrize("quote", ['"', ""])
@pytest.mark.parametrize("na", [(), ("NA",)])
def test_a_single_column_can_be_masked_though_blank_lines_are_no_records(
    dtype: str, quote: str, na: tuple[str, ...]
) -> None:
    good = {"i4": "7", "f8": "7", "S3": "abc", "M8[D]": "2024-01-31", "?": "y"}[dtype]
    plan = plan_for(dtype, "mask", fill=1, na_values=na, dialect=Dialect(",", quote=quote))
    found = examine(chunk_of(f"{good}\nlonger\n\n{good}\nlongest".encode()), plan)
    assert told(found.faults) == [
        (2, 1, found.faults[0].kind, "longer"),
        (5, 1, found.faults[0].kind, "longest"),
    ]
    assert found.rows is not None
    fine, missing = (
        rows(text, replace(plan, meaning=replace(plan.meaning, na_values=("-",)))).values[0]
        for text in (f"{good}\n".encode(), b"-\n")
    )
    assert found.rows.tobytes() == b"".join(v.tobytes() for v in (fine, missing, fine, missing))


def test_a_cell_that_is_kept_twice_has_a_fault_for_each_column() -> None:
    schema = Schema(
        ("a", "b"),
        (Column(1, "b", np.dtype("i4")), Column(0, "a", np.dtype("f8")), Column(1, "again", np.dtype("S1"))),
        matrix=False,
    )
    plan = replace(plan_for("i4 i4"), schema=schema)
    found = examine(chunk_of(b"1,2\n3,xyz\n"), plan)
    assert [(f.field, f.column, f.kind) for f in found.faults] == [("b", 2, "type"), ("again", 2, "width")]
    assert found.rows is not None
    assert found.rows.tolist() == [(2, 1.0, b"2")]


def test_runs_of_blanks_and_comments() -> None:
    plan = plan_for("i4 i4", dialect=Dialect("whitespace", comment="#"))
    data = b'  1\t 2\n# 5" no\n\n\t3  x  \r\n   4   5 6\n 7 \t 8\n'
    found = examine(chunk_of(data), plan)
    assert [(f.line, f.column, f.byte, f.text) for f in found.faults] == [
        (4, 2, data.index(b"\t3"), "x"),
        (5, 0, data.index(b"   4"), "   4   5 6"),
    ]
    assert found.rows is not None
    assert found.rows.tolist() == [[1, 2], [7, 8]]
    masked = examine(chunk_of(data), replace(plan, on_error="mask", meaning=replace(plan.meaning, fill=0)))
    assert masked.rows is not None
    assert masked.rows.tolist() == [[1, 2], [3, 0], [7, 8]]


def test_decimal_commas_and_hidden_missing_values() -> None:
    plan = plan_for("f8 f8", dialect=Dialect(";", decimal=","), decimal=",", na_values=("-99",))
    found = examine(chunk_of(b"1,5;2\n1.5;3\n -99 ;4,25\n1,5;1e999\n"), plan)
    assert told(found.faults) == [(2, 1, "type", "1.5"), (4, 2, "range", "1e999")]
    assert found.rows is not None
    np.testing.assert_array_equal(found.rows, [[1.5, 2], [np.nan, 4.25]])


def test_texts_may_be_cut() -> None:
    plan = replace(plan_for("S2 i4"), truncate=True)
    found = examine(chunk_of("abc,1\naé,2\nd,x\n".encode()), plan)
    assert told(found.faults) == [(3, 2, "type", "x")]
    assert found.rows is not None
    assert found.rows.tolist() == [(b"ab", 1), (b"a", 2)]
    assert found.cut == 2


def test_columns_still_to_be_measured_take_any_text() -> None:
    plan = plan_for("S i4 S")
    sought = Column(2, "c", np.dtype("S"), (), sought=True)
    plan = replace(plan, schema=replace(plan.schema, columns=(*plan.schema.columns[:2], sought)))
    found = inspect(chunk_of(b"abc,1,u\ndef,x,v\n\xff,3,w\nghi,4,z\n"), plan)
    assert told(found.faults) == [(2, 2, "type", "x"), (3, 1, "encoding", r"\xff")]
    assert found.data == b"abc,1,u\nghi,4,z\n"
    assert found.n_records == 4
    only = replace(plan, schema=replace(plan.schema, columns=(plan.schema.columns[0],)))
    assert told(inspect(chunk_of(b"a,b,c\nd,e\n"), only).faults) == [(2, 0, "fields", "d,e")]
    assert inspect(chunk_of(b'a,b,c\n"d"e,f,g\n'), only).data == b"a,b,c\n"


def test_faults_in_columns_that_are_left_out() -> None:
    schema = Schema(("a", "b"), (Column(1, "b", np.dtype("i4")),), matrix=True)
    data = b'x\0,1\n\xff,2\n"y"z,3\ny,4\n'
    for mode, kept in (("reject", [[4]]), ("mask", [[1], [2], [4]])):
        plan = replace(plan_for("i4 i4", mode, fill=0), schema=schema)
        found = examine(chunk_of(data), plan)
        assert [(f.column, f.field, f.kind) for f in found.faults] == [
            (1, "a", "nul"),
            (1, "a", "encoding"),
            (1, "a", "quote"),
        ]
        assert found.rows is not None
        assert found.rows.tolist() == kept


def test_other_cells_of_a_record_with_bad_bytes_are_looked_at_too() -> None:
    found = examine(chunk_of(b"\xff,x,abc\n1\0,2,\xe9\n"), plan_for("i4 i4 S2"))
    assert told(found.faults) == [
        (1, 1, "encoding", r"\xff"),
        (1, 2, "type", "x"),
        (1, 3, "width", "abc"),
        (2, 1, "nul", r"1\x00"),
        (2, 3, "encoding", r"\xe9"),
    ]


def test_ascii() -> None:
    plan = plan_for("S9 i4", dialect=Dialect(",", encoding="ascii"))
    found = examine(chunk_of("a,1\né,2\n".encode(), "ascii"), plan)
    assert [(f.line, f.column, f.kind, f.text, f.what) for f in found.faults] == [
        (2, 1, "encoding", "é", "byte 0xc3 of 'é' is not ascii")
    ]


def test_two_stray_quotes_lines_apart_are_one_record_wherever_the_rest_is_cut() -> None:
    data = b'1,5" x\n2,b\n3,6" y\n4,c\n5,dddd\n'
    found = examine(chunk_of(data), plan_for("i4 S3"))
    assert told(found.faults) == [(1, 2, "quote", '5" x\n2,b\n3,6" y'), (5, 2, "width", "dddd")]
    assert found.rows is not None
    assert found.rows.tolist() == [(4, b"c")]
    first = examine(chunk_of(data[:20]), plan_for("i4 S3"))
    assert told(first.faults) == told(found.faults)[:1]


def test_quotes_that_are_letters_are_no_fault_beside_one() -> None:
    found = examine(chunk_of(b'5" x 3",1\n"a"b,2\n""c,3\nd"",x\n'), plan_for("S9 i4"))
    assert told(found.faults) == [
        (2, 1, "quote", '"a"b'),
        (3, 1, "quote", '""c'),
        (4, 2, "type", "x"),
    ]
    assert found.rows is not None
    assert found.rows.tolist() == [(b'5" x 3"', 1)]


def test_nothing_is_wrong() -> None:
    found = examine(chunk_of(b"1,2\n"), plan_for("i4 i4"))
    assert found.rows is not None
    assert (len(found.faults), found.rows.tolist()) == (0, [[1, 2]])
    with pytest.raises(IngestError, match=r"x\.csv:1  the text from here on .* no record has a fault"):
        examine(chunk_of(b"1,2\n"), plan_for("i4 i4", "stop"))
    empty = examine(chunk_of(b"\n"), plan_for("i4 i4"))
    assert empty.rows is not None
    assert (empty.n_records, empty.rows.shape) == (0, (0, 2))


def test_a_chunk_that_is_refused_without_reason_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes, plan: Plan) -> Rows:
        if not re.search(rb"[13],", data):
            raise Unreadable("just so")
        return rows(data, plan)

    monkeypatch.setattr(module.parse, "rows", refuse)
    with pytest.raises(IngestError, match=r"cannot be parsed: just so\.\nThat is a defect of outcore"):
        examine(chunk_of(b"7,2\n"), plan_for("i4 i4"))


def test_masking_needs_a_character_that_stands_nowhere() -> None:
    data = bytes(i for i in range(1, 127) if i not in b'\n\r"') + b"\nx\n"
    with pytest.raises(
        IngestError, match=r"every character of ASCII stands in this column(?s:.*)--on-error reject"
    ):
        examine(chunk_of(data), plan_for("i4", "mask", fill=0))


def test_memory_is_a_small_multiple_of_the_chunk_however_much_is_wrong() -> None:
    data = b"x,y\n" * 250_000
    plan = plan_for("i4 i4")
    tracemalloc.start()
    try:
        found = examine(chunk_of(data), plan)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.faults) == 500_000
    # 100 bytes a fault and as much again while they are put in order; these are two for each 4 bytes.
    assert peak < 2 * 2 * 100 * 250_000 + 20 * len(data)
    assert found.faults[499_999].line == 250_000
    assert (found.faults[499_999].what, found.faults[499_999].cure) == ("'y': type", "")


def test_the_kinds() -> None:
    assert {*KINDS} == {*corpus.BAD_CELLS, "fields", "encoding"}
