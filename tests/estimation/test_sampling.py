"""Rows to begin with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.estimation.sampling import random_state, sample_rows, sample_size


@given(n_rows=st.integers(1, 400), n=st.integers(1, 450), seed=st.integers(0, 9), weighted=st.booleans())
def test_rows_are_different_rows_in_order(n_rows: int, n: int, seed: int, weighted: bool) -> None:
    x = np.arange(2.0 * n_rows).reshape(n_rows, 2)
    weights = np.arange(n_rows) % 3
    source = oc.asarray(x)
    found = sample_rows(source, n, random_state(seed), oc.asarray(weights) if weighted else None)
    there = np.count_nonzero(weights) if weighted else n_rows
    assert len(found.numbers) == min(n, there)
    assert (np.diff(found.numbers) > 0).all()
    np.testing.assert_array_equal(found.rows, x[found.numbers])
    if weighted:
        assert found.weights is not None
        np.testing.assert_array_equal(found.weights, weights[found.numbers])
        assert (found.weights > 0).all()


def test_every_row_is_equally_likely() -> None:
    source = oc.asarray(np.zeros((10, 1)))
    rng = random_state(0)
    counts = np.zeros(10)
    for _ in range(600):
        counts[sample_rows(source, 5, rng).numbers] += 1
    # 300 each; five standard deviations are 61.
    assert np.abs(counts - 300).max() < 61


def test_the_sample_does_not_depend_on_the_format(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5000, 3)).astype("f4")
    np.save(tmp_path / "x.npy", x)
    with oc.open(tmp_path / "x.npy") as stored:
        one = sample_rows(stored, 100, random_state(3))
    other = sample_rows(oc.asarray(np.asfortranarray(x)), 100, random_state(3))
    np.testing.assert_array_equal(one.numbers, other.numbers)
    np.testing.assert_array_equal(one.rows, other.rows)
    assert one.rows.dtype == np.float64


@settings(max_examples=30)
@given(seed=st.one_of(st.integers(0, 2**32 - 1), st.just(None)))
def test_seeds(seed: int | None) -> None:
    if seed is None:
        np.random.seed(5)
        one = random_state(None).uniform()
        np.random.seed(5)
        assert one == random_state(None).uniform()
    else:
        assert random_state(seed).uniform() == np.random.RandomState(seed).uniform()


def test_generators_are_used_as_they_are() -> None:
    for rng in (np.random.default_rng(0), np.random.RandomState(0)):
        assert random_state(rng) is rng


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "a", True])
def test_what_is_no_seed_is_refused(seed: object) -> None:
    with pytest.raises(oc.errors.OptionError, match="is no seed"):
        random_state(seed)


def test_nan_in_a_row_taken_is_named_by_its_number() -> None:
    x = np.zeros((1000, 2))
    x[:, 1] = np.nan
    with pytest.raises(oc.errors.NonFiniteError, match=r"row [0-9]+, column 1"):
        sample_rows(oc.asarray(x), 7, random_state(0))


def test_weights_that_are_none_are_refused() -> None:
    source, rng = oc.asarray(np.zeros((10, 2))), random_state(0)
    weights = np.ones(10)
    weights[6] = -1
    with pytest.raises(oc.errors.OptionError, match="row 6"):
        sample_rows(source, 5, rng, oc.asarray(weights))
    weights[6] = np.nan
    with pytest.raises(oc.errors.NonFiniteError, match="row 6"):
        sample_rows(source, 5, rng, oc.asarray(weights))


def test_a_sample_that_does_not_fit_is_refused() -> None:
    with oc.options(memory="10kB"), pytest.raises(oc.errors.MemoryBudgetError, match="a sample of 1000 rows"):
        sample_rows(oc.asarray(np.zeros((1000, 20))), 1000, random_state(0))


def test_size_follows_what_is_wanted() -> None:
    assert sample_size(10**6, 4, 8, 500) == 500
    assert sample_size(10**6, 4, 800, 500) == 800
    assert sample_size(100, 4, 8, 500) == 100
    assert sample_size(10**6, 4, 8) == 20_000
