from __future__ import annotations

import numpy as np
import pytest

from outcore.blocks.statistic import Block
from outcore.mixture.distances import (
    centred_distances,
    pack_panels,
    packed_distances,
    panel_edges,
    panel_numbers,
    product_numbers,
)
from tests.mixture.blockwise import Dirty

pytestmark = pytest.mark.usefixtures("like_a_task")


@pytest.mark.parametrize("d", [1, 9, 10, 11, 99, 100, 250, 961])
def test_panels_cover_all_columns_once(d: int) -> None:
    edges = panel_edges(d)
    assert [low for low, _ in edges] == [0, *(high for _, high in edges[:-1])]
    assert edges[-1][1] == d


@pytest.mark.parametrize(("k", "d", "n"), [(1, 1, 1), (4, 23, 50), (70, 30, 900), (2, 130, 17)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_ways_to_the_same_distances(k: int, d: int, n: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    u = np.triu(rng.standard_normal((k, d, d)))
    x, offsets = rng.standard_normal((n, d)), rng.standard_normal((k, d))
    y = np.einsum("nki,kij->knj", x[:, None] - offsets, u)
    wanted = (y * y).sum(axis=2)
    panels = pack_panels(u, offsets, dtype)
    assert sum(p.size for p in panels) == panel_numbers(k, d)
    workspace = Dirty()
    block = Block(0, x, None, workspace)
    out = np.full((k, n), np.nan, dtype)
    led = np.hstack([np.ones((n, 1)), x]).astype(dtype)
    packed_distances(panels, led, block, out)
    assert workspace.lent["products"] <= product_numbers(k, d, n) * np.dtype(dtype).itemsize
    np.testing.assert_allclose(out, wanted, rtol=1e-10 if dtype == np.float64 else 1e-3)
    for j in range(k):
        found = np.full(n, np.nan)
        centred_distances(u[j], x - offsets[j], found)
        np.testing.assert_allclose(found, wanted[j], rtol=1e-10)
