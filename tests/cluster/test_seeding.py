"""k-means++ against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

import outcore as oc
from outcore.cluster.seeding import kmeans_plus_plus


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(10, 500),
    d=st.integers(1, 20),
    k=st.integers(1, 10),
    seed=st.integers(0, 1000),
    weighted=st.booleans(),
)
def test_the_rows_that_scikit_learn_draws(n: int, d: int, k: int, seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    x -= x.mean(axis=0)
    weights = rng.uniform(size=n) if weighted else None
    centres, indices = kmeans_plus_plus(x, k, np.random.RandomState(seed), weights)
    _, expected = kmeans_plusplus(x, k, sample_weight=weights, random_state=seed)
    np.testing.assert_array_equal(centres, x[indices])
    different = np.flatnonzero(indices != expected)
    if different.size:  # only where two rows are equally good, as two are that are each other's nearest
        upto = different[0] + 1
        ours, theirs = potential(x, indices[:upto], weights), potential(x, expected[:upto], weights)
        assert ours == pytest.approx(theirs, rel=1e-12)


def potential(x: NDArray[np.float64], chosen: NDArray[np.intp], weights: NDArray[np.float64] | None) -> float:
    nearest = ((x[:, np.newaxis] - x[chosen]) ** 2).sum(axis=-1).min(axis=1)
    return float(np.average(nearest, weights=weights))


def test_rows_without_weight_are_not_drawn() -> None:
    x = np.random.default_rng(0).normal(size=(100, 2))
    weights = (np.arange(100) < 5).astype(float)
    _, indices = kmeans_plus_plus(x, 5, np.random.default_rng(0), weights)
    assert sorted(indices) == [0, 1, 2, 3, 4]


def test_a_large_mean_changes_nothing() -> None:
    x = np.round(np.random.default_rng(0).normal(size=(300, 3)) * 64) / 64
    _, near = kmeans_plus_plus(x, 8, np.random.RandomState(0))
    _, far = kmeans_plus_plus(x + 2.0**30, 8, np.random.RandomState(0))
    np.testing.assert_array_equal(near, far)


def test_equal_rows_are_enough() -> None:
    centres, _ = kmeans_plus_plus(np.ones((5, 2)), 3, np.random.RandomState(0))
    np.testing.assert_array_equal(centres, np.ones((3, 2)))


def test_more_centres_than_rows_are_refused() -> None:
    with pytest.raises(oc.errors.ShapeError, match="4 centres are wanted of 3 rows"):
        kmeans_plus_plus(np.eye(3), 4, np.random.RandomState(0))
