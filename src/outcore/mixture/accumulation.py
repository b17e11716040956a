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

#: Rows that are multiplied together.
ROWS, SINGLE_ROWS = 1024, 4096
#: With more than this part of a block's rows, all are taken: gathering them costs as much as products with 0.
NEARLY_ALL = 0.85


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
    for low in range(0, count, ROWS):
        high = min(low + ROWS, count)
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


def add_weak_moments(
    rows: Singles, shares: Floats, mean: Singles, first: Floats, second: Floats, block: Block
) -> None:
    """Add the moments of weak rows, whose shares are written as negative numbers, in single precision.

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
    for low in range(0, len(chosen), SINGLE_ROWS):
        some = chosen[low : low + SINGLE_ROWS]
        # Relative to the largest, since squares of the least shares are beyond single precision.
        weak = -shares[some]
        largest = weak.max()
        roots = np.sqrt(weak / largest).astype(np.float32)
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
