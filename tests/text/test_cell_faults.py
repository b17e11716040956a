"""Cells that are no values, found column by column or in one column of all cells."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import cell_faults, diagnosis, parse
from outcore.text.cell_faults import wrong_cells
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan, Rows, Unreadable
from outcore.text.schema import Column, Schema

TYPES = ("i2", "f8", "S2", "M8[D]", "i2", "f8")
CELLS = st.sampled_from(
    ["1", "2.5", "", "NA", " NA", "abc", "2024-01-31", "a,b", "x\ny", 'q"', "99999", "ab\r", " "]
)


def plan_for(types: tuple[str, ...], places: tuple[int, ...] | None = None) -> Plan:
    names = tuple(f"c{i}" for i in range(len(types)))
    kept = places or range(len(types))
    columns = tuple(Column(i, f"k{k}", np.dtype(types[i])) for k, i in enumerate(kept))
    return Plan(Dialect(","), Schema(names, columns, matrix=False), Values(("", "NA"), None, "."))


def found(data: bytes, n_records: int, plan: Plan) -> list[tuple[int, ...]]:
    made = wrong_cells(data, np.arange(n_records) * 10, plan)
    return sorted(zip(*(a.tolist() for a in (made.record, made.field, made.column, made.kind)), strict=True))


@given(
    table=st.lists(st.lists(CELLS, min_size=6, max_size=6), min_size=1, max_size=8),
    places=st.sampled_from([None, (5, 0, 3, 2), (1, 1, 4)]),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_many_columns_together_are_found_to_be_what_each_is(
    table: list[list[str]], places: tuple[int, ...] | None, end: str
) -> None:
    out, plan = io.StringIO(), plan_for(TYPES, places)
    for row in table:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(row)
        out.seek(out.tell() - 1)
        out.write(end)
    data = out.getvalue().encode()
    expected = found(data, len(table), plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "WIDE", 1)
        patch.setattr(parse, "rows", _refuse)  # which has a way of its own for wide tables
        patch.setattr(cell_faults, "_unread", lambda *_: iter(()))
        assert found(data, len(table), plan) == expected


def _refuse(data: bytes, plan: Plan) -> Rows:
    raise Unreadable("look closer")


def test_records_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    read = parse.read_texts

    def noted(data: bytes, plan: Plan) -> Any:
        sizes.append(len(data))
        return read(data, plan)

    data = b"".join(b"%d,%d\n" % (i, 99_999 * (i % 1000 == 500)) for i in range(50_000))
    expected = [(i * 10, 1, 1, diagnosis.RANGE) for i in range(500, 50_000, 1000)]
    plan = plan_for(("i4", "i2"))
    monkeypatch.setattr(cell_faults, "LEAST_PART_BYTES", 1 << 10)
    monkeypatch.setattr(parse, "read_texts", noted)
    assert found(data, 50_000, plan) == expected
    assert max(sizes) <= len(data) // cell_faults.PARTS + 20
    sizes.clear()
    sparse = b"1,2\n" * 50_000
    assert found(sparse + b"5,x\n", 50_001, plan) == [(500_000, 1, 1, diagnosis.TYPE)]
    assert sum(sizes) <= len(sparse) // cell_faults.PARTS + 20  # only the part that failed


@pytest.mark.parametrize("refused", [[3], [0, 1, 6], list(range(7))])
def test_records_that_the_parser_refuses_for_no_reason_are_found(
    monkeypatch: pytest.MonkeyPatch, refused: list[int]
) -> None:
    read = parse.rows

    def refuse(data: bytes, plan: Plan) -> Rows:
        if any(b"%d,7" % i in data for i in refused):
            raise Unreadable("just so")
        return read(data, plan)

    monkeypatch.setattr(parse, "rows", refuse)
    data = b"".join(b"%d,7\n" % i for i in range(7))
    expected = [(i * 10, -1, -1, diagnosis.TYPE) for i in refused]
    assert found(data, 7, plan_for(("i4", "i2"))) == expected
    read_texts = parse.read_texts

    def refuse_texts(data: bytes, plan: Plan) -> Any:
        if any(b"%d,7" % i in data for i in refused):
            raise Unreadable("just so")
        return read_texts(data, plan)

    monkeypatch.setattr(parse, "read_texts", refuse_texts)
    assert found(data, 7, plan_for(("i4", "i2"))) == expected


def test_a_cell_that_no_line_can_hold_is_read_the_slow_way() -> None:
    width = parse.WIDE
    plan = plan_for(("S2",) * width)
    row = b",".join([b"ab", b"a", *[b"ab"] * (width - 3), b"\x01b\x01"])
    assert found(row + b"\n", 1, plan) == [(0, width - 1, width - 1, diagnosis.WIDTH)]


def test_wide_tables() -> None:
    width = 2 * parse.WIDE
    plan = plan_for(("f4",) * width)
    good = [b"1.5"] * width
    bad = [*good[:-1], b"x"]
    data = b"".join(b",".join(row) + b"\n" for row in (good, bad, good))
    expected = [(10, width - 1, width - 1, diagnosis.TYPE)]
    assert found(data, 3, plan) == expected
    matrix = replace(plan, schema=replace(plan.schema, matrix=True))
    assert found(data, 3, matrix) == expected
    mixed = replace(
        plan,
        schema=replace(
            plan.schema,
            columns=(replace(plan.schema.columns[0], dtype=np.dtype("S2")), *plan.schema.columns[1:]),
        ),
    )
    assert found(data, 3, mixed) == sorted([*expected, *((i * 10, 0, 0, diagnosis.WIDTH) for i in range(3))])
