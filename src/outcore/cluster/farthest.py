"""Rows far from their centres: they take the place of centres without rows.

Reads from : cluster.nearest
Hands to   : cluster.kmeans

Guarantees
- The rows are those that scikit-learn takes, which looks at the distances of all rows; here only as many
  rows are held as centres are without.
- Rows of weight 0 are not taken; of rows equally far the first is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.statistic import Block, Cost, Rows, Statistic
from outcore.cluster.lloyd import Sums
from outcore.cluster.nearest import Nearest


@dataclass(eq=False)
class Far:
    """Rows in the order of their distance, the farthest first.

    Attributes
    ----------
    distances : ndarray of float64, shape (n,)
        Squared.
    rows : ndarray of float64, shape (n, d)
        Less the shift.
    weights : ndarray of float64, shape (n,)
    labels : ndarray of intp, shape (n,)
    """

    distances: NDArray[np.float64]
    rows: NDArray[np.float64]
    weights: NDArray[np.float64]
    labels: NDArray[np.intp]


class Farthest(Statistic[Far, Far]):
    """Finds the `n` rows that are farthest from their centres."""

    def __init__(self, nearest: Nearest, n: int) -> None:
        self.nearest = nearest
        self._n = n

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """As for the inertia, and the rows held."""
        k, d = self.nearest.centres.shape
        step = min(self.nearest.step(), block_rows)
        return Cost(
            state_bytes=self._n * (8 * d + 24),
            parameter_bytes=self.nearest.nbytes,
            block_bytes=self.nearest.piece_bytes(block_rows)
            + self.nearest.apart_bytes(block_rows)
            + step * 24
            + 2 * self._n * (8 * d + 24),
            flops=2.0 * rows.n_rows * d * (k + 1),
        )

    def zero(self) -> Far:
        """Return no rows."""
        d = self.nearest.centres.shape[1]
        return Far(np.zeros(0), np.zeros((0, d)), np.zeros(0), np.zeros(0, np.intp))

    def update(self, state: Far, block: Block) -> Far:
        """Look for rows that are farther than those held."""
        for piece in self.nearest.pieces(block):
            distances = self.nearest.squared_distances(piece, block)
            weights = np.ones(len(distances)) if block.weights is None else block.weights[piece.part]
            least = state.distances[-1] if len(state.distances) == self._n else -1.0
            found = np.flatnonzero((distances > least) & (weights > 0))
            if len(found) > self._n:
                found = np.sort(found[np.argsort(-distances[found], kind="stable")[: self._n]])
            if len(found):
                more = Far(
                    distances[found],
                    piece.rows[found],
                    np.asarray(weights[found], np.float64),
                    piece.labels[found],
                )
                state = self.merge(state, more)
        return state

    def merge(self, state: Far, other: Far) -> Far:
        """Keep the farthest of both; at the same distance those of `state`, which are earlier."""
        distances = np.concatenate([state.distances, other.distances])
        order = np.argsort(-distances, kind="stable")[: self._n]
        return Far(
            distances[order],
            np.concatenate([state.rows, other.rows])[order],
            np.concatenate([state.weights, other.weights])[order],
            np.concatenate([state.labels, other.labels])[order],
        )


def relocate(found: Sums, far: Far) -> None:
    """Give each cluster without weight one of the far rows, which leaves its own cluster.

    Does nothing where every row lies on a centre: there are more clusters than different rows.
    """
    if not len(far.distances) or far.distances[0] == 0:
        return
    for empty, row, weight, label in zip(
        np.flatnonzero(found.weights == 0), far.rows, far.weights, far.labels, strict=False
    ):
        found.sums[label] -= row * weight
        found.sums[empty] = row * weight
        found.weights[empty] = weight
        found.weights[label] -= weight


def average(found: Sums) -> NDArray[np.float64]:
    """Return the mean of each cluster; where there is no weight, that of the heaviest cluster."""
    centres = found.sums / np.where(found.weights > 0, found.weights, 1.0)[:, np.newaxis]
    centres[found.weights <= 0] = centres[int(found.weights.argmax())]
    return centres
