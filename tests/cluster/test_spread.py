"""Mean and variance of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.reducing import run_pass
from outcore.cluster.spread import Spreading


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 30_000), d=st.integers(1, 5), mean=st.sampled_from([0.0, 1e8]))
def test_as_numpy_has_it(n: int, d: int, mean: float) -> None:
    x = np.random.default_rng(n).normal(size=(n, d)) + mean
    (found,) = run_pass("test", oc.asarray(x), [Spreading(d)])
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.squares / n, x.var(axis=0), rtol=1e-7, atol=1e-12)
    assert (found.n_rows, found.weight) == (n, n)


def test_weights_are_added_up_and_looked_at() -> None:
    x, w = np.ones((10, 2)), np.arange(10.0)
    assert run_pass("test", oc.asarray(x), [Spreading(2)], weights=w)[0].weight == 45
    w[3] = -1
    with pytest.raises(oc.errors.OptionError, match="row 3"):
        run_pass("test", oc.asarray(x), [Spreading(2)], weights=w)
