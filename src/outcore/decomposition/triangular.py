"""The triangular factor R of all rows less their mean: R.T @ R is their scatter, which is never formed.

Hands to   : decomposition.pca

Guarantees
- Small variances keep their digits: a covariance squares the deviations, and what is below 1e-8 of the
  largest deviation is lost in the squares' rounding.
- One pass: the factors of two groups of rows are put together by one more factorisation, with one more row
  that stands for the distance of their means (Chan's formula).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.statistic import Block, Cost, Rows, Statistic
from outcore.linalg.dense import LAPACK_COLUMNS, triangular_factor
from outcore.linalg.weighing import block_weights, counting_rows, pieces, refuse_counting

#: Rows that are factorised together, for each column: with fewer the factor itself is most of the work.
ROWS_A_COLUMN = 2
MIN_ROWS = 256


@dataclass(eq=False)
class Factor:
    """Of all rows, or of some.

    Attributes
    ----------
    mean : ndarray of shape (d,)
    factor : ndarray of shape (m, d)
        Upper triangular; m is d, or less where there are fewer rows.
    weight : float
        Of the rows; their number without weights.
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]
    weight: float = 0.0


class Triangular(Statistic[Factor, Factor]):
    """Mean and triangular factor of rows with `n_columns` columns; weights count rows."""

    def __init__(self, n_columns: int) -> None:
        self._n_columns = n_columns

    def _step(self) -> int:
        return max(MIN_ROWS, ROWS_A_COLUMN * self._n_columns)

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the factorisations: of a piece of rows below the factor."""
        d = self._n_columns
        step = min(self._step(), block_rows)
        return Cost(
            state_bytes=8 * d * (d + 1),
            # Two factors are stacked where they are merged, which is in one place.
            parameter_bytes=24 * d * (d + 1),
            # The stack, and the factors before and after.
            block_bytes=8 * d * (step + d + 1) + 17 * d * d + 8 * LAPACK_COLUMNS * d + 24 * block_rows,
            flops=2.0 * rows.n_rows * d * d * (1 + 1 / ROWS_A_COLUMN),
            min_rows=ROWS_A_COLUMN * d,
        )

    def zero(self) -> Factor:
        """Return the factor of no rows."""
        return Factor(np.zeros(self._n_columns), np.zeros((0, self._n_columns)))

    def update(self, state: Factor, block: Block) -> Factor:
        """Put rows below the factor, and factorise; piece by piece."""
        values, step, d = block.values, min(self._step(), len(block)), self._n_columns
        weights, kept = np.ones(len(values)), None
        if block.weights is not None:
            weights = block_weights(block)
            kept = counting_rows(weights)
        stack = block.scratch("stack", (d + step + 1, d))
        with np.errstate(invalid="ignore", over="ignore"):
            for rows, w in pieces(values, weights, kept, stack[d:-1]):
                weight = float(w.sum())
                mean = w @ rows / weight
                if not np.isfinite(mean).all():
                    refuse_counting(values, kept, block.start)
                # The factor goes in front of the rows, which may stand in the stack already.
                held, end = len(state.factor), d + len(rows)
                stack[d - held : d] = state.factor
                np.subtract(rows, mean, out=stack[d:end])
                stack[d:end] *= np.sqrt(w)[:, np.newaxis]
                state = _factorised(state, Factor(mean, rows, weight), stack[d - held : end + 1])
        return state

    def merge(self, state: Factor, other: Factor) -> Factor:
        """Factorise both factors together."""
        if other.weight == 0 or state.weight == 0:
            return state if other.weight == 0 else other
        stack = np.vstack([state.factor, other.factor, other.mean[np.newaxis]])
        return _factorised(state, other, stack)


def _factorised(state: Factor, other: Factor, stack: NDArray[np.float64]) -> Factor:
    """Factorise what stands in `stack`; its last row is for the distance of the means."""
    total = state.weight + other.weight
    apart = other.mean - state.mean
    stack[-1] = apart * np.sqrt(state.weight * (other.weight / total))
    return Factor(state.mean + apart * (other.weight / total), triangular_factor(stack), total)
