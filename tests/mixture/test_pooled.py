from __future__ import annotations

import numpy as np
import pytest

from outcore.blocks.statistic import Block
from outcore.mixture.pooled import FEW_FEATURES, add_pooled, pools, second_shape
from tests.mixture.blockwise import Dirty, drawn, made

pytestmark = pytest.mark.usefixtures("like_a_task")


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("d", [1, 4, FEW_FEATURES])
@pytest.mark.parametrize("apart", [0.5, 1e4])
def test_around_the_means(kind: str, d: int, apart: float) -> None:
    components = made(kind, 3, d, apart=apart, offset=1e3)
    if not pools(components):
        assert kind == "full"
        assert not components.near
        return
    x = drawn(components, 300)
    shares = np.random.default_rng(0).random((300, 3))
    if not components.near:
        away = np.abs(x[:, None] - components.means).sum(axis=2)
        shares *= away == away.min(axis=1, keepdims=True)
    first, second = np.zeros((3, d)), np.zeros(second_shape(components))
    add_pooled(components, shares, first, second, Block(0, x, None, Dirty()))
    z = x[:, None] - components.means
    full = np.einsum("nk,nki,nkj->kij", shares, z, z)
    wanted = {"full": full, "tied": full.sum(axis=0)}.get(kind, np.einsum("kii->ki", full))
    np.testing.assert_allclose(first, np.einsum("nk,nki->ki", shares, z), rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(second, wanted, rtol=1e-10, atol=1e-10 * np.abs(wanted).max())
