from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import MemoryBudgetError, NonFiniteError, SingularCovarianceError
from outcore.mixture.initialising import first_parameters
from outcore.mixture.parameters import COVARIANCE_TYPES, Given, Parameters, covariance_shape
from outcore.mixture.wishes import INIT_PARAMS, Wishes, check_wishes

WISHES = check_wishes(oc.GaussianMixture(3))


def blobs(n: int = 300, d: int = 2, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)) + 20 * (np.arange(n)[:, np.newaxis] // (n // 3)) + offset


def start(
    x: Any, weights: Any = None, given: Given | None = None, seed: int = 0, **wishes: Any
) -> tuple[Parameters, np.ndarray]:
    return first_parameters(
        oc.asarray(x),
        None if weights is None else oc.asarray(weights),
        given or Given(),
        replace(WISHES, **wishes),
        np.random.RandomState(seed),
    )


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("way", INIT_PARAMS)
def test_shapes_and_a_sound_whitening(kind: str, way: str) -> None:
    found, covariances = start(blobs(), covariance_type=kind, init_params=way)
    assert found.weights.shape == (3,)
    assert found.weights.sum() == pytest.approx(1)
    assert found.means.shape == (3, 2)
    assert covariances.shape == found.whitening.shape == covariance_shape(kind, 3, 2)
    assert np.isfinite(found.whitening).all()


@pytest.mark.parametrize("way", ["k-means++", "kmeans"])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_separate_groups_are_found(way: str, offset: float) -> None:
    x = blobs(offset=offset)
    found, covariances = start(x, init_params=way)
    order = np.argsort(found.means[:, 0])
    groups = x.reshape(3, 100, 2)
    np.testing.assert_allclose(found.means[order], groups.mean(axis=1), rtol=1e-9)
    for k, group in zip(order, groups, strict=True):
        np.testing.assert_allclose(covariances[k], np.cov(group.T, bias=True) + 1e-6 * np.eye(2), rtol=1e-6)
    np.testing.assert_allclose(found.weights, 1 / 3)


@pytest.mark.parametrize("way", INIT_PARAMS)
def test_weights_count_rows(way: str) -> None:
    # One component: the start does not depend on which rows are drawn first.
    x = blobs(60)
    weights = np.random.default_rng(1).integers(0, 4, 60)
    weighted = start(x, weights, n_components=1, init_params=way)
    repeated = start(np.repeat(x, weights, axis=0), n_components=1, init_params=way)
    np.testing.assert_allclose(weighted[0].means, repeated[0].means, rtol=1e-12)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-10)


def test_proportions_as_weights_do_not_shrink_covariances() -> None:
    x = blobs()
    plain = start(x, np.ones(300))
    proportions = start(x, np.full(300, 1e-9))
    np.testing.assert_allclose(proportions[1], plain[1], rtol=1e-9)


def test_rows_of_weight_zero_are_not_there() -> None:
    x = blobs()
    x[:100] = np.nan
    found, _ = start(x, np.arange(300) >= 100, n_components=2)
    assert np.isfinite(found.means).all()


def test_few_rows_for_many_columns_are_no_singular_start() -> None:
    x = np.random.default_rng(0).normal(size=(30, 40))
    found, covariances = start(x, reg_covar=0.0)
    for k in range(3):
        assert np.linalg.eigvalsh(covariances[k])[0] > 0.01
    assert np.isfinite(found.whitening).all()


def test_more_components_than_different_rows() -> None:
    found, _ = start(np.repeat([[0.0, 0.0], [1.0, 1.0]], 10, axis=0), init_params="kmeans")
    assert np.isfinite(found.whitening).all()
    assert (found.weights >= 0).all()


def test_a_constant_column_without_regularisation() -> None:
    x = blobs()
    x[:, 1] = 5
    with pytest.raises(SingularCovarianceError, match="component 0"):
        start(x, reg_covar=0.0)


@pytest.mark.parametrize("way", INIT_PARAMS)
def test_what_is_given_stays_as_it_is(way: str) -> None:
    given = Given(np.array([0.2, 0.3, 0.5]), None, None)
    assert np.array_equal(start(blobs(), given=given, init_params=way)[0].weights, given.weights)
    given = Given(None, np.array([[0.0, 1.0], [40.0, 41.0], [90.0, 9.0]]), None)
    found, covariances = start(blobs(), given=given, init_params=way)
    assert np.array_equal(found.means, given.means)
    given = Given(None, None, np.stack([np.eye(2)] * 3))
    found, covariances = start(blobs(), given=given, init_params=way)
    assert np.array_equal(found.whitening, given.whitening)
    assert np.array_equal(covariances, given.whitening)


def test_no_row_is_read_where_everything_is_given() -> None:
    given = Given(np.ones(3) / 3, np.zeros((3, 2)), np.stack([np.eye(2)] * 3))
    found, _ = start(np.full((5, 2), np.nan), given=given)
    assert np.array_equal(found.means, given.means)


def test_a_subsample_is_enough_and_is_the_same_from_disk(tmp_path: Any) -> None:
    x = np.repeat(blobs(), 200, axis=0)
    np.save(tmp_path / "x.npy", x)
    found, _ = start(x, init_rows=500)
    assert np.allclose(np.sort(found.means[:, 0]), blobs().reshape(3, 100, 2).mean(axis=1)[:, 0], atol=0.5)
    again, _ = start(oc.open(tmp_path / "x.npy"), init_rows=500)
    for name in ("weights", "means", "whitening"):
        assert np.array_equal(getattr(found, name), getattr(again, name))


def test_a_row_with_nan_is_named() -> None:
    x = blobs()
    x[17, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 17, column 1"):
        start(x)


def test_a_sample_that_does_not_fit_says_what_to_do() -> None:
    with (
        oc.options(memory="100kB"),
        pytest.raises(
            MemoryBudgetError, match=r"start of GaussianMixture\(n_components=3\) from 20000 rows"
        ) as error,
    ):
        start(np.zeros((30_000, 2)))
    assert "init_rows" in str(error.value)


def test_wishes_are_those_of_the_estimator() -> None:
    assert Wishes(3, "full", 1e-3, 1e-6, 100, 1, "k-means++", None, False, 0, 10) == WISHES
