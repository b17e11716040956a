"""Quadratic forms against plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from tests.linalg.cut_small import cut_small, matrices


def wanted(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    x, q = x.astype("f8"), q.astype("f8")
    if q.ndim == 2:
        return np.sum((x @ q) * x, axis=1)
    return np.stack([wanted(x, each) for each in q], axis=1) if len(q) else np.zeros((len(x), 0))


def check(found: np.ndarray, x: np.ndarray, q: np.ndarray) -> None:
    right = wanted(x, q)
    assert found.shape == right.shape
    scale = wanted(np.abs(x.astype("f8")), np.abs(q.astype("f8"))).max(initial=0)
    assert np.allclose(found, right, rtol=1e-12, atol=1e-13 * scale)


@given(
    x=matrices(),
    count=st.sampled_from([None, 0, 1, 3]),
    dtype=st.sampled_from(["f8", "f4", "i8", "i1"]),
    order=st.sampled_from(["C", "F"]),
    seed=st.integers(0, 2**32),
)
def test_against_numpy(x: np.ndarray, count: int | None, dtype: str, order: str, seed: int) -> None:
    d = x.shape[1]
    values = np.random.default_rng(seed).normal(0, 30, (d, d) if count is None else (count, d, d))
    q = np.asarray(values.astype(dtype), order=order)
    with cut_small():
        found = oc.quadratic_form(x, q, workers=2)
    assert found.dtype == np.float64
    check(found, x, q)


def test_small_integers_do_not_wrap_around() -> None:
    q = np.full((2, 2), 127, "i1")
    assert oc.quadratic_form(np.ones((1, 2), "i1"), q)[0] == 4 * 127


def test_blocks_and_pieces_as_they_are() -> None:
    rng = np.random.default_rng(0)
    x, q = rng.normal(size=(20_000, 70)), rng.normal(size=(2, 70, 70))
    check(oc.quadratic_form(x, q), x, q)


def test_the_digits_do_not_depend_on_workers_or_layout() -> None:
    rng = np.random.default_rng(1)
    x, q = rng.normal(size=(40_000, 30)), rng.normal(size=(30, 30))
    right = oc.quadratic_form(x, q, workers=1).tobytes()
    for workers in (2, 3):
        assert oc.quadratic_form(x, q, workers=workers).tobytes() == right
    assert oc.quadratic_form(x.copy("F"), q).tobytes() == right
    # Each row by itself: its neighbours do not matter, but its place in a block may.
    assert np.allclose(oc.quadratic_form(x[5000:5100], q), oc.quadratic_form(x, q)[5000:5100], rtol=1e-12)


def test_a_positive_definite_q_gives_no_negative_form_of_size() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(10, 10))
    assert oc.quadratic_form(rng.normal(size=(5000, 10)), a @ a.T).min() >= 0


@pytest.mark.parametrize("count", [None, 3])
def test_into_what_the_user_gives(tmp_path: Path, count: int | None) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 4))
    q = rng.normal(size=(4, 4) if count is None else (count, 4, 4))
    shape = (3000,) if count is None else (3000, count)
    right = oc.quadratic_form(x, q)
    with cut_small(4096, 512):
        right = oc.quadratic_form(x, q)
        out = np.full(shape, np.nan)
        assert oc.quadratic_form(x, q, out=out) is out
        assert np.array_equal(out, right)
        single = np.empty(shape, "f4")
        oc.quadratic_form(x, q, out=single)
        assert np.array_equal(single, right.astype("f4"))
        turned = np.empty(shape[::-1]).T
        oc.quadratic_form(x, q, out=turned)
        assert np.array_equal(turned, right)
        shared = oc.shared_empty(shape, "f8")
        oc.quadratic_form(x, q, out=shared)
        assert np.array_equal(shared, right)
        with oc.create(tmp_path / "made.npy", shape, "f8") as made:
            oc.quadratic_form(x, q, out=made)
        assert np.array_equal(np.load(tmp_path / "made.npy"), right)
        named = oc.quadratic_form(x, q, out=tmp_path / "named.npy")
        assert isinstance(named, oc.Array)
        assert np.array_equal(np.load(tmp_path / "named.npy"), right)


def test_nothing_is_left_where_a_row_is_refused(tmp_path: Path) -> None:
    x = np.ones((5000, 3))
    x[4999, 2] = np.nan
    with pytest.raises(oc.errors.NonFiniteError):
        oc.quadratic_form(x, np.eye(3), out=tmp_path / "y.npy")
    assert list(tmp_path.iterdir()) == []


def test_q_from_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x, q = rng.normal(size=(30, 4)), rng.normal(size=(2, 4, 4))
    np.save(tmp_path / "q.npy", q)
    check(oc.quadratic_form(x, tmp_path / "q.npy"), x, q)
    check(oc.quadratic_form(x, oc.open(tmp_path / "q.npy")), x, q)


@pytest.mark.parametrize(
    ("q", "error", "text"),
    [
        (np.ones((3, 4)), oc.errors.ShapeError, r"Q has shape \(3, 4\); rows of X, .* need \(3, 3\)"),
        (np.ones((4, 4)), oc.errors.ShapeError, r"Q has shape \(4, 4\)"),
        (np.ones((2, 3, 4)), oc.errors.ShapeError, r"\(K, 3, 3\)"),
        (np.ones(3), oc.errors.ShapeError, r"Q has shape \(3,\)"),
        (np.ones((1, 1, 3, 3)), oc.errors.ShapeError, r"Q has shape \(1, 1, 3, 3\)"),
        (np.array(1.0), oc.errors.ShapeError, r"Q has shape \(\)"),
        (np.ones((3, 3), complex), oc.errors.DTypeError, "Q has dtype complex128"),
        (np.where(np.eye(3) == 1, np.inf, 0), oc.errors.NonFiniteError, r"Q\[0, 0\] is inf"),
        (
            np.where(np.arange(18).reshape(2, 3, 3) == 14, np.nan, 0),
            oc.errors.NonFiniteError,
            r"Q\[1, 1, 2\] is nan",
        ),
    ],
)
def test_a_q_that_does_not_fit(q: np.ndarray, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        oc.quadratic_form(np.ones((10, 3)), q)


@pytest.mark.parametrize(
    ("out", "error", "text"),
    [
        (np.empty(9), oc.errors.ShapeError, r"out has shape \(9,\); the result has shape \(10,\)"),
        (np.empty((10, 1)), oc.errors.ShapeError, r"out has shape \(10, 1\)"),
        (np.empty(10, "i8"), oc.errors.ShapeError, "out has dtype int64"),
        ([0.0] * 10, oc.errors.ShapeError, "out is a list"),
    ],
)
def test_an_out_that_does_not_fit(out: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        oc.quadratic_form(np.ones((10, 3)), np.eye(3), out=out)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("q", [np.eye(3), np.zeros((2, 3, 3)), np.triu(np.ones((3, 3)), 1)])
def test_a_value_that_is_no_number_is_named(value: float, q: np.ndarray) -> None:
    x = np.ones((5000, 3), "f4")
    x[4321, 1] = value
    with cut_small(1000, 500, 100), pytest.raises(oc.errors.NonFiniteError, match="row 4321, column 1"):
        oc.quadratic_form(x, q)


def test_a_plan_makes_no_triangles(monkeypatch: pytest.MonkeyPatch) -> None:
    from outcore.linalg import forms

    def folded(*args: object) -> None:
        raise AssertionError("not needed for a plan")

    monkeypatch.setattr(forms, "_folded", folded)
    plan = oc.plan(oc.quadratic_form, np.ones((1000, 30)), np.ones((4, 30, 30)))
    assert plan.what == "quadratic_form(Q=(4, 30, 30))"
    assert plan.flops == 1000 * 30 * 30 * 4
    assert plan.parts["parameters"] == 4 * 30 * 30 * 8
    with pytest.raises(oc.errors.MemoryBudgetError, match="quadratic_form"):
        oc.quadratic_form(np.ones((1000, 30)), np.ones((4, 30, 30)), memory=1000)
