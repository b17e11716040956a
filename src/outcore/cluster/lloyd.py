"""What k-means sums up over the rows: of each cluster, for the inertia, and the labels.

Reads from : cluster.nearest
Hands to   : cluster.kmeans

Guarantees
- A cluster's sums are formed in the order of its rows, whatever its number: the same rows give the same
  bits, so centres that did not move are recognised, without the labels of the last iteration.
- The inertia comes from differences: nothing cancels.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, Statistic
from outcore.cluster.nearest import Nearest, Piece


@dataclass(eq=False)
class Sums:
    """Of all rows, or of some.

    Attributes
    ----------
    weights : ndarray of float64, shape (k,)
        Of the rows of each cluster.
    sums : ndarray of float64, shape (k, d)
        Of weighted rows less the shift; (0, 0) if not wanted.
    counts : ndarray of int64, shape (k,)
        Rows of each cluster, those of weight 0 too.
    inertia : float
        Weighted squared distances to the nearest centre; 0 if not wanted.
    labels : ndarray of int32 or Array
        What takes them; None if not wanted.
    """

    weights: NDArray[np.float64]
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    inertia: float = 0.0
    labels: Any = None


class Assignment(Statistic[Sums, Sums]):
    """Assigns each row to its nearest centre.

    Parameters
    ----------
    nearest : Nearest
    sums, inertia, labels : bool
        What is wanted.
    out : ndarray, Array or address, optional
        Takes the labels.
    look : bool
        Whether to look out for NaN and infinity.
    """

    def __init__(
        self,
        nearest: Nearest,
        *,
        sums: bool = False,
        inertia: bool = False,
        labels: bool = False,
        out: Any = None,
        look: bool = False,
    ) -> None:
        self.nearest = nearest
        self._wants = (sums, inertia, labels)
        self._look = look
        self._out = out
        self._target: RowTarget | None = None

    def bind(self, rows: Rows, share: Share) -> Assignment:
        """Make the place of the labels."""
        if not self._wants[2]:
            return self
        bound = copy(self)
        bound._target = share.target(self._out, (), np.int32)
        bound._out = None
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Two flops for each row, centre and column."""
        k, d = self.nearest.centres.shape
        sums, inertia, labels = self._wants
        step = min(self.nearest.step(), block_rows)
        piece = step * 24 + k * d * 8 if sums else 0
        piece += self.nearest.apart_bytes(block_rows) if inertia else 0
        return Cost(
            state_bytes=16 * k + (8 * k * d if sums else 0),
            parameter_bytes=self.nearest.nbytes,
            block_bytes=self.nearest.piece_bytes(block_rows) + piece + (4 * block_rows if labels else 0),
            flops=2.0 * rows.n_rows * d * (k + bool(sums) + bool(inertia)),
        )

    def zero(self) -> Sums:
        """Return the sums of no rows."""
        k, d = self.nearest.centres.shape
        sums = np.zeros((k, d) if self._wants[0] else (0, 0))
        return Sums(np.zeros(k), sums, np.zeros(k, np.int64))

    def update(self, state: Sums, block: Block) -> Sums:
        """Assign the rows of a block."""
        k = len(self.nearest.centres)
        wants_sums, wants_inertia, wants_labels = self._wants
        labels = block.scratch("block labels", (len(block),), np.int32) if wants_labels else None
        for piece in self.nearest.pieces(block, look=self._look):
            weights = None if block.weights is None else block.weights[piece.part].astype(np.float64)
            if labels is not None:
                labels[piece.part] = piece.labels
            if wants_sums:
                counts = np.bincount(piece.labels, minlength=k)
                state.counts += counts
                state.weights += (
                    counts if weights is None else np.bincount(piece.labels, weights, minlength=k)
                )
                state.sums += _sums_by_label(piece, weights, k)
            if wants_inertia:
                gaps = self.nearest.squared_distances(piece, block)
                state.inertia += float(gaps.sum() if weights is None else gaps @ weights)
        if labels is not None and self._target is not None:
            self._target.write(block.start, labels)
        return state

    def merge(self, state: Sums, other: Sums) -> Sums:
        """Add up."""
        state.weights += other.weights
        state.sums += other.sums
        state.counts += other.counts
        state.inertia += other.inertia
        return state

    def finalize(self, state: Sums) -> Sums:
        """Add the labels."""
        if self._target is not None:
            state.labels = self._target.whole()
        return state


def _sums_by_label(piece: Piece, weights: NDArray[np.float64] | None, k: int) -> NDArray[np.float64]:
    """Add up the rows of each cluster: a product with a sparse matrix that has one entry for each row.

    Measured: three times as fast as a product with a dense matrix of zeros and ones at k = 8, and 45 times at
    k = 200; four to six times as fast as sorting the rows by label.
    """
    n = len(piece.rows)
    entries = np.ones(n) if weights is None else weights
    places = piece.labels.astype(np.int32), np.arange(n + 1, dtype=np.int32)
    found: NDArray[np.float64] = csc_array((entries, *places), shape=(k, n)) @ piece.rows
    return found
