"""Which rows form blocks and groups: each once, in order, whoever works on them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outcore.blocks.partition import (
    BLOCK_BYTES,
    EVEN,
    FEW_GROUP_ROWS,
    LONG_BLOCK_BYTES,
    MIN_BLOCK_ROWS,
    MIN_GROUP_ROWS,
    PART_ROWS,
    ROW_STEP,
    Partition,
    divide,
)
from outcore.blocks.statistic import Cost

COSTS = st.builds(
    Cost,
    state_bytes=st.integers(0, 1 << 40),
    min_rows=st.integers(0, 1 << 14),
    n_parts=st.integers(1, 500),
)


def rows_of(partition: Partition) -> list[tuple[int, int]]:
    return [block for group in range(partition.n_groups) for block in partition.blocks(group)]


def check(partition: Partition, n_rows: int) -> None:
    """Every row is in one block, every block in one group, and both are in order."""
    at = 0
    for group in range(partition.n_groups):
        low, high = partition.group(group)
        assert low == at < high
        for start, stop in partition.blocks(group):
            assert start == at
            assert 0 < stop - start <= partition.block_rows
            at = stop
        assert at == high
    assert at == n_rows


@given(n_rows=st.integers(0, 200_000), row_bytes=st.integers(0, 1 << 24), cost=COSTS)
def test_every_row_is_in_one_block_and_in_order(n_rows: int, row_bytes: int, cost: Cost) -> None:
    partition = divide(n_rows, row_bytes, cost)
    if partition.n_groups * -(-partition.group_rows // partition.block_rows) <= 20_000:
        check(partition, n_rows)
    assert partition.group_rows >= min(n_rows, FEW_GROUP_ROWS) // EVEN
    if partition.n_groups > 1:
        assert partition.block_rows % ROW_STEP == 0 or partition.block_rows < ROW_STEP


@given(n_rows=st.integers(20 * MIN_GROUP_ROWS, 10**8), cost=COSTS)
def test_groups_are_shared_evenly(n_rows: int, cost: Cost) -> None:
    partition = divide(n_rows, 800, cost)
    assert partition.n_groups >= EVEN
    if (
        partition.n_groups <= 50
    ):  # with more, rounding up to whole steps may save a group, which matters little
        assert partition.n_groups % EVEN == 0
    low, high = partition.group(partition.n_groups - 1)
    assert high - low > 0.5 * partition.group_rows or partition.n_groups > 50


@given(n_rows=st.integers(0, 30_000), row_bytes=st.integers(1, 1 << 20), cost=COSTS)
def test_smaller_ones_too_and_they_take_less_and_less(n_rows: int, row_bytes: int, cost: Cost) -> None:
    preferred = divide(n_rows, row_bytes, cost)
    sizes = []
    for partition in preferred.smaller(row_bytes):
        if partition.block_rows >= 64:
            check(partition, n_rows)
        assert partition.block_rows <= preferred.block_rows
        sizes.append((-partition.group_rows, -partition.block_rows))
    assert sizes == sorted(set(sizes), key=sizes.index)  # none twice
    assert all(rows <= preferred.block_rows for rows in (-b for _, b in sizes))


@given(row_bytes=st.integers(1, 1 << 26))
def test_blocks_fit_the_cache_or_are_long_enough_for_products(row_bytes: int) -> None:
    rows = divide(10**9, row_bytes, Cost()).block_rows
    assert (rows - ROW_STEP) * row_bytes <= max(
        BLOCK_BYTES, min(MIN_BLOCK_ROWS * row_bytes, LONG_BLOCK_BYTES), row_bytes
    )


def test_a_single_row_may_be_a_block() -> None:
    partition = divide(10, 1 << 30, Cost())
    assert partition.block_rows == 1
    assert [p.block_rows for p in partition.smaller(1 << 30)] == [
        1
    ]  # groups of one row, then nothing is left


def test_a_small_budget_leaves_sixteen_short_rows_or_one_long_row() -> None:
    assert 16 <= [p.block_rows for p in divide(10**6, 800, Cost()).smaller(800)][-1] < 32
    assert [p.block_rows for p in divide(10**6, 1 << 22, Cost()).smaller(1 << 22)][-1] == 1


def test_longer_blocks_where_a_statistic_asks_for_them() -> None:
    assert divide(10**6, 80_000, Cost()).block_rows == MIN_BLOCK_ROWS
    assert 350 < divide(10**6, 80_000, Cost(min_rows=400)).block_rows < 450
    assert divide(10**6, 80_000, Cost(min_rows=700)).block_rows * 80_000 <= 1.1 * LONG_BLOCK_BYTES


def test_groups_are_long_enough_for_all_parts() -> None:
    assert divide(10**6, 80, Cost(n_parts=100)).group_rows >= 0.9 * 100 * PART_ROWS


def test_no_rows() -> None:
    assert divide(0, 8, Cost()).n_groups == 0
    assert rows_of(divide(0, 8, Cost())) == []
