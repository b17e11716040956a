"""Sums of each cluster."""

from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.reducing import run_pass
from outcore.cluster.lloyd import Assignment
from outcore.cluster.nearest import Nearest


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 3000),
    d=st.sampled_from([1, 4, 50]),
    k=st.integers(1, 40),
    weighted=st.booleans(),
    shifted=st.booleans(),
)
def test_sums_inertia_and_labels(n: int, d: int, k: int, weighted: bool, shifted: bool) -> None:
    rng = np.random.default_rng(n)
    x, centres = rng.normal(size=(n, d)), rng.normal(size=(k, d))
    w = rng.uniform(size=n) if weighted else np.ones(n)
    shift = np.full(d, 0.5) if shifted else np.zeros(d)
    statistic = Assignment(Nearest(centres, shift if shifted else None), sums=True, inertia=True, labels=True)
    (found,) = run_pass("test", oc.asarray(x), [statistic], weights=w if weighted else None)
    distances = ((x[:, np.newaxis] - shift - centres) ** 2).sum(axis=2)
    labels = distances.argmin(axis=1)
    chosen = np.eye(k)[labels]
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.counts, chosen.sum(axis=0))
    np.testing.assert_allclose(found.weights, w @ chosen, rtol=1e-12)
    np.testing.assert_allclose(found.sums, (chosen * w[:, np.newaxis]).T @ (x - shift), atol=1e-10)
    np.testing.assert_allclose(found.inertia, w @ distances.min(axis=1), rtol=1e-10)


def test_the_sums_of_a_cluster_do_not_depend_on_its_number() -> None:
    # What tells, without labels, that nothing has changed.
    x = np.random.default_rng(0).normal(size=(20_000, 7))
    centres = x[:30]
    order = np.random.default_rng(1).permutation(30)
    one, other = (
        run_pass("test", oc.asarray(x), [Assignment(Nearest(c), sums=True)])[0]
        for c in (centres, centres[order])
    )
    np.testing.assert_array_equal(one.sums[order], other.sums)


def test_a_bound_statistic_pickles() -> None:
    statistic = Assignment(Nearest(np.eye(3)), sums=True)
    again = pickle.loads(pickle.dumps(statistic))
    x = np.random.default_rng(0).normal(size=(100, 3))
    one, other = (run_pass("test", oc.asarray(x), [s])[0] for s in (statistic, again))
    np.testing.assert_array_equal(one.sums, other.sums)
