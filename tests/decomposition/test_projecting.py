"""Rows times a matrix."""

from __future__ import annotations

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.reducing import run_pass
from outcore.decomposition.projecting import Likelihood, Projection


@pytest.mark.parametrize("m", [0, 1, 5])
@pytest.mark.parametrize("shifted", [False, True])
def test_the_product_with_what_comes_before_and_after(m: int, shifted: bool) -> None:
    rng = np.random.default_rng(0)
    x, matrix = rng.normal(size=(3000, 4)), rng.normal(size=(4, m))
    before, after = (rng.normal(size=4), rng.normal(size=m)) if shifted else (None, None)
    statistic = Projection(matrix, before=before, after=after, dtype=np.float32)
    (found,) = run_pass("test", oc.asarray(x), [statistic])
    expected = (x - (0 if before is None else before)) @ matrix + (0 if after is None else after)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("m", [0, 2])
def test_what_is_not_finite_is_named(m: int) -> None:
    x = np.zeros((5000, 3))
    x[4321, 1] = np.inf
    for statistic in (
        Projection(np.ones((3, m)), dtype=np.float64),
        Likelihood(np.zeros(3), np.eye(3), 0.0, each=False),
    ):
        with pytest.raises(oc.errors.NonFiniteError, match="row 4321, column 1"):
            run_pass("test", oc.asarray(x), [statistic])


def test_numbers_that_overflow_are_no_error() -> None:
    x = np.full((3, 2), 1e200)
    (found,) = run_pass("test", oc.asarray(x), [Projection(np.full((2, 1), 1e200), dtype=np.float64)])
    np.testing.assert_array_equal(found, np.inf)
