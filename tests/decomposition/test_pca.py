"""`PCA` against scikit-learn's, from every format, on every executor."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import decomposition

import outcore as oc
from outcore.blocks.reducing import session

NAMES = (
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
    "mean_",
    "noise_variance_",
)


def rows(n: int, d: int, *, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    """Well-conditioned, with variances that are apart."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return np.asarray(rng.normal(size=(n, d)) * 1.5 ** np.arange(d, 0, -1) @ rotation + mean)


def assert_same(ours: Any, theirs: Any, rtol: float = 1e-9) -> None:
    assert ours.n_components_ == theirs.n_components_
    for name in NAMES:
        expected = np.atleast_1d(getattr(theirs, name))
        scale = np.abs(expected).max(initial=0)
        assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=rtol, atol=rtol * scale, err_msg=name
        )


@settings(max_examples=40, deadline=None)
@given(
    d=st.integers(2, 12),
    more=st.integers(30, 2000),
    seed=st.integers(0, 10**6),
    mean=st.sampled_from([0.0, 100.0, 1e4]),
    n_components=st.sampled_from([None, 1, 2, 0, 0.5, 0.95, "mle"]),
    whiten=st.booleans(),
    solver=st.sampled_from(["auto", "covariance_eigh", "full"]),
)
def test_scikit_learns_result(
    d: int, more: int, seed: int, mean: float, n_components: Any, whiten: bool, solver: str
) -> None:
    x = rows(d + more, d, mean=mean, seed=seed)
    ours = oc.PCA(n_components, whiten=whiten, svd_solver=solver).fit(x)
    theirs = decomposition.PCA(n_components, whiten=whiten, svd_solver="full").fit(x)
    assert_same(ours, theirs)
    moved = theirs.transform(x)
    assert_allclose(ours.transform(x), moved, rtol=1e-9, atol=1e-9 * np.abs(x).max())
    if ours.n_components_:
        assert_allclose(ours.inverse_transform(moved), theirs.inverse_transform(moved), rtol=1e-9, atol=1e-8)
    if not whiten:
        assert_allclose(ours.get_covariance(), theirs.get_covariance(), rtol=1e-9, atol=1e-9)
        if ours.n_components_:
            assert_allclose(ours.get_precision(), theirs.get_precision(), rtol=1e-8, atol=1e-10)
            assert_allclose(ours.score(x), theirs.score(x), rtol=1e-9)
            assert_allclose(ours.score_samples(x), theirs.score_samples(x), rtol=1e-7)


@pytest.mark.parametrize("solver", ["auto", "full"])
def test_fewer_rows_than_columns(solver: str) -> None:
    x = np.random.default_rng(0).normal(size=(12, 30)) * 1.5 ** np.arange(30)
    ours = oc.PCA(svd_solver=solver).fit(x)
    theirs = decomposition.PCA(svd_solver="full").fit(x)
    assert ours.components_.shape == (12, 30)
    # The last component has no variance, so any direction will do.
    assert_allclose(ours.components_[:11], theirs.components_[:11], atol=1e-7)
    assert_allclose(
        ours.explained_variance_, theirs.explained_variance_, atol=1e-12 * ours.explained_variance_[0]
    )
    assert_same(oc.PCA(5, svd_solver=solver).fit(x), decomposition.PCA(5, svd_solver="full").fit(x))
    with pytest.raises(oc.errors.OptionError, match="n_samples >= n_features"):
        oc.PCA("mle").fit(x)


def test_small_variances_are_kept_by_the_factor_and_lost_by_the_covariance() -> None:
    rng = np.random.default_rng(0)
    deviations = np.array([1.0, 1e-3, 1e-7, 1e-11])
    x = np.linalg.qr(rng.normal(size=(500, 4)) - 0.0)[0]
    x -= x.mean(axis=0)
    x = np.linalg.qr(x)[0] * deviations  # exactly these singular values, and mean 0 to rounding
    full = oc.PCA(svd_solver="full").fit(x)
    assert_allclose(full.singular_values_, deviations, rtol=1e-4)
    squared = oc.PCA().fit(x)
    assert_allclose(squared.singular_values_[:2], deviations[:2], rtol=1e-9)


def test_whitening_does_not_change_the_model() -> None:
    # scikit-learn scales the components of a whitening PCA once more in get_covariance.
    x = rows(500, 5)
    plain, white = oc.PCA(3).fit(x), oc.PCA(3, whiten=True).fit(x)
    assert_array_equal(white.get_covariance(), plain.get_covariance())
    assert white.score(x) == plain.score(x)
    assert_allclose(white.transform(x).std(axis=0, ddof=1), 1)
    assert_allclose(white.inverse_transform(white.transform(x)), plain.inverse_transform(plain.transform(x)))


@pytest.mark.parametrize("n_components", [None, 3, 0])
def test_precision_is_the_inverse_of_the_covariance(n_components: int | None) -> None:
    pca = oc.PCA(n_components).fit(rows(500, 5))
    assert_allclose(pca.get_precision() @ pca.get_covariance(), np.eye(5), atol=1e-10)


def results(source: Any, solver: str, weights: Any = None) -> tuple[Any, ...]:
    pca = oc.PCA(4, svd_solver=solver).fit(source, sample_weight=weights)
    moved = pca.transform(source)
    return (
        *(np.asarray(getattr(pca, name)).tobytes() for name in NAMES),
        moved.tobytes(),
        pca.inverse_transform(moved).tobytes(),
        pca.score(source),
        pca.score_samples(source).tobytes(),
    )


@pytest.mark.parametrize("solver", ["auto", "full"])
def test_the_same_bits_from_every_format_and_executor(tmp_path: Path, solver: str) -> None:
    x = rows(30_000, 6)
    weights = np.random.default_rng(1).integers(0, 3, len(x))
    np.save(tmp_path / "x.npy", x)
    expected = results(x, solver, weights)
    assert results(str(tmp_path / "x.npy"), solver, weights) == expected
    assert results(oc.share(x), solver, weights) == expected
    assert results(np.asfortranarray(x), solver, weights) == expected
    for workers in (1, 3):
        with session(workers=workers):
            assert results(x, solver, weights) == expected
    with session(2):
        assert results(str(tmp_path / "x.npy"), solver, weights) == expected


def test_float32_rows_are_summed_in_float64() -> None:
    x = rows(3000, 4).astype("f4")
    ours = oc.PCA().fit(x)
    assert_array_equal(ours.components_, oc.PCA().fit(x.astype("f8")).components_)
    assert ours.transform(x).dtype == np.float32
    assert ours.inverse_transform(ours.transform(x)).dtype == np.float32
    assert ours.transform(np.ones((2, 4), "i4")).dtype == np.float64


def test_results_go_where_they_are_wanted(tmp_path: Path) -> None:
    x = rows(3000, 4)
    pca = oc.PCA(2)
    with pca.fit_transform(x, out=str(tmp_path / "moved.npy")) as moved:
        expected = pca.transform(x)
        assert_array_equal(moved[:], expected)
        with pca.inverse_transform(moved, out=tmp_path / "back.npy") as back:
            assert_array_equal(back[:], pca.inverse_transform(expected))
    out = np.empty((3000, 2))
    assert pca.transform(x, out=out) is out
    with pytest.raises(oc.errors.ShapeError, match=r"out has shape \(3000, 3\)"):
        pca.transform(x, out=np.empty((3000, 3)))


@pytest.mark.parametrize("solver", ["auto", "full"])
def test_nan_is_named_by_its_row(solver: str) -> None:
    x = rows(30_000, 3)
    x[20_001, 2] = np.nan
    pca = oc.PCA(svd_solver=solver)
    with pytest.raises(oc.errors.NonFiniteError, match="row 20001, column 2"):
        pca.fit(x)
    pca.fit(x[:1000])
    for method in (pca.transform, pca.inverse_transform, pca.score, pca.score_samples):
        with pytest.raises(oc.errors.NonFiniteError, match="row 20001, column 2"):
            method(x)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"n_components": 4}, r"n_components=4 must be between 0 and min\(n_samples, n_features\)=3"),
        ({"n_components": -1}, "n_components=-1"),
        ({"n_components": 1.5}, "n_components=1.5"),
        ({"n_components": 1.0}, "n_components=1.0"),
        ({"n_components": True}, "n_components=True"),
        ({"n_components": "most"}, "n_components='most'"),
        ({"svd_solver": "arpack"}, "svd_solver='arpack' is not one of 'auto', 'covariance_eigh', 'full'"),
    ],
)
def test_parameters_without_sense(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(oc.errors.OptionError, match=text):
        oc.PCA(**parameters).fit(rows(20, 3))


def test_one_row_is_not_enough() -> None:
    with pytest.raises(oc.errors.ShapeError, match="n_samples=1"):
        oc.PCA().fit(np.ones((1, 3)))
    for solver in ("auto", "full"):
        for weights, text in ((np.array([1.0, 0.0]), "1 in all"), (np.zeros(2), "zero")):
            with pytest.raises(oc.errors.OptionError, match=text):
                oc.PCA(svd_solver=solver).fit(np.eye(2), sample_weight=weights)


def test_constant_rows_have_no_variance() -> None:
    for solver in ("auto", "full"):
        pca = oc.PCA(svd_solver=solver).fit(np.ones((10, 3)))
        assert_array_equal(pca.explained_variance_, np.zeros(3))
        assert_array_equal(pca.explained_variance_ratio_, np.zeros(3))
        assert_array_equal(pca.transform(np.ones((2, 3))), np.zeros((2, 3)))


def test_a_fitted_one_pickles() -> None:
    x = rows(300, 3)
    pca = oc.PCA(2).fit(x)
    assert_array_equal(pickle.loads(pickle.dumps(pca)).transform(x), pca.transform(x))


def test_a_plan_counts_one_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", rows(3000, 4))
    with oc.open(tmp_path / "x.npy") as x:
        for solver in ("auto", "full"):
            plan = oc.plan(oc.PCA(svd_solver=solver).fit, x)
            assert (plan.passes, plan.bytes_read) == (1, x.nbytes)
