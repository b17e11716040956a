"""Rows of mixtures, and starts to fit them from, for the tests of this folder."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Theirs

KINDS = ("full", "tied", "diag", "spherical")


def groups(n: int, d: int, k: int, seed: int = 0, apart: float = 3.0, offset: float = 0.0) -> np.ndarray:
    """Return `n` rows of `k` groups with covariances of their own, in random order."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=apart, size=(k, d)) + offset
    shapes = rng.normal(scale=0.3, size=(k, d, d)) + np.eye(d)
    labels = rng.integers(0, k, n)
    noise = rng.normal(size=(n, d))
    return centres[labels] + np.einsum("nd,nde->ne", noise, shapes[labels])


def start(x: np.ndarray, k: int, kind: str, seed: int = 0) -> dict[str, Any]:
    """Return parameters that a fit can start from."""
    rng = np.random.default_rng(seed)
    d = x.shape[1]
    variances = x.var(axis=0) + 1e-3
    precisions = {
        "full": np.stack([np.diag(1 / variances)] * k),
        "tied": np.diag(1 / variances),
        "diag": np.stack([1 / variances] * k),
        "spherical": np.full(k, 1 / variances.mean()),
    }[kind]
    return {
        "n_components": k,
        "covariance_type": kind,
        "weights_init": np.full(k, 1 / k),
        "means_init": x[rng.choice(len(x), k, replace=False)] + rng.normal(scale=0.1, size=(k, d)),
        "precisions_init": precisions,
    }


def theirs(x: np.ndarray, **parameters: Any) -> Theirs:
    """Return what scikit-learn makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Theirs(**parameters).fit(x)


def same(ours: Any, other: Any, rtol: float = 1e-9) -> None:
    """Compare the fitted attributes of two mixtures."""
    assert ours.n_iter_ == other.n_iter_
    assert ours.converged_ == other.converged_
    scale = max(np.abs(other.means_).max(), 1.0)
    np.testing.assert_allclose(ours.weights_, other.weights_, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(ours.means_, other.means_, rtol=rtol, atol=rtol * scale)
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        mine, wanted = getattr(ours, name), getattr(other, name)
        np.testing.assert_allclose(mine, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max(), err_msg=name)
    np.testing.assert_allclose(ours.lower_bound_, other.lower_bound_, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(ours.lower_bounds_, other.lower_bounds_, rtol=rtol, atol=1e-12)


def identical(ours: Any, other: Any) -> None:
    """Compare the fitted attributes of two mixtures, bit by bit."""
    for name in (
        "weights_",
        "means_",
        "covariances_",
        "precisions_cholesky_",
        "lower_bounds_",
        "lower_bound_",
    ):
        assert np.array_equal(getattr(ours, name), getattr(other, name)), name
    assert (ours.n_iter_, ours.converged_) == (other.n_iter_, other.converged_)
