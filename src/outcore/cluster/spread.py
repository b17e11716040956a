"""Mean and variance of all rows: what the tolerance of k-means is measured by.

Hands to   : cluster.kmeans

Guarantees
- Squares are taken of distances from the mean of a piece, and pieces are merged by Chan's formula.
- NaN and infinity in rows, and weights that are not weights, are found here: the first pass of a fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block, Cost, Rows, Statistic
from outcore.linalg.weighing import block_weights

#: Rows of a piece take about so much.
PIECE_BYTES = 1 << 19


@dataclass(eq=False)
class Spread:
    """Of all rows, or of some.

    Attributes
    ----------
    n_rows : int
    mean : ndarray of float64, shape (d,)
        Without weights, as scikit-learn's tolerance has it.
    squares : ndarray of float64, shape (d,)
        Squared distances from the mean, added up.
    weight : float
        Of all rows; their number without weights.
    """

    n_rows: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    weight: float


class Spreading(Statistic[Spread, Spread]):
    """Sums up mean and variance of each column."""

    def __init__(self, n_columns: int) -> None:
        self._n_columns = n_columns

    def _step(self) -> int:
        return max(64, PIECE_BYTES // (8 * self._n_columns))

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Four flops for each value."""
        size = 8 * self._n_columns
        return Cost(
            state_bytes=2 * size,
            block_bytes=min(self._step(), block_rows) * size + 4 * size,
            flops=4.0 * rows.n_rows * self._n_columns,
        )

    def zero(self) -> Spread:
        """Return the spread of no rows."""
        return Spread(0, np.zeros(self._n_columns), np.zeros(self._n_columns), 0.0)

    def update(self, state: Spread, block: Block) -> Spread:
        """Take in a block."""
        weights = None if block.weights is None else block_weights(block)
        values, step = block.values, self._step()
        for start in range(0, len(values), step):
            rows = values[start : start + step]
            with np.errstate(invalid="ignore", over="ignore"):
                mean = rows.mean(axis=0)
                apart = np.subtract(rows, mean, out=block.scratch("apart", rows.shape))
                np.multiply(apart, apart, out=apart)
                squares = apart.sum(axis=0)
            if not np.isfinite(mean).all():
                refuse_nonfinite(rows, block.start + start)
            weight = len(rows) if weights is None else weights[start : start + step].sum()
            state = self.merge(state, Spread(len(rows), mean, squares, float(weight)))
        return state

    def merge(self, state: Spread, other: Spread) -> Spread:
        """Merge by Chan's formula."""
        n = state.n_rows + other.n_rows
        share = other.n_rows / max(n, 1)
        apart = other.mean - state.mean
        return Spread(
            n,
            state.mean + apart * share,
            state.squares + other.squares + apart * apart * (state.n_rows * share),
            state.weight + other.weight,
        )
