"""From a covariance, or a factor, to components."""

from __future__ import annotations

import numpy as np
import pytest

from outcore.decomposition.components import from_covariance, from_factor


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 16, 60])
def test_both_ways_lead_to_the_same_components(d: int) -> None:
    # Eight columns lie 64 bytes apart, where np.negative of NumPy 2.4.6 is wrong.
    rng = np.random.default_rng(d)
    factor = np.triu(rng.normal(size=(d, d))) + 3 * np.diag(np.linspace(1, 10, d))
    covariance = factor.T @ factor
    variances, components = from_covariance(covariance.copy())
    values, same = from_factor(factor.copy())
    np.testing.assert_allclose(components @ components.T, np.eye(d), atol=1e-12)
    np.testing.assert_allclose((components.T * variances) @ components, covariance, atol=1e-10 * variances[0])
    np.testing.assert_allclose(values**2, variances, rtol=1e-9)
    np.testing.assert_allclose(same, components, atol=1e-8)
    assert (np.diff(variances) <= 0).all()
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(d), largest] > 0).all()


def test_fewer_rows_than_columns() -> None:
    factor = np.triu(np.random.default_rng(0).normal(size=(3, 5)))
    values, components = from_factor(factor.copy())
    np.testing.assert_array_equal(values[3:], 0)
    np.testing.assert_allclose((components.T * values**2) @ components, factor.T @ factor, atol=1e-12)
