"""scikit-learn's own checks of estimators, on `PCA`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.utils import estimator_checks

import outcore as oc

EXPECTED = {
    # 15 rows of 30 columns, some of weight 0: rows that were left out are not in the span of the others, and
    # the directions without variance, which any rotation may exchange, are compared.
    "check_sample_weight_equivalence_on_dense_data": "components without variance are not determined",
}

with warnings.catch_warnings():
    # Said of every estimator whose class does not come from scikit-learn.
    warnings.filterwarnings("ignore", "Estimator .* does not inherit from", UserWarning)
    with_checks = estimator_checks.parametrize_with_checks(
        [oc.PCA(), oc.PCA(svd_solver="full", whiten=True)],
        expected_failed_checks=lambda estimator: EXPECTED,
    )


@with_checks
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_dataframe_column_names_consistency,
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_get_feature_names_out_error,
        estimator_checks.check_inplace_ensure_writeable,
    ],
)
def test_checks_that_scikit_learn_makes_only_of_its_own(check: Any) -> None:
    check("PCA", oc.PCA())


def test_weights_stand_for_repeated_rows() -> None:
    # What the check that is left out looks at, with more rows than columns.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    w = rng.integers(0, 4, 200)
    for solver in ("auto", "full"):
        weighted = oc.PCA(svd_solver=solver).fit(x, sample_weight=w)
        repeated = oc.PCA(svd_solver=solver).fit(np.repeat(x, w, axis=0))
        for name in ("components_", "explained_variance_", "singular_values_", "mean_"):
            np.testing.assert_allclose(
                getattr(weighted, name), getattr(repeated, name), rtol=1e-9, atol=1e-12
            )
