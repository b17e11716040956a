"""Rows times a matrix, and the log-likelihood of rows, written or added up.

Hands to   : decomposition.pca

Guarantees
- The mean is taken from the rows before they are multiplied: one that is large beside the deviation costs
  no digits.
- Rows are worked on in pieces; which ones, depends on the block alone.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, Statistic
from outcore.linalg.dense import piece_rows, row_dots


class Projection(Statistic[None, Any]):
    """Writes ``(rows - before) @ matrix + after``.

    Parameters
    ----------
    matrix : ndarray of float64, shape (d, m)
    before : ndarray of shape (d,), optional
    after : ndarray of shape (m,), optional
    dtype : dtype
        Of the result.
    out : ndarray, Array or address, optional
    """

    def __init__(
        self,
        matrix: NDArray[np.float64],
        *,
        before: NDArray[np.float64] | None = None,
        after: NDArray[np.float64] | None = None,
        dtype: DTypeLike,
        out: Any = None,
    ) -> None:
        self.matrix = np.ascontiguousarray(matrix)
        self._before = before
        self._after = after
        self._dtype = np.dtype(dtype)
        self._out = out
        self._target: RowTarget | None = None

    def bind(self, rows: Rows, share: Share) -> Projection:
        """Make the place of the result."""
        bound = copy(self)
        bound._target = share.target(self._out, (self.matrix.shape[1],), self._dtype)
        bound._out = None
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the product, and a piece of rows and of the result."""
        d, m = self.matrix.shape
        step = piece_rows(max(d, m), block_rows)
        casts = self._dtype != np.float64
        return Cost(
            parameter_bytes=self.matrix.nbytes,
            block_bytes=step * (8 * m + (8 * d if self._before is not None else 0) + (m * 4 if casts else 0)),
            flops=2.0 * rows.n_rows * d * m,
        )

    def zero(self) -> None:
        """Return nothing: all results are written."""

    def update(self, state: None, block: Block) -> None:
        """Write the result of a block."""
        assert self._target is not None
        d, m = self.matrix.shape
        values = block.values
        step = piece_rows(max(d, m), len(values))
        for start in range(0, len(values), step):
            rows = values[start : start + step]
            with np.errstate(invalid="ignore", over="ignore"):
                if self._before is not None:
                    rows = np.subtract(rows, self._before, out=block.scratch("centred", rows.shape))
                result = np.matmul(rows, self.matrix, out=block.scratch("projected", (len(rows), m)))
                fine = np.isfinite((result if m else rows).sum())
            if not fine:
                refuse_nonfinite(values[start : start + step], block.start + start)
            if self._after is not None:
                result += self._after
            self._target.write(block.start + start, result.astype(self._dtype, copy=False))

    def merge(self, state: None, other: None) -> None:
        """Do nothing."""

    def finalize(self, state: None) -> Any:
        """Return what took the result."""
        assert self._target is not None
        return self._target.whole()


class Likelihood(Statistic[float, Any]):
    """The log-likelihood of rows under a normal distribution: of each row, or summed up.

    Parameters
    ----------
    mean : ndarray of shape (d,)
    precision : ndarray of shape (d, d)
    constant : float
        Added to each row's.
    each : bool
        Whether the log-likelihood of each row is wanted, and not their sum.
    """

    def __init__(
        self, mean: NDArray[np.float64], precision: NDArray[np.float64], constant: float, *, each: bool
    ) -> None:
        self._mean = mean
        self._precision = np.ascontiguousarray(precision)
        self._constant = constant
        self._each = each
        self._target: RowTarget | None = None

    def bind(self, rows: Rows, share: Share) -> Likelihood:
        """Make the place of the result."""
        if not self._each:
            return self
        bound = copy(self)
        bound._target = share.target(None, (), np.float64)
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the product with the precision, and two pieces of rows."""
        d = len(self._mean)
        step = piece_rows(d, block_rows)
        return Cost(
            state_bytes=8,
            parameter_bytes=self._precision.nbytes,
            block_bytes=step * (16 * d + 8),
            flops=2.0 * rows.n_rows * d * (d + 1),
        )

    def zero(self) -> float:
        """Return the sum of no rows."""
        return 0.0

    def update(self, state: float, block: Block) -> float:
        """Take in a block."""
        d = len(self._mean)
        values = block.values
        step = piece_rows(d, len(values))
        for start in range(0, len(values), step):
            rows = values[start : start + step]
            result = block.scratch("likelihood", (len(rows),))
            with np.errstate(invalid="ignore", over="ignore"):
                centred = np.subtract(rows, self._mean, out=block.scratch("centred", rows.shape))
                product = np.matmul(centred, self._precision, out=block.scratch("projected", rows.shape))
                row_dots(centred, product, result)
                total = float(result.sum())
            if not np.isfinite(total):
                refuse_nonfinite(rows, block.start + start)
            result *= -0.5
            result += self._constant
            if self._target is not None:
                self._target.write(block.start + start, result)
            state += len(rows) * self._constant - total / 2
        return state

    def merge(self, state: float, other: float) -> float:
        """Add up."""
        return state + other

    def finalize(self, state: float) -> Any:
        """Return what took the result, or the sum."""
        return state if self._target is None else self._target.whole()
