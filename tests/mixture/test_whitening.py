from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcore.errors import SingularCovarianceError
from outcore.mixture.whitening import (
    LEAF,
    THREADED,
    covariances_of,
    invert_upper,
    precisions_of,
    whiten,
    whiten_by_precisions,
)


def covariances(n: int, d: int, seed: int = 0) -> np.ndarray:
    z = np.random.default_rng(seed).normal(size=(n, 2 * d + 1, d))
    return np.swapaxes(z, 1, 2) @ z / (2 * d + 1)


@given(d=st.integers(1, 3 * LEAF), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_inverting_an_upper_triangle(d: int, seed: int) -> None:
    u = np.linalg.cholesky(covariances(1, d, seed)[0], upper=True)
    inverse = u.copy()
    invert_upper(inverse)
    np.testing.assert_allclose(inverse @ u, np.eye(d), atol=1e-10)
    assert not np.tril(inverse, -1).any()


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("d", [1, 5, THREADED + 7])
def test_whitening_and_back(kind: str, d: int) -> None:
    given = {
        "full": covariances(3, d),
        "tied": covariances(1, d)[0],
        "diag": np.random.default_rng(0).uniform(0.1, 9, (3, d)),
        "spherical": np.array([0.25, 4.0, 1e-12]),
    }[kind]
    before = given.copy()
    whitening = whiten(given, kind, 0.0)
    np.testing.assert_array_equal(given, before)
    np.testing.assert_allclose(covariances_of(whitening, kind), given, rtol=1e-9, atol=1e-12)
    precisions = precisions_of(whitening, kind)
    inverse = np.linalg.inv(given) if kind in ("full", "tied") else 1 / given
    np.testing.assert_allclose(precisions, inverse, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(whiten_by_precisions(precisions, kind), whitening, rtol=1e-7, atol=1e-9)
    if kind in ("full", "tied"):
        assert not np.tril(whitening, -1).any()


def test_the_same_bits_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    given = covariances(5, THREADED + 30)
    many = whiten(given, "full", 0.0)
    monkeypatch.setattr("outcore.mixture.whitening.usable_cores", lambda: 1)
    assert np.array_equal(whiten(given, "full", 0.0), many)


@pytest.mark.parametrize("d", [4, THREADED + 1])
def test_the_first_component_that_is_singular_is_named(d: int) -> None:
    given = covariances(4, d)
    for k in (1, 3):
        given[k, 0] = given[k, 1]
        given[k, :, 0] = given[k, :, 1]
        given[k] -= 1e-6 * np.eye(d)
    with pytest.raises(
        SingularCovarianceError, match=r"component 1 .*smallest eigenvalue is -.*reg_covar=1e-06"
    ) as error:
        whiten(given, "full", 1e-6)
    assert "Use a larger reg_covar (reg_covar=1e-04)" in str(error.value)


def test_a_singular_covariance_of_all_components() -> None:
    with pytest.raises(SingularCovarianceError, match=r"all components together"):
        whiten(np.ones((3, 3)), "tied", 0.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_variance_that_is_not_positive_is_named(bad: float) -> None:
    given = np.ones((3, 4))
    given[2, 1] = bad
    with pytest.raises(SingularCovarianceError, match=r"component 2 .*variance in column 1"):
        whiten(given, "diag", 0.0)
    with pytest.raises(SingularCovarianceError, match=r"component 1 .*its variance is"):
        whiten(np.array([1.0, bad]), "spherical", 0.0)


def test_a_covariance_beyond_float64() -> None:
    given = covariances(2, 3)
    given[1, 0, 0] = np.nan
    with pytest.raises(SingularCovarianceError, match=r"component 1 .*beyond float64"):
        whiten(given, "full", 0.0)


def test_precisions_that_are_not_positive_definite() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        whiten_by_precisions(-np.eye(3), "tied")
