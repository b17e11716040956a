from __future__ import annotations

import numpy as np
import pytest

from outcore.blocks.statistic import Block
from outcore.mixture.accumulation import FEWEST_ROWS, SINGLES, add_light_moments, add_moments
from tests.mixture.blockwise import Dirty

pytestmark = pytest.mark.usefixtures("like_a_task")


def moments(x: np.ndarray, w: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z = x - mean
    return w @ z, np.triu((z * w[:, None]).T @ z)


@pytest.mark.parametrize("n", [1, 5, FEWEST_ROWS, FEWEST_ROWS + 1, 3 * FEWEST_ROWS, 40 * FEWEST_ROWS])
@pytest.mark.parametrize("chosen", [0.0, 0.3, 0.95, 1.0])
def test_positive_shares_count_and_no_others(n: int, chosen: float) -> None:
    rng = np.random.default_rng(0)
    x, mean = rng.standard_normal((n, 7)) + 100, np.full(7, 99.5)
    shares = rng.random(n) * (rng.random(n) < chosen)
    shares[::9] *= -1  # weak: not taken here
    first, second = np.ones(7), np.ones((7, 7))
    add_moments(x, shares, mean, first, second, Block(0, x, None, Dirty()))
    one, two = moments(x, np.maximum(shares, 0), mean)
    np.testing.assert_allclose(first, 1 + one, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.triu(second), np.triu(np.ones((7, 7))) + two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 9, SINGLES * FEWEST_ROWS + 3])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_weak_rows_have_six_digits_whatever_their_size(n: int, scale: float) -> None:
    rng = np.random.default_rng(0)
    x, mean = rng.standard_normal((n, 7)).astype(np.float32), rng.standard_normal(7).astype(np.float32)
    shares = -rng.random(n) * scale
    shares[1::2] *= -1  # strong: not taken here
    first, second = np.zeros(7), np.zeros((7, 7))
    led, lone = np.hstack([np.ones((n, 1), np.float32), x]), np.concatenate([[9], mean]).astype(np.float32)
    add_light_moments(led, shares, lone, first, second, Block(0, x, None, Dirty()))
    one, two = moments(x.astype(float), np.maximum(-shares, 0), mean.astype(float))
    largest = np.abs(two).max()
    np.testing.assert_allclose(first, one, rtol=0, atol=1e-5 * max(largest, scale))
    np.testing.assert_allclose(np.triu(second), two, rtol=0, atol=1e-5 * largest)
