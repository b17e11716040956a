"""scikit-learn's own checks of estimators, on `KMeans`."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.utils import estimator_checks

import outcore as oc

EXPECTED = {
    # The same holds for scikit-learn's KMeans: other rows are drawn as first centres where rows are repeated.
    "check_sample_weight_equivalence_on_dense_data": "the first centres are drawn from other rows",
}


def small(**params: Any) -> oc.KMeans:
    return oc.KMeans(**{"n_clusters": 2, "n_init": 2, "max_iter": 5} | params)


with warnings.catch_warnings():
    # Said of every estimator whose class does not come from scikit-learn.
    warnings.filterwarnings("ignore", "Estimator .* does not inherit from", UserWarning)
    with_checks = estimator_checks.parametrize_with_checks(
        [small()], expected_failed_checks=lambda estimator: EXPECTED
    )


@with_checks
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_clustering,
        partial(estimator_checks.check_clustering, readonly_memmap=True),
        estimator_checks.check_clusterer_compute_labels_predict,
        estimator_checks.check_dataframe_column_names_consistency,
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_get_feature_names_out_error,
        estimator_checks.check_inplace_ensure_writeable,
    ],
)
def test_checks_that_scikit_learn_makes_only_of_its_own(check: Any) -> None:
    check("KMeans", small())


def test_weights_stand_for_repeated_rows_from_the_same_centres() -> None:
    # What the check that is left out looks at, without the draw of the first centres.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    w = rng.integers(0, 4, 200)
    weighted = oc.KMeans(4, init=x[:4]).fit(x, sample_weight=w)
    repeated = oc.KMeans(4, init=x[:4]).fit(np.repeat(x, w, axis=0))
    np.testing.assert_allclose(weighted.cluster_centers_, repeated.cluster_centers_, rtol=1e-12)
    np.testing.assert_allclose(weighted.inertia_, repeated.inertia_, rtol=1e-12)
