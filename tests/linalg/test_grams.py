"""Gram matrices against plain NumPy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.pages import MAPPED_BYTES
from outcore.linalg import Gram, QuadraticForm
from tests.linalg.cut_small import cut_small, matrices, weights_for


def wanted(x: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
    x = x.astype("f8")
    if w is None:
        return x.T @ x
    if w.ndim == 1:
        return (x.T * w.astype("f8")) @ x
    return np.stack([wanted(x, column) for column in w.T])


def check(found: np.ndarray, right: np.ndarray) -> None:
    assert found.shape == right.shape
    assert found.dtype == np.float64
    assert np.array_equal(found, np.swapaxes(found, -1, -2))
    assert np.allclose(found, right, rtol=1e-12, atol=1e-12 * np.abs(right).max(initial=0))


@given(x=matrices(), workers=st.integers(1, 3), block=st.integers(8, 300))
def test_without_weights(x: np.ndarray, workers: int, block: int) -> None:
    with cut_small(block):
        check(oc.gram(x, workers=workers), wanted(x))


@given(data=st.data(), x=matrices(min_rows=1), columns=st.sampled_from([None, 1, 3]))
def test_with_weights(data: st.DataObject, x: np.ndarray, columns: int | None) -> None:
    w = data.draw(weights_for(len(x), columns))
    with cut_small():
        check(oc.gram(x, w, workers=2), wanted(x, w))


def test_large_enough_for_mapped_sums_and_whole_pieces() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(20_000, 190)), rng.random((20_000, 2))
    w[rng.random(w.shape) < 0.4] = 0
    assert MAPPED_BYTES <= 8 * 190 * 190
    check(oc.gram(x), wanted(x))
    check(oc.gram(x, w), wanted(x, w))


@pytest.mark.parametrize("columns", [None, 3])
def test_the_digits_do_not_depend_on_workers_or_executor(columns: int | None) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40_000, 30))
    w = rng.random((40_000,) if columns is None else (40_000, columns))
    right = oc.gram(x, w, workers=1)
    for workers in (2, 3):
        assert oc.gram(x, w, workers=workers).tobytes() == right.tobytes()
    assert oc.gram(x.copy("F"), w, workers=2).tobytes() == right.tobytes()


def test_one_set_of_matrices_for_all_workers_gives_the_same_digits() -> None:
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(20_000, 100)), rng.random((20_000, 40))
    free = oc.plan(oc.gram, x, w, workers=2)
    assert free.mode == "rows"
    memory = free.peak_bytes - 1
    tight = oc.plan(oc.gram, x, w, workers=2, memory=memory)
    assert tight.mode == "parts"
    assert tight.peak_bytes <= memory
    assert oc.gram(x, w, workers=2, memory=memory).tobytes() == oc.gram(x, w, workers=2).tobytes()
    check(oc.gram(x, w, workers=2, memory=memory), wanted(x, w))


@pytest.mark.parametrize("kind", ["npy", "array", "h5", "memmap", "shared"])
def test_rows_and_weights_wherever_they_are(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(3000, 5)).astype("f4"), rng.random((3000, 2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "w.npy", w)
    given_x: object = tmp_path / "x.npy"
    given_w: object = tmp_path / "w.npy"
    if kind == "array":
        given_x, given_w = oc.open(tmp_path / "x.npy"), oc.open(tmp_path / "w.npy")
    elif kind == "h5":
        given_x = oc.convert(x, f"{tmp_path}/x.h5::/x", chunks=(100, 5), compression="gzip")
    elif kind == "memmap":
        given_x = np.load(tmp_path / "x.npy", mmap_mode="r")
    elif kind == "shared":
        given_x, given_w = oc.share(x), oc.share(w)
    with cut_small(4096, 256, 64):
        check(oc.gram(given_x, given_w), wanted(x, w))


def test_rows_of_weight_0_are_left_out_whatever_they_hold() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(700, 4)), rng.random((700, 2))
    bad = [0, 5, 300, 699]
    w[bad] = 0
    right = wanted(x, w)
    x[bad] = np.nan, np.inf, -np.inf, 0
    check(oc.gram(x, w), right)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weights", [None, "(n,)", "(n, 2)", "with zeros"])
def test_a_value_that_is_no_number_is_named(value: float, weights: str | None) -> None:
    x = np.ones((5000, 3))
    x[4321, 1] = x[4400, 0] = value
    w = None if weights is None else np.ones((5000, 2) if weights == "(n, 2)" else 5000)
    if weights == "with zeros":
        w[:4000:2] = w[4320] = 0
    with cut_small(1000, 500, 100), pytest.raises(oc.errors.NonFiniteError, match="row 4321, column 1"):
        oc.gram(x, w)


def test_squares_beyond_float64_are_infinite_as_in_numpy() -> None:
    x = np.array([[1e200, 1.0], [1e200, 2.0]])
    found = oc.gram(x)
    assert found[0, 0] == np.inf
    assert found[1, 1] == 5
    assert oc.gram(x, [1e300, 1e300])[0, 0] == np.inf


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        (np.ones(9), oc.errors.ShapeError, r"weights have shape \(9,\)"),
        (np.ones((10, 2, 2)), oc.errors.ShapeError, r"weights have shape \(10, 2, 2\)"),
        (np.ones(10, complex), oc.errors.ShapeError, "complex"),
        (np.where(np.arange(10) == 7, -1.0, 1), oc.errors.OptionError, "weights hold -1 in row 7"),
        (
            np.where(np.arange(20).reshape(10, 2) == 15, -0.5, 1),
            oc.errors.OptionError,
            "weights hold -0.5 in row 7, column 1",
        ),
        (np.where(np.arange(10) == 7, np.nan, 1), oc.errors.NonFiniteError, "weights .*NaN in row 7"),
        (np.where(np.arange(10) == 7, np.inf, 1), oc.errors.NonFiniteError, "weights .*inf.* in row 7"),
        (np.zeros(10), oc.errors.OptionError, "weights are zero in all 10 rows"),
        (np.eye(10)[:, :3] * [1, 0, 1], oc.errors.OptionError, "weights of column 1 are zero in all 10 rows"),
        (np.zeros((10, 7)), oc.errors.OptionError, r"weights of columns 0, 1, 2, 3, 4, \.\.\. are zero"),
    ],
)
def test_weights_that_cannot_be_meant(weights: np.ndarray, error: type[Exception], text: str) -> None:
    with cut_small(), pytest.raises(error, match=text):
        oc.gram(np.ones((10, 3)), weights)


def test_many_statistics_in_one_pass_and_one_without_the_weights() -> None:
    rng = np.random.default_rng(5)
    x, w, q = rng.normal(size=(500, 4)), rng.random((500, 3)), rng.normal(size=(3, 4, 4))
    grams, plain, forms = oc.reduce_rows(x, [Gram(), Gram(weighted=False), QuadraticForm(q)], weights=w)
    check(grams, wanted(x, w))
    check(plain, wanted(x))
    assert np.allclose(forms, np.einsum("ni,kij,nj->nk", x, q, x))


def test_the_result_is_the_users_own() -> None:
    x = np.random.default_rng(6).normal(size=(300, 200))
    first, second = oc.gram(x), oc.gram(x, np.ones((300, 2)))
    kept = first.copy()
    second[:] = 0
    oc.gram(-x)
    assert np.array_equal(first, kept)
    assert first.flags.writeable


def test_the_plan_names_shapes_and_counts() -> None:
    plan = oc.plan(oc.gram, np.ones((1000, 30)), np.ones((1000, 4)))
    assert plan.what == "gram(weights=(1000, 4))"
    assert plan.flops == 1000 * 30 * 30 * 4
    assert plan.passes == 1


def test_a_budget_that_nothing_fits_is_refused_with_the_sum() -> None:
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"gram\(weights=\(100, 4\)\) needs") as caught:
        oc.gram(np.ones((100, 1000)), np.ones((100, 4)), memory="1MB")
    assert "state" in str(caught.value)


def test_on_an_executor_of_the_user() -> None:
    x = np.random.default_rng(7).normal(size=(20_000, 12))
    with ThreadPoolExecutor(2) as pool:
        assert oc.gram(x, executor=pool).tobytes() == oc.gram(x).tobytes()
