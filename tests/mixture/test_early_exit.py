from __future__ import annotations

import numpy as np
import pytest

from outcore.blocks.statistic import Block
from outcore.mixture.densities import log_probabilities
from outcore.mixture.early_exit import MOST_DIRECTIONS, project
from tests.mixture.blockwise import Dirty, drawn, made

pytestmark = pytest.mark.usefixtures("like_a_task")


@pytest.mark.parametrize(("k", "d"), [(3, 32), (10, 100), (40, 33)])
@pytest.mark.parametrize("apart", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("shear", [0.0, 0.3, 3.0])
def test_no_density_is_above_its_bound(k: int, d: int, apart: float, shear: float) -> None:
    components = made("full", k, d, apart=apart, shear=shear)
    projection = project(components)
    if not components.near:
        assert projection is None
        return
    assert projection is not None
    assert projection.directions.shape[1] <= min(k - 1, MOST_DIRECTIONS)
    x = drawn(components, 300)
    x[:50] *= 1e3
    exact, bounds = np.empty((300, k)), np.empty((k, 300))
    log_probabilities(components, Block(0, x), exact)
    projection.bounds(components, x, Block(0, x, None, Dirty()), bounds)
    assert (exact <= bounds.T).all()


def test_nine_directions_tell_ten_components_apart() -> None:
    components = made("full", 10, 100, apart=2.0, shear=0.1)
    projection = project(components)
    assert projection is not None
    assert projection.directions.shape == (100, 9)
    x = drawn(components, 400)
    exact, bounds = np.empty((400, 10)), np.empty((10, 400))
    log_probabilities(components, Block(0, x), exact)
    projection.bounds(components, x, Block(0, x), bounds)
    left = exact.max(axis=1, keepdims=True) - 45 < bounds.T
    assert left.sum() / 400 < 1.05


@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_other_covariances_need_none(kind: str) -> None:
    assert project(made(kind, 5, 50)) is None


def test_equal_means_cannot_be_told_apart() -> None:
    assert project(made("full", 5, 50, apart=0.0)) is None
