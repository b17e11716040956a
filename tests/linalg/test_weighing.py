"""The weights of a block, and the rows that count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.blocks.statistic import Block
from outcore.errors import NonFiniteError, OptionError
from outcore.linalg.weighing import block_weights, counting_rows, pieces, refuse_counting


@given(
    n=st.integers(1, 30),
    step=st.integers(1, 12),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_pieces_are_the_rows_that_count_in_order(n: int, step: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, weights = rng.normal(size=(n, 3)), np.where(rng.random(n) < share, 0, rng.random(n) + 0.1)
    kept, buffer = counting_rows(weights), np.empty((step, 3))
    found = [(rows.copy(), w.copy()) for rows, w in pieces(values, weights, kept, buffer)]
    assert (kept is None) == bool((weights > 0).all())
    assert all(1 <= len(rows) == len(w) <= step for rows, w in found)
    counting = weights > 0
    assert np.array_equal(np.concatenate([np.empty((0, 3))] + [r for r, _ in found]), values[counting])
    assert np.array_equal(np.concatenate([np.empty(0)] + [w for _, w in found]), weights[counting])


def test_weights_of_any_dtype_and_a_column_become_contiguous_float64() -> None:
    w = np.arange(12, dtype="u1").reshape(6, 2)
    found = block_weights(Block(0, np.ones((6, 1)), w), 1)
    assert found.dtype == np.float64
    assert found.flags.c_contiguous
    assert found.tolist() == [1, 3, 5, 7, 9, 11]
    assert block_weights(Block(0, np.ones((2, 1)), np.array([True, False]))).tolist() == [1, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-300])
def test_the_row_of_a_bad_weight_is_counted_from_the_first_of_all(bad: float) -> None:
    w = np.array([1.0, 0.0, bad, bad])
    with pytest.raises((NonFiniteError, OptionError), match="row 102"):
        block_weights(Block(100, np.ones((4, 1)), w))


def test_only_rows_that_count_are_looked_at() -> None:
    values = np.ones((5, 2))
    values[[1, 3], 0] = np.nan
    refuse_counting(values, np.array([0, 2, 4]), 10)
    with pytest.raises(NonFiniteError, match="row 13, column 0"):
        refuse_counting(values, np.array([0, 2, 3]), 10)
    with pytest.raises(NonFiniteError, match="row 11, column 0"):
        refuse_counting(values, None, 10)
