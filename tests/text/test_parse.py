"""Tables and blocks: the same rows however they are cut, and both ways to read a number agree."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import parse
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan, Unreadable, blocks, tables
from outcore.text.schema import Column, Schema, parse_dtype


def plan_for(dtype: str, *, fill: float | None = None, na: tuple[str, ...] = ("", "NA", "nan")) -> Plan:
    kind = parse_dtype(dtype)
    names = kind.names or ("a", "b")
    columns = tuple(Column(i, n, kind[n] if kind.names else kind) for i, n in enumerate(names))
    return Plan(Dialect(","), Schema(names, columns, matrix=kind.names is None), Values(na, fill, "."))


def rows_of(data: bytes, plan: Plan, chunk_bytes: int = 1 << 20) -> np.ndarray:
    made = [np.zeros((0, *plan.schema.row_shape), plan.schema.dtype)]
    for table in tables(data, plan, chunk_bytes):
        made.extend(blocks(table, plan, chunk_bytes))
    return np.concatenate(made)


@pytest.mark.parametrize("chunk_bytes", [1, 10, 100, 1 << 20])
def test_rows_do_not_depend_on_the_room_there_is(chunk_bytes: int) -> None:
    plan = plan_for("a:S9 b:f8")
    data = b"".join(b'"x,%d\n\n",%d.5\n\n' % (i, i) for i in range(50))
    made = rows_of(data, plan, chunk_bytes)
    assert made["a"].tolist() == [b"x,%d\n\n" % i for i in range(50)]
    assert made["b"].tolist() == [i + 0.5 for i in range(50)]


def test_tables_are_no_larger_than_the_room_there_is() -> None:
    plan, chunk_bytes = plan_for("a:S1 b:S1"), 10_000
    data = b"x,y\n" * (chunk_bytes // 4)
    limit = parse.TABLE_COST * chunk_bytes / parse.CELL_BYTES
    parts = list(tables(data, plan, chunk_bytes))
    assert len(parts) > 1
    assert sum(part.height for part in parts) == chunk_bytes // 4
    assert all(part.height * 2 <= limit + 2 for part in parts)


def test_blocks_of_wide_rows_are_few() -> None:
    plan = plan_for("a:S1000 b:S1")
    (table,) = tables(b"x,y\n" * 100, plan, 50_000)
    sizes = [block.nbytes for block in blocks(table, plan, 50_000)]
    assert max(sizes) <= parse.ROWS_COST * 50_000
    assert sum(sizes) == 100 * 1001


CELLS = st.sampled_from(
    ["1", "-2.5", " 3", "4 ", "NA", " NA", "", " ", "inf", " nan", "nan", "-99", " -99", "1e400"]
)


@given(
    cells=st.lists(CELLS, min_size=1, max_size=6),
    fill=st.sampled_from([None, 7.0]),
    na=st.sampled_from([("NA", "nan"), ("NA", "-99"), ()]),
)
def test_the_way_a_cell_is_read_does_not_depend_on_its_neighbours(
    cells: list[str], fill: float | None, na: tuple[str, ...]
) -> None:
    plan = plan_for("f8", fill=fill, na=na)

    def attempt(some: list[str]) -> list[bytes] | None:
        try:
            return [row.tobytes() for row in rows_of("".join(f"{c},1\n" for c in some).encode(), plan)]
        except Unreadable:
            return None

    alone = [attempt([cell]) for cell in cells]
    together = attempt(cells)
    assert together == (None if None in alone else [row for part in alone for row in part or []])


@pytest.mark.parametrize("data", [b"1,2\n3\n4,5,6\n", b"1,2\n3\n", b"1,2,3\n", b'"1,2\n', b"1,x\n"])
def test_what_cannot_be_read_is_signalled(data: bytes) -> None:
    with pytest.raises(Unreadable):
        rows_of(data, plan_for("f8"))


def test_nothing_at_all() -> None:
    for data in (b"", b"\n\r\n"):
        assert rows_of(data, plan_for("a:S9 b:f8")).shape == (0,)
        assert [table.height for table in tables(data, plan_for("f8"), 100)] == [0]


def test_padding_is_zero() -> None:
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    columns = (Column(0, "a", dtype["a"]), Column(1, "b", dtype["b"]))
    plan = Plan(Dialect(","), Schema(("a", "b"), columns, matrix=False, record=dtype), Values((), None, "."))
    (table,) = tables(b"1,2\n" * 1000, plan, 1 << 20)
    (made,) = blocks(table, plan, 1 << 20)
    assert made.dtype == dtype
    assert made.view(np.uint8).reshape(-1, 16)[:, 1:8].sum() == 0


def test_polars_is_told_every_type() -> None:
    (table,) = tables(b"1,2\n", plan_for("a:i2 b:f4"), 100)
    assert table.dtypes == [pl.Int16, pl.Float32]
