"""Blocks, their buffers, and what a statistic says about its size."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import outcore as oc
from outcore.blocks.statistic import LINE_BYTES, Block, Cost, Rows, SplitStatistic, Workspace
from tests.blocks.samples import Blocks, Doing, SplitSums

ROWS = Rows(100, (3,), np.dtype("f8"))


def spread(a: NDArray[Any]) -> NDArray[Any]:
    """The same values, with gaps between them."""
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]) if a.ndim else (2,), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def shifted(a: NDArray[Any]) -> NDArray[Any]:
    """The same values at an odd address."""
    memory = np.empty(a.nbytes + 1, np.uint8)
    moved: NDArray[Any] = memory[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3), (5, 0), (5, 2, 0), (1, 4)])
@pytest.mark.parametrize("dtype", ["f8", ">f8", "f4", "f2", "g", "i1", "u8", "i8", "?"])
def test_values_are_contiguous_float64(shape: tuple[int, ...], dtype: str) -> None:
    a = (np.arange(np.prod(shape)).reshape(shape) % 7).astype(dtype)
    for rows in (a, np.asfortranarray(a), spread(a), shifted(a)):
        block = Block(0, rows)
        values = block.values
        assert values.dtype == np.float64
        assert values.flags.c_contiguous
        assert values.flags.aligned
        assert values.shape == (5 if len(shape) and shape[0] == 5 else 1, int(np.prod(shape[1:])))
        assert np.array_equal(values, a.reshape(values.shape).astype(np.float64))
        assert block.values is values  # once for all statistics


def test_float64_is_not_copied() -> None:
    a = np.arange(12.0).reshape(4, 3)
    assert np.shares_memory(Block(0, a).values, a)
    assert not np.shares_memory(Block(0, spread(a)).values, a)


def test_values_that_were_converted_cannot_be_written() -> None:
    block = Block(0, np.ones((4, 3), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        block.values[0] = 0


@pytest.mark.parametrize("dtype", ["c16", "S3", "M8[s]", [("a", "f8")]])
def test_what_is_no_real_number_is_refused(dtype: Any) -> None:
    with pytest.raises(oc.errors.DTypeError, match=r"no real numbers.*\n.*oc\.map_rows"):
        _ = Block(0, np.zeros((4, 3), dtype)).values


@given(
    sizes=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["f8", "f4", "i2"])), max_size=6
    )
)
def test_a_buffer_is_the_same_memory_and_starts_a_cache_line(sizes: list[tuple[int, int, str]]) -> None:
    workspace = Workspace()
    for n, d, dtype in sizes:
        first = workspace.buffer("a", (n, d), dtype)
        assert (first.shape, first.dtype) == ((n, d), dtype)
        assert first.ctypes.data % LINE_BYTES == 0 or not first.size
        again = workspace.buffer("a", (n, d), dtype)
        assert again.ctypes.data == first.ctypes.data
        other = workspace.buffer("b", (n, d), dtype)
        assert not np.shares_memory(first, other)


def test_a_smaller_buffer_is_a_part_of_the_larger_one() -> None:
    block = Block(0, np.zeros((4, 3)))
    assert np.shares_memory(block.scratch("z", (100,)), block.scratch("z", (10,)))


class Holding(Blocks):
    """Begins with whatever it is given."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def zero(self) -> Any:
        return self.state


@pytest.mark.parametrize(
    "state",
    [
        np.zeros((1000, 100)),
        [np.zeros((500, 100)), {"a": np.zeros((500, 100), order="F")}],
        (None, np.zeros((1000, 200), "f4")),
    ],
)
def test_without_a_cost_a_state_is_as_large_as_what_zero_returns(state: Any) -> None:
    cost = Holding(state).cost(ROWS, 10)
    assert 800_000 <= cost.state_bytes < 801_000


def test_a_state_that_does_not_pickle_is_measured_as_it_goes() -> None:
    assert Holding(threading.Lock()).cost(ROWS, 10).state_bytes > 0
    assert Holding([np.zeros(10), lambda: None]).cost(ROWS, 10).state_bytes > 0


class Pieces(SplitStatistic[NDArray[np.float64], Any]):
    """Parts of growing size, and no cost of its own."""

    n_parts = 3
    table_columns = 4

    def zero_part(self, part: int) -> NDArray[np.float64]:
        return np.zeros(1000 * (part + 1))

    def update_part(self, part: int, state: Any, block: Block, table: Any) -> Any:
        return state

    def merge_part(self, part: int, state: Any, other: Any) -> Any:
        return state


def test_without_a_cost_parts_are_measured_one_by_one() -> None:
    cost = Pieces().cost(ROWS, 10)
    assert 48_000 <= cost.state_bytes < 49_000
    assert 24_000 <= cost.part_bytes < 24_400
    assert cost.table_bytes == 8 * 4 * 10


def test_a_split_statistic_is_also_a_statistic() -> None:
    x = np.arange(12.0).reshape(4, 3)
    split = SplitSums(2)
    low, high = (split.update(split.zero(), Block(at, x[at : at + 2])) for at in (0, 2))
    sums = split.finalize(split.merge(low, high))
    table = x.sum(axis=1, keepdims=True)
    assert np.array_equal(sums[0], (x * table).sum(axis=0))
    assert np.array_equal(sums[1], (x * (table + 1)).sum(axis=0))


def test_the_result_is_the_state_unless_finalize_says_otherwise() -> None:
    assert Blocks().finalize([(0, 1)]) == [(0, 1)]


def test_a_statistic_needs_its_three_methods() -> None:
    class Half(oc.Statistic[int, int]):
        def zero(self) -> int:
            return 0

    with pytest.raises(TypeError, match="merge"):
        Half()  # type: ignore[abstract]  # what is tested


def test_statistics_pickle() -> None:
    assert isinstance(pickle.loads(pickle.dumps(SplitSums(3))), SplitSums)
    assert Cost() == pickle.loads(pickle.dumps(Cost()))
    assert Doing(len).bind(ROWS, None).action is len  # type: ignore[attr-defined, arg-type]  # no share is asked for
