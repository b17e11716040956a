"""Sums of a maximisation step for one component: weight, first and second moments around the current mean.

Hands to   : mixture.expectation

Guarantees
- Rows with a share of zero are not looked at.
- Results depend on the rows and shares of the block and nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.statistic import Block
from outcore.linalg.dense import syrk

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: Rows that are multiplied together in a long block, and in any block.
MOST_ROWS, FEWEST_ROWS = 2048, 512
#: In single precision so many times that.
SINGLES = 4
#: With more than this part of a block's rows, all are taken: gathering them costs as much as products with 0.
NEARLY_ALL = 0.85


def rows_together(n_rows: int) -> int:
    """Return how many rows of a block of `n_rows` are gathered and multiplied together.

    More are a little faster; buffers for them should stay small beside a short block.
    """
    return min(max(1 << max(n_rows // 8, 1).bit_length() - 1, FEWEST_ROWS), MOST_ROWS)


def add_moments(
    rows: Floats, shares: Floats, mean: Floats, first: Floats, second: Floats, block: Block
) -> None:
    """Add the moments of rows around a mean.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    shares : ndarray of shape (n,)
        Responsibilities times weights; only those above zero count.
    mean : ndarray of shape (d,)
    first, second : ndarray of shape (d,) and (d, d)
        Added to; of `second` the upper triangle only.
    block : Block
        Lends its workspace.
    """
    n, d = rows.shape
    chosen = np.flatnonzero(shares > 0)
    gather = len(chosen) < NEARLY_ALL * n
    count = len(chosen) if gather else n
    step = rows_together(n)
    for low in range(0, count, step):
        high = min(low + step, count)
        z = block.scratch("rows", (high - low, d))
        if gather:
            some = chosen[low:high]
            np.take(rows, some, axis=0, out=z, mode="clip")
            np.subtract(z, mean, out=z)
            roots = np.sqrt(shares[some])
        else:
            np.subtract(rows[low:high], mean, out=z)
            roots = np.sqrt(np.maximum(shares[low:high], 0.0))
        np.multiply(z, roots[:, np.newaxis], out=z)
        np.add(first, roots @ z, out=first)
        syrk(z, second, beta=1.0)


def add_light_moments(
    rows: Singles, shares: Floats, mean: Singles, first: Floats, second: Floats, block: Block
) -> None:
    """Add the moments of light rows, whose shares are written as negative numbers, in single precision.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, 1 + d)
        Shifted, behind a first column that does not matter.
    mean : ndarray of float32, shape (1 + d,)
        Shifted too.
    shares, first, second, block
        See `add_moments`.
    """
    chosen = np.flatnonzero(shares < 0)
    d = rows.shape[1] - 1
    step = SINGLES * rows_together(len(rows))
    for low in range(0, len(chosen), step):
        some = chosen[low : low + step]
        # Relative to the largest, since squares of the least shares are beyond single precision.
        light = -shares[some]
        largest = light.max()
        roots = np.sqrt(light / largest).astype(np.float32)
        z = block.scratch("weighted singles", (len(some), 1 + d), np.float32)
        np.take(rows, some, axis=0, out=z, mode="clip")
        np.subtract(z, mean, out=z)
        np.multiply(z, roots[:, np.newaxis], out=z)
        z = z[:, 1:]
        np.add(first, (roots @ z) * largest, out=first)
        # NumPy multiplies a matrix by its own transpose as a symmetric product.
        products = block.scratch("single products", (d, d), np.float32)
        np.matmul(z.T, z, out=products)
        scaled = block.scratch("scaled products", (d, d))
        np.multiply(products, largest, out=scaled)
        np.add(second, scaled, out=second)
