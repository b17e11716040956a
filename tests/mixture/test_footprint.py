from __future__ import annotations

import numpy as np
import pytest

from outcore.blocks.statistic import Block, Rows
from outcore.mixture.densities import log_probabilities, scratch_bytes
from outcore.mixture.expectation import Expectation
from outcore.mixture.footprint import expectation_buffers
from tests.mixture.blockwise import SHARE, Dirty, drawn, made

pytestmark = pytest.mark.usefixtures("like_a_task")


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 2), (50, 2), (8, 70), (30, 70), (3, 410)])
@pytest.mark.parametrize("apart", [0.5, 3.0, 1000.0])
@pytest.mark.parametrize("n", [300, 2500])
def test_every_buffer_is_counted(kind: str, k: int, d: int, apart: float, n: int) -> None:
    components = made(kind, k, d, apart=apart)
    rows = Rows(n, (d,), np.dtype(float))
    s = Expectation(components).bind(rows, SHARE)
    workspace = Dirty()
    x = np.resize(drawn(components, 500), (n, d))
    state = s.update(s.zero(), Block(0, x, None, workspace))
    cost = s.cost(rows, n)
    assert workspace.lent.pop("_table") == cost.table_bytes
    counted = expectation_buffers(components, n)
    for name, size in workspace.lent.items():
        assert size <= counted[name], name
    # What one way to the responsibilities needs is counted where the block was done in another, and in blocks
    # of few rows the sample is a large part.
    lent = sum(workspace.lent.values())
    used = "weighted singles" in workspace.lent and n > 1000
    assert sum(counted.values()) <= (1.5 if used or kind != "full" else 4.0) * lent + 2e4
    assert sum(counted.values()) <= cost.block_bytes
    assert sum(a.nbytes for part in state for a in vars(part).values()) == cost.state_bytes
    assert sum(a.nbytes for a in vars(state[0]).values()) == cost.part_bytes
    held = components.nbytes + s.screen.nbytes
    assert held <= cost.parameter_bytes <= 1.5 * held + 1e4


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(("k", "d"), [(1, 1), (40, 70), (3, 410)])
@pytest.mark.parametrize("apart", [0.5, 1000.0])
def test_densities_alone_take_what_is_said(kind: str, k: int, d: int, apart: float) -> None:
    components = made(kind, k, d, apart=apart)
    workspace = Dirty()
    x = np.resize(drawn(components, 500), (2500, d))
    log_probabilities(components, Block(0, x, None, workspace), np.empty((2500, k)))
    lent = sum(workspace.lent.values())
    assert lent <= scratch_bytes(components, 2500) <= 1.3 * lent + 2e4
