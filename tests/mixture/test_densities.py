from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcore.blocks.statistic import Block
from outcore.errors import ShapeError
from outcore.mixture.densities import Components, log_probabilities, piece_rows
from tests.mixture.blockwise import Dirty, drawn, made, reference

pytestmark = pytest.mark.usefixtures("like_a_task")

KINDS = ("full", "tied", "diag", "spherical")


def computed(components: Components, x: np.ndarray) -> np.ndarray:
    out = np.full((len(x), components.n_components), np.nan)
    log_probabilities(components, Block(0, x, None, Dirty()), out)
    return out


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    k=st.integers(1, 5),
    d=st.sampled_from([1, 2, 9, 10, 11, 33, 101, 257, 401]),
    n=st.integers(1, 40),
    apart=st.sampled_from([0.0, 1.0, 20.0, 1e4]),
    offset=st.sampled_from([0.0, 1e3, 1e6]),
    seed=st.integers(0, 99),
)
def test_as_in_extended_precision(kind, k, d, n, apart, offset, seed) -> None:
    components = made(kind, k, d, apart=apart, offset=offset, seed=seed)
    x = drawn(components, n, seed)
    wanted = reference(components, x)
    # Pairs that are far apart are compared by their size: the error is one in the last bits of the square.
    tolerance = 1e-11 if components.near else 1e-9
    np.testing.assert_allclose(
        computed(components, x), wanted.astype(float), rtol=tolerance, atol=tolerance * d
    )


@pytest.mark.parametrize("kind", KINDS)
def test_means_of_a_million_cost_no_digits(kind: str) -> None:
    # Whole numbers, so that the rows themselves are exact.
    around = made(kind, 3, 12, apart=1.0)
    means = np.round(around.means * 8) / 8
    x = np.round(drawn(around, 200) * 8) / 8
    here = Components(kind, around.log_weights, means, around.precisions_cholesky)
    there = Components(kind, around.log_weights, means + 2.0**20, around.precisions_cholesky)
    np.testing.assert_allclose(computed(there, x + 2.0**20), computed(here, x), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_longer_than_a_piece(kind: str) -> None:
    components = made(kind, 3, 30)
    n = 2 * piece_rows(components, 1) + 17
    x = drawn(components, n)
    np.testing.assert_allclose(computed(components, x), reference(components, x, np.float64), rtol=1e-11)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ShapeError, match="rows of 4 columns for means of 5"):
        computed(made("full", 2, 5), np.zeros((3, 4)))
