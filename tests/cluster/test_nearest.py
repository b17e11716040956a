"""The nearest centre of each row, whichever way it is looked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.statistic import Block
from outcore.cluster.nearest import FEW_CENTRES, FEW_COLUMNS, Nearest, choose_shift


def labels(nearest: Nearest, x: np.ndarray, *, look: bool = False) -> np.ndarray:
    found = [piece.labels.copy() for piece in nearest.pieces(Block(0, x), look=look)]
    return np.concatenate(found)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 700),
    d=st.sampled_from([1, 3, FEW_COLUMNS, FEW_COLUMNS + 1]),
    k=st.sampled_from([1, 2, FEW_CENTRES, FEW_CENTRES + 1, 300]),
    mean=st.sampled_from([0.0, 1e5]),
    seed=st.integers(0, 999),
)
def test_the_label_is_that_of_the_least_distance(n: int, d: int, k: int, mean: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, centres = rng.normal(size=(n, d)) + mean, rng.normal(size=(k, d))
    shift = np.full(d, mean) if mean else None
    distances = ((x[:, np.newaxis] - mean - centres) ** 2).sum(axis=2)
    nearest = Nearest(centres, shift)
    found = labels(nearest, x)
    least = distances[np.arange(n), found]
    np.testing.assert_allclose(least, distances.min(axis=1), rtol=1e-9, atol=1e-9)
    for piece in nearest.pieces(block := Block(0, x)):
        np.testing.assert_allclose(nearest.squared_distances(piece, block), least[piece.part], atol=1e-9)


@pytest.mark.parametrize("k", [4, 40])
def test_of_equal_centres_the_first_is_taken(k: int) -> None:
    x = np.random.default_rng(0).normal(size=(100, 3))
    assert (labels(Nearest(np.ones((k, 3))), x) == 0).all()


@pytest.mark.parametrize("k", [3, 30])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1])
def test_what_is_not_finite_is_found(k: int, value: float, column: int) -> None:
    x = np.zeros((50, 2))
    x[17, column] = value
    # Of either sign, and without a part in that direction.
    for centres in (np.ones((k, 2)), -np.ones((k, 2)), np.eye(k, 2), np.zeros((k, 2))):
        with pytest.raises(oc.errors.NonFiniteError, match=f"row 17, column {column}"):
            labels(Nearest(centres), x, look=True)


def test_rows_are_shifted_where_the_mean_is_large() -> None:
    assert choose_shift(np.array([3.0, 4.0]), 1.0) is None
    far = np.array([30.0, 40.0])
    assert choose_shift(far, 1.0) is far
