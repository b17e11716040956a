from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.loader.grid import Grid

sizes = {
    "n": st.integers(0, 200),
    "batch_size": st.integers(1, 40),
    "world_size": st.integers(1, 5),
}


def shares(n, batch_size, world_size, drop_last=False, anchor=0):
    grids = [Grid(n, batch_size, world_size, rank, drop_last, anchor) for rank in range(world_size)]
    assert len({len(grid) for grid in grids}) == 1, "ranks have different numbers of steps"
    return [[grid.share(step) for grid in grids] for step in range(len(grids[0]))]


@given(**sizes, drop_last=st.booleans(), data=st.data())
def test_shares_follow_one_another_and_are_all_positions(n, batch_size, world_size, drop_last, data):
    anchor = data.draw(st.integers(0, min(n, batch_size * world_size - 1)))
    ends = [0]
    for step in shares(n, batch_size, world_size, drop_last, anchor):
        for low, high in step:
            assert low == ends[-1]
            assert 0 <= high - low <= batch_size
            ends.append(high)
    left = n - ends[-1]
    assert left < batch_size * world_size if drop_last else left == 0


@given(**sizes)
def test_the_last_step_is_shared_evenly(n, batch_size, world_size):
    for step in shares(n, batch_size, world_size):
        counts = [high - low for low, high in step]
        assert max(counts) - min(counts) <= 1


@given(**sizes, data=st.data())
def test_a_grid_can_begin_at_any_position(n, batch_size, world_size, data):
    position = data.draw(st.integers(0, n))
    grid = Grid(n, batch_size, world_size).anchored_at(position)
    step = grid.step_at(position)
    begins = [grid.bounds(each)[0] for each in range(len(grid))]
    assert position in (*begins, n)
    assert begins[step:] == [begin for begin in begins if begin >= position]


@given(**sizes, data=st.data())
def test_an_anchor_between_its_own_steps_changes_nothing(n, batch_size, world_size, data):
    grid = Grid(n, batch_size, world_size)
    step = data.draw(st.integers(0, len(grid)))
    position = grid.after(step - 1) if step else 0
    if position < n or n % grid.step_samples == 0:
        assert grid.anchored_at(position) == grid
        assert grid.step_at(position) == step


def test_after_a_step():
    grid = Grid(10, 2, 2, 1)
    assert [grid.after(step) for step in range(len(grid))] == [4, 8, 10]


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_share_may_be_empty(rank):
    grid = Grid(7, 2, 3, rank)
    low, high = grid.share(1)
    assert (low, high) == [(6, 6), (6, 6), (6, 7)][rank]
    assert np.arange(low, high).size == high - low
