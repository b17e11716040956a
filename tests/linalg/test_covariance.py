"""Covariances against numpy.cov."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.linalg import Covariance, Gram
from tests.linalg.cut_small import cut_small, matrices, weights_for


def wanted(x: np.ndarray, w: np.ndarray | None = None, ddof: int = 1) -> np.ndarray:
    x = x.astype("f8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = np.cov(x, rowvar=False, aweights=None if w is None else w.astype("f8"), ddof=ddof)
    return found.reshape(x.shape[1], x.shape[1])


def check(found: np.ndarray, right: np.ndarray, scale: float) -> None:
    assert found.shape == right.shape
    assert np.array_equal(found, found.T)
    assert np.allclose(found, right, rtol=1e-11, atol=1e-14 * scale)


@given(x=matrices(min_rows=2, min_columns=1), ddof=st.integers(0, 1), block=st.integers(8, 300))
def test_without_weights(x: np.ndarray, ddof: int, block: int) -> None:
    with cut_small(block):
        found = oc.cov(x, ddof=ddof, workers=2)
    check(found, wanted(x, ddof=ddof), float(np.square(x.astype("f8")).max()))


@given(data=st.data(), x=matrices(min_rows=2, min_columns=1), ddof=st.integers(0, 1))
def test_with_weights(data: st.DataObject, x: np.ndarray, ddof: int) -> None:
    w = data.draw(weights_for(len(x)))
    if np.count_nonzero(w) < 2:
        w[:2] = 1
    with cut_small():
        found = oc.cov(x, weights=w, ddof=ddof, workers=2)
    check(found, wanted(x, w, ddof), float(np.square(x.astype("f8")).max()))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_mean_that_is_large_beside_the_deviation(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    # Sums of squares would have no correct digit left; numbers on a grid are shifted without rounding.
    x = np.round(rng.normal(size=(50_000, 5)) * 2**20) / 2**20
    w = rng.random(50_000) if weighted else None
    shift = np.array([1e8, -1e8, 2.0**30, 0, 3e7])
    found = oc.reduce_rows(x + shift, Covariance(), weights=w)
    assert np.allclose(found.covariance, wanted(x, w), rtol=1e-12, atol=1e-13)
    assert np.allclose(found.mean - shift, np.average(x, axis=0, weights=w), rtol=0, atol=2.5e-7)


def test_sorted_rows_and_rows_that_hardly_count() -> None:
    rng = np.random.default_rng(1)
    x = np.sort(rng.normal(size=(20_000, 3)) * [1, 1e3, 1e-3], axis=0)
    w = np.ones(20_000)
    x[0] = 1e12  # a first row far away, of almost no weight
    w[0] = 1e-60
    with cut_small(4096, 256, 64):
        check(oc.cov(x, weights=w), wanted(x[1:], w[1:]), 1.0)


def test_mean_weight_and_count_come_with_it() -> None:
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(5000, 4)), rng.random(5000)
    w[:1000] = 0
    x[:1000] = np.nan
    with cut_small(4096, 512, 64):
        found, gram = oc.reduce_rows(x[1000:], [Covariance(ddof=0), Gram()], weights=w[1000:])
        again = oc.reduce_rows(x, Covariance(ddof=0), weights=w)
    right = np.average(x[1000:], axis=0, weights=w[1000:])
    for each in (found, again):
        assert np.allclose(each.mean, right, rtol=1e-12, atol=1e-14)
        assert np.isclose(each.weight, w.sum())
        assert each.n_rows == 4000
        assert np.allclose(each.covariance, gram / w.sum() - np.outer(right, right), atol=1e-12)


def test_the_digits_do_not_depend_on_workers_or_layout() -> None:
    x = np.random.default_rng(3).normal(size=(40_000, 30))
    right = oc.cov(x, workers=1).tobytes()
    assert oc.cov(x, workers=2).tobytes() == right
    assert oc.cov(x, workers=3).tobytes() == right
    assert oc.cov(x.copy("F"), workers=2).tobytes() == right


def test_equal_weights_are_as_none() -> None:
    x = np.random.default_rng(4).normal(size=(300, 3))
    assert np.allclose(oc.cov(x, weights=np.full(300, 7.0)), oc.cov(x), rtol=1e-13)
    assert np.array_equal(oc.cov(x, weights=np.ones(300)), oc.cov(x))


def test_one_row_with_ddof_0_and_constant_columns_have_no_spread() -> None:
    assert np.array_equal(oc.cov(np.ones((1, 3)), ddof=0), np.zeros((3, 3)))
    assert np.abs(oc.cov(np.full((3000, 2), 0.1))).max() < 1e-32
    assert oc.cov(np.ones((5, 0))).shape == (0, 0)


@pytest.mark.parametrize(
    ("n", "weights", "ddof", "text"),
    [
        (0, None, 1, "X has 0 rows"),
        (0, None, 0, "X has 0 rows"),
        (1, None, 1, "1 rows that count; a covariance with ddof=1"),
        (2, [0, 0.1], 1, "1 rows that count"),
        (3, None, 3, "ddof=3"),
        (3, [0, 0, 0], 1, "weights are zero in all 3 rows"),
        (3, [1, -1, 1], 1, "weights hold -1 in row 1"),
        (3, None, -1, "ddof=-1"),
        (3, None, "1", "ddof='1'"),
        (3, None, np.nan, "ddof=nan"),
    ],
)
def test_too_little_to_divide_by(n: int, weights: object, ddof: object, text: str) -> None:
    with pytest.raises(oc.errors.OptionError, match=text):
        oc.cov(np.ones((n, 2)), weights=weights, ddof=ddof)


def test_one_weight_for_each_row() -> None:
    with pytest.raises(oc.errors.ShapeError, match=r"weights have shape \(10, 2\); a covariance takes one"):
        oc.cov(np.ones((10, 3)), weights=np.ones((10, 2)))
    found = oc.reduce_rows(np.eye(3), Covariance(weighted=False), weights=np.ones((3, 2)))
    assert found.weight == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_value_that_is_no_number_is_named(value: float, weighted: bool) -> None:
    x = np.ones((5000, 3))
    x[4321, 1] = value
    w = np.ones(5000) if weighted else None
    if w is not None:
        w[::7] = 0
    with cut_small(1000, 500, 100), pytest.raises(oc.errors.NonFiniteError, match="row 4321, column 1"):
        oc.cov(x, weights=w)
