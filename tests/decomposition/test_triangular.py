"""The triangular factor of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.reducing import run_pass
from outcore.decomposition.triangular import Triangular
from outcore.linalg import dense


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 20_000),
    d=st.integers(1, 20),
    weighted=st.booleans(),
    mean=st.sampled_from([0.0, 1e6]),
)
def test_its_square_is_the_scatter(n: int, d: int, weighted: bool, mean: float) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, d)) + mean
    w = rng.integers(0, 3, n).astype(float) if weighted else np.ones(n)
    (found,) = run_pass("test", oc.asarray(x), [Triangular(d)], weights=w if weighted else None)
    assert found.weight == w.sum()
    if not w.any():
        return
    centre = w @ x / w.sum()
    np.testing.assert_allclose(found.mean, centre, rtol=1e-12, atol=1e-12)
    scatter = (x - centre).T @ ((x - centre) * w[:, np.newaxis])
    np.testing.assert_allclose(found.factor.T @ found.factor, scatter, rtol=1e-7, atol=1e-7)
    np.testing.assert_array_equal(found.factor, np.triu(found.factor))


@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (3, 7), (500, 20), (0, 4)])
def test_a_factor_of_some_rows(
    shape: tuple[int, int], reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reached:
        monkeypatch.setattr(dense, "_blas", lambda name: None)
    z = np.random.default_rng(0).normal(size=shape)
    factor = dense.triangular_factor(z.copy())
    assert factor.shape == (min(shape), shape[1])
    np.testing.assert_allclose(factor.T @ factor, z.T @ z, atol=1e-12)


def test_what_lapack_would_misread_is_refused() -> None:
    for z in (np.ones((3, 2), order="F"), np.ones((3, 2), "f4"), np.ones((6, 2))[::2]):
        with pytest.raises(ValueError, match="contiguous rows of float64"):
            dense.triangular_factor(z)
