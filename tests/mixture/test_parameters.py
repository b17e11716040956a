from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture._gaussian_mixture import _estimate_gaussian_parameters

from outcore.errors import DTypeError, OptionError, OutcoreError, ShapeError, SingularCovarianceError
from outcore.mixture.expectation import Sums
from outcore.mixture.parameters import COVARIANCE_TYPES, Parameters, check_given, covariance_shape, maximise


def sums_of(x: np.ndarray, shares: np.ndarray, means: np.ndarray, kind: str) -> Sums:
    around = x[:, np.newaxis] - means
    weighed = around * shares[:, :, np.newaxis]
    if kind == "full":
        second = np.einsum("nki,nkj->kij", weighed, around)
    elif kind == "tied":
        second = np.einsum("nki,nkj->ij", weighed, around)
    else:
        second = np.einsum("nki,nki->ki", weighed, around)
    return Sums(0.0, float(len(x)), shares.sum(axis=0), weighed.sum(axis=0), second)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@given(
    seed=st.integers(0, 999), k=st.integers(1, 4), d=st.integers(1, 5), offset=st.sampled_from([0.0, 50.0])
)
@settings(max_examples=25)
def test_maximising_is_scikit_learns(kind: str, seed: int, k: int, d: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(offset, 1, (40, d))
    shares = rng.dirichlet(np.ones(k), 40)
    before = rng.normal(offset, 1, (k, d))
    weights, means, found = maximise(sums_of(x, shares, before, kind), before, kind, 1e-3, 40)
    counts, wanted_means, wanted = _estimate_gaussian_parameters(x, shares, 1e-3, kind)
    np.testing.assert_allclose(weights, counts / counts.sum(), rtol=1e-12)
    np.testing.assert_allclose(means, wanted_means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    assert found.shape == covariance_shape(kind, k, d)


def test_covariances_take_the_memory_of_the_sums() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    sums = sums_of(x, np.full((20, 2), 0.5), np.zeros((2, 3)), "full")
    _, _, found = maximise(sums, np.zeros((2, 3)), "full", 0.0, 20)
    assert np.shares_memory(found, sums.second)


def test_weights_of_any_size_give_the_same() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    shares = np.random.default_rng(1).dirichlet(np.ones(2), 20)
    around = np.zeros((2, 2))
    tiny = sums_of(x, shares * 1e-30, around, "full")
    tiny.total_weight = 20e-30
    for small, plain in zip(
        maximise(tiny, around, "full", 1e-6, 20),
        maximise(sums_of(x, shares, around, "full"), around, "full", 1e-6, 20),
        strict=True,
    ):
        np.testing.assert_allclose(small, plain, rtol=1e-12)


def test_a_component_without_rows_stays_where_it_is() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2))
    shares = np.column_stack([np.ones(20), np.zeros(20)])
    before = np.array([[0.0, 0.0], [7.0, 7.0]])
    weights, means, found = maximise(sums_of(x, shares, before, "full"), before, "full", 1e-6, 20)
    assert weights[1] < 1e-15
    np.testing.assert_array_equal(means[1], [7.0, 7.0])
    np.testing.assert_allclose(found[1], 1e-6 * np.eye(2))


def test_a_weight_of_zero_is_no_warning() -> None:
    components = Parameters("spherical", np.array([1.0, 0.0]), np.zeros((2, 1)), np.ones(2)).components()
    assert components.log_weights[1] == -np.inf


def test_given_parameters_are_copies() -> None:
    means = np.zeros((2, 3))
    found = check_given([0.5, 0.5], means, np.ones((2, 3)), "diag", 2, 3)
    means[0, 0] = 9
    assert found.means is not None
    assert found.means[0, 0] == 0
    assert found.complete
    assert not check_given(None, means, None, "diag", 2, 3).complete


BAD = [
    ({"weights": [0.5, 0.6]}, OptionError, "weights_init adds up to 1.1"),
    ({"weights": [1.5, -0.5]}, OptionError, r"weights_init\[1\] is -0.5"),
    ({"weights": [1.0]}, ShapeError, r"weights_init has shape \(1,\); it needs \(2,\), since n_components=2"),
    ({"means": np.zeros((2, 2))}, ShapeError, r"means_init has shape \(2, 2\); it needs \(2, 3\)"),
    ({"means": [["a"] * 3] * 2}, DTypeError, "means_init is not an array of numbers"),
    ({"means": [[0, 0, 0], [0, np.nan, 0]]}, OptionError, r"means_init\[1, 1\] is nan"),
    ({"precisions": np.eye(3)}, ShapeError, r"precisions_init has shape \(3, 3\); it needs \(2, 3, 3\)"),
    ({"precisions": [np.eye(3), -np.eye(3)]}, SingularCovarianceError, r"precisions_init\[1\] is not pos"),
    ({"precisions": [np.eye(3), np.triu(np.ones((3, 3)))]}, SingularCovarianceError, "not symmetric"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "error", "text"), BAD)
def test_bad_parameters_are_named(given: dict[str, Any], error: type[OutcoreError], text: str) -> None:
    values = {"weights": None, "means": None, "precisions": None} | given
    with pytest.raises(error, match=text) as raised:
        check_given(values["weights"], values["means"], values["precisions"], "full", 2, 3)
    assert re.search(r"\n(Use|Give|Put) ", str(raised.value))


@pytest.mark.parametrize(("kind", "shape"), [("diag", (2, 3)), ("spherical", (2,))])
def test_precisions_are_positive(kind: str, shape: tuple[int, ...]) -> None:
    bad = np.ones(shape)
    bad[1] = 0
    with pytest.raises(SingularCovarianceError, match=r"precisions_init\[1"):
        check_given(None, None, bad, kind, 2, 3)


def test_a_tied_precision_that_is_not_positive_definite() -> None:
    with pytest.raises(SingularCovarianceError, match="precisions_init is not positive definite"):
        check_given(None, None, np.zeros((3, 3)), "tied", 2, 3)
