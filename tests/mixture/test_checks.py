"""What scikit-learn asks of an estimator, in its own words."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import outcore as oc

with warnings.catch_warnings():
    # scikit-learn is no dependency, so nothing of it can be inherited.
    warnings.filterwarnings("ignore", ".*does not inherit from `sklearn.base.BaseEstimator`", UserWarning)
    CHECKS = parametrize_with_checks([oc.GaussianMixture()])


# The checks allow few iterations, and warn of what they leave out.
@CHECKS
@pytest.mark.filterwarnings("ignore::outcore.errors.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_takes_it(estimator: oc.GaussianMixture, check: Any) -> None:
    check(estimator)
