"""Rows that take the place of centres without rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.reducing import run_pass
from outcore.cluster.farthest import Far, Farthest, average, relocate
from outcore.cluster.lloyd import Sums
from outcore.cluster.nearest import Nearest


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 20_000), many=st.integers(1, 30), weighted=st.booleans(), ties=st.booleans())
def test_the_farthest_rows_in_order(n: int, many: int, weighted: bool, ties: bool) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, 2))
    if ties:
        x = np.round(x)
    w = rng.integers(0, 2, n).astype(float) if weighted else np.ones(n)
    centres = np.array([[0.0, 0.0], [3.0, 3.0]])
    (far,) = run_pass(
        "test", oc.asarray(x), [Farthest(Nearest(centres), many)], weights=w if weighted else None
    )
    all_distances = ((x[:, np.newaxis] - centres) ** 2).sum(axis=2)
    distances = np.where(w > 0, all_distances.min(axis=1), -1)
    order = np.argsort(-distances, kind="stable")[: min(many, int((w > 0).sum()))]
    np.testing.assert_allclose(far.distances, distances[order], rtol=1e-13)
    np.testing.assert_array_equal(far.rows, x[order])
    np.testing.assert_array_equal(far.weights, w[order])
    np.testing.assert_array_equal(far.labels, all_distances[order].argmin(axis=1))


def test_a_far_row_leaves_its_cluster() -> None:
    found = Sums(np.array([3.0, 0.0]), np.array([[6.0, 0.0], [0.0, 0.0]]), np.array([3, 0]))
    relocate(found, Far(np.array([9.0]), np.array([[4.0, 2.0]]), np.array([1.0]), np.array([0])))
    np.testing.assert_array_equal(found.weights, [2.0, 1.0])
    np.testing.assert_array_equal(average(found), [[1.0, -1.0], [4.0, 2.0]])


def test_rows_on_their_centres_stay() -> None:
    found = Sums(np.array([0.0, 3.0]), np.array([[0.0], [6.0]]), np.array([0, 3]))
    relocate(found, Far(np.array([0.0]), np.array([[2.0]]), np.array([1.0]), np.array([1])))
    # A cluster without rows is put where the heaviest is.
    np.testing.assert_array_equal(average(found), [[2.0], [2.0]])
