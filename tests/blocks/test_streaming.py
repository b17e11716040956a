"""Blocks of rows: each row once, in order, within the budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.streaming import BLOCK_BYTES, block_rows, row_blocks


@given(n=st.integers(0, 40), inner=st.sampled_from([(), (3,), (2, 2), (0,)]), block=st.integers(1, 200))
def test_blocks_put_together_are_the_array(n: int, inner: tuple[int, ...], block: int) -> None:
    a = np.arange(n * int(np.prod(inner)), dtype=np.int16).reshape(n, *inner)
    starts, copies = [], [np.empty((0, *inner), np.int16)]
    for start, rows in row_blocks(oc.asarray(a), block_bytes=block):
        starts.append(start)
        copies.append(rows.copy())
    assert np.array_equal(np.concatenate(copies), a)
    assert starts == [0, *np.cumsum([len(c) for c in copies[1:-1]])][: len(starts)]


def test_a_block_is_no_larger_than_the_budget_allows() -> None:
    x = oc.asarray(np.zeros((1000, 100)))
    rows = block_rows(x, what="work", row_extra_bytes=400, memory=100_000)
    assert rows == 100_000 // (2 * 800 + 400)


def test_a_block_is_no_larger_than_the_cache_likes() -> None:
    x = oc.asarray(np.zeros((40_000, 100)))
    assert block_rows(x, what="work", memory="1GB") == BLOCK_BYTES // 800


def test_a_row_that_does_not_fit_is_refused_with_both_numbers() -> None:
    x = oc.asarray(np.zeros((3, 1000)))
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"(?s)summing needs 16\.0 kB.*10\.0 kB.*one row"):
        next(row_blocks(x, what="summing", memory=10_000))


def test_a_row_wider_than_a_block_is_read_alone() -> None:
    x = oc.asarray(np.arange(6.0).reshape(2, 3))
    assert [len(block) for _, block in row_blocks(x, block_bytes=8)] == [1, 1]


def test_a_field_of_a_file(tmp_path: Path) -> None:
    a = np.zeros(100, [("a", "i4"), ("b", "f8", (2,))])
    a["b"] = np.arange(200).reshape(100, 2)
    np.save(tmp_path / "a.npy", a)
    x = oc.open(tmp_path / "a.npy")["b"]
    assert np.array_equal(np.concatenate([b.copy() for _, b in row_blocks(x, block_bytes=99)]), a["b"])
