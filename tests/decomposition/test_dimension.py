"""How many components are more than noise."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition._pca import _infer_dimension

from outcore.decomposition.dimension import likely_dimension


@given(d=st.integers(2, 15), n=st.integers(20, 5000), seed=st.integers(0, 999))
def test_as_many_as_scikit_learn_finds(d: int, n: int, seed: int) -> None:
    variances = np.sort(np.random.default_rng(seed).gamma(0.5, size=d))[::-1] + 1e-3
    assert likely_dimension(variances, n) == _infer_dimension(variances, n)


def test_variances_that_are_none_are_no_components() -> None:
    assert likely_dimension(np.array([5.0, 4.0, 0.0, 0.0]), 100) == 2
