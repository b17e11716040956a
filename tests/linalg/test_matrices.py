"""Products with a matrix against plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from tests.linalg.cut_small import DTYPES, cut_small, matrices


@given(
    x=matrices(),
    m=st.sampled_from([None, 0, 1, 5]),
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from(["C", "F"]),
    seed=st.integers(0, 2**32),
)
def test_against_numpy(x: np.ndarray, m: int | None, dtype: str, order: str, seed: int) -> None:
    d = x.shape[1]
    values = np.random.default_rng(seed).normal(0, 3, (d,) if m is None else (d, m))
    b = np.asarray(values.astype(dtype), order=order)
    with cut_small():
        found = oc.matmul(x, b, workers=2)
    right = x @ b
    assert found.shape == right.shape
    assert found.dtype == right.dtype
    if right.dtype.kind == "f":
        exact = x.astype("f8") @ b.astype("f8")
        eps = max(np.finfo(right.dtype).eps, 1e-12)
        scale = (np.abs(x.astype("f8")) @ np.abs(b.astype("f8"))).max(initial=0)
        assert np.allclose(found, exact, rtol=eps, atol=1e-13 * scale)
    else:
        assert np.array_equal(found, right)


def test_float32_is_summed_in_float64_and_rounded_once() -> None:
    rng = np.random.default_rng(0)
    x, b = rng.normal(size=(2000, 300)).astype("f4"), rng.normal(size=(300, 4)).astype("f4")
    exact = x.astype("f8") @ b.astype("f8")
    assert np.array_equal(oc.matmul(x, b), exact.astype("f4"))
    assert not np.array_equal(x @ b, exact.astype("f4"))
    wide = np.empty((2000, 4))
    oc.matmul(x, b, out=wide)
    assert np.allclose(wide, exact, rtol=1e-13, atol=1e-12)


def test_the_digits_do_not_depend_on_workers() -> None:
    rng = np.random.default_rng(1)
    x, b = rng.normal(size=(40_000, 30)), rng.normal(size=(30, 7))
    right = oc.matmul(x, b, workers=1).tobytes()
    assert oc.matmul(x, b, workers=2).tobytes() == right
    assert oc.matmul(x, b, workers=3).tobytes() == right
    assert np.allclose(np.frombuffer(right).reshape(-1, 7), x @ b)


@pytest.mark.parametrize("m", [None, 3])
def test_into_what_the_user_gives(tmp_path: Path, m: int | None) -> None:
    rng = np.random.default_rng(2)
    x, b = rng.normal(size=(3000, 4)), rng.normal(size=(4,) if m is None else (4, m))
    shape = (3000,) if m is None else (3000, m)
    with cut_small(4096, 512):
        right = oc.matmul(x, b)
        out = np.full(shape, np.nan)
        assert oc.matmul(x, b, out=out) is out
        assert np.array_equal(out, right)
        shared = oc.shared_empty(shape, "f4")
        oc.matmul(x, b, out=shared)
        assert np.array_equal(shared, right.astype("f4"))
        made = oc.matmul(x, b, out=f"{tmp_path}/y.h5::/y")
        assert np.array_equal(made[:], right)
        with oc.create(tmp_path / "y.npy", shape, "f4") as single:
            oc.matmul(x, b, out=single)
        assert np.array_equal(np.load(tmp_path / "y.npy"), right.astype("f4"))


def test_into_its_own_rows() -> None:
    x = np.random.default_rng(3).normal(size=(5000, 3))
    b = np.array([[0, 1, 0], [0, 0, 1], [2.0, 0, 0]])
    right = x @ b
    with cut_small(4096, 512):
        oc.matmul(x, b, out=x, workers=2)
    assert np.array_equal(x, right)


@pytest.mark.parametrize(
    ("b", "error", "text"),
    [
        (np.ones((4, 3)), oc.errors.ShapeError, r"B has shape \(4, 3\); rows of X, .*need \(3, m\)"),
        (np.ones(4), oc.errors.ShapeError, r"B has shape \(4,\)"),
        (np.ones((1, 3, 3)), oc.errors.ShapeError, r"B has shape \(1, 3, 3\)"),
        (np.array(2.0), oc.errors.ShapeError, r"B has shape \(\)"),
        (np.ones((3, 3), complex), oc.errors.DTypeError, "B has dtype complex128"),
        (np.array([1, np.nan, 1]), oc.errors.NonFiniteError, r"B\[1\] is nan"),
        (np.array([[1, 1], [1, 1], [1, -np.inf]]), oc.errors.NonFiniteError, r"B\[2, 1\] is -inf"),
    ],
)
def test_a_matrix_that_does_not_fit(b: np.ndarray, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        oc.matmul(np.ones((10, 3)), b)


@pytest.mark.parametrize("out", [np.empty((10, 3)), np.empty((9, 2)), np.empty((10, 2), "i4")])
def test_an_out_that_does_not_fit(out: np.ndarray) -> None:
    with pytest.raises(oc.errors.ShapeError, match="out has"):
        oc.matmul(np.ones((10, 3)), np.ones((3, 2)), out=out)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_named(value: float) -> None:
    x = np.ones((5000, 3))
    x[4321, 1] = value
    with cut_small(1000, 500), pytest.raises(oc.errors.NonFiniteError, match="row 4321, column 1"):
        oc.matmul(x, np.zeros((3, 2)))


def test_the_plan_counts_the_product() -> None:
    plan = oc.plan(oc.matmul, np.ones((1000, 30)), np.ones((30, 4)))
    assert plan.what == "matmul(B=(30, 4))"
    assert plan.flops == 2 * 1000 * 30 * 4
    assert plan.parts["result"] == 1000 * 4 * 8
