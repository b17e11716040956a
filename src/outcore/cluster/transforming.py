"""Distances of rows to all centres.

Reads from : cluster.nearest
Hands to   : cluster.kmeans

Guarantees
- |x|² - 2xc + |c|² where it keeps its digits; distances that are small beside the rows are computed anew
  from the difference.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, Statistic
from outcore.cluster.nearest import Nearest

#: Squared distances below such a part of the squares that they are the difference of are computed anew.
LOST = 1e-4
#: So many at a time.
PAIRS = 256


class Distances(Statistic[None, Any]):
    """Writes the distances of each row to all centres."""

    def __init__(self, nearest: Nearest, dtype: DTypeLike, out: Any = None) -> None:
        self.nearest = nearest
        self._dtype = np.dtype(dtype)
        self._out = out
        self._target: RowTarget | None = None

    def bind(self, rows: Rows, share: Share) -> Distances:
        """Make the place of the result."""
        bound = copy(self)
        bound._target = share.target(self._out, (len(self.nearest.centres),), self._dtype)
        bound._out = None
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the product with the centres, and a piece of the result."""
        k, d = self.nearest.centres.shape
        step = min(self.nearest.step(), block_rows)
        return Cost(
            parameter_bytes=self.nearest.nbytes,
            block_bytes=self.nearest.piece_bytes(block_rows)
            + step * (25 * k + 8)
            + 16 * d * PAIRS
            + (step * k * self._dtype.itemsize if self._dtype != np.float64 else 0),
            flops=2.0 * rows.n_rows * d * (k + 1),
        )

    def zero(self) -> None:
        """Return nothing: all results are written."""

    def update(self, state: None, block: Block) -> None:
        """Write the distances of a block."""
        assert self._target is not None
        nearest = self.nearest
        for start, rows in nearest.shifted(block):
            gaps = nearest.gaps(rows, block)
            with np.errstate(invalid="ignore", over="ignore"):
                squares = np.vecdot(rows, rows)[:, np.newaxis]
                gaps += squares
                if not np.isfinite(gaps.sum()):
                    refuse_nonfinite(block.values[start : start + len(rows)], block.start + start)
                scale = block.scratch("scale", gaps.shape)
                np.add(squares, nearest.squares, out=scale)
            scale *= LOST
            lost = np.argwhere(gaps < scale)
            for low in range(0, len(lost), PAIRS):
                row, centre = lost[low : low + PAIRS].T
                apart = rows[row] - nearest.centres[centre]
                gaps[row, centre] = np.vecdot(apart, apart)
            np.sqrt(gaps, out=gaps)
            self._target.write(block.start + start, gaps.astype(self._dtype, copy=False))

    def merge(self, state: None, other: None) -> None:
        """Do nothing."""

    def finalize(self, state: None) -> Any:
        """Return what took the distances."""
        assert self._target is not None
        return self._target.whole()
