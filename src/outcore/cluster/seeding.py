"""Centres to begin with: `kmeans_plus_plus`.

Hands to   : cluster.kmeans, mixture

Guarantees
- The greedy variant of scikit-learn, with the same numbers drawn in the same order: the same rows from the
  same `RandomState`, but where two candidates are equally good to rounding.
- A large common mean costs no digits.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import ShapeError
from outcore.estimation.sampling import Random

#: Rows are shifted in pieces that stay in the cache of one core.
PIECE_BYTES = 1 << 18


def kmeans_plus_plus(
    rows: NDArray[np.float64], k: int, rng: Random, weights: NDArray[Any] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Choose `k` of the rows, far from each other, by greedy k-means++.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
    k : int
    rng : RandomState or Generator
    weights : ndarray of shape (n,), optional
        Not negative, not all zero.

    Returns
    -------
    centres : ndarray of float64, shape (k, d)
    indices : ndarray of int, shape (k,)
        Which rows they are.

    Raises
    ------
    ShapeError
        Fewer rows than centres.

    Notes
    -----
    Memory: 8 * n * (4 + log(k)) bytes. Time: about that of k * (3 + log(k)) products of a row and a centre
    for each row.

    Examples
    --------
    >>> rows = np.array([[0.0], [1.0], [100.0]])
    >>> centres, indices = kmeans_plus_plus(rows, 2, np.random.RandomState(0))
    >>> sorted(indices.tolist())
    [1, 2]
    """
    n = len(rows)
    if n < k:
        raise ShapeError(f"{k} centres are wanted of {n} rows (n_samples={n}).\nAsk for {n} at most.")
    each = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    trials = 2 + int(log(k))
    distances = _Distances(rows)
    indices = np.empty(k, np.intp)
    indices[0] = rng.choice(n, p=each / each.sum())
    nearest = distances.to(indices[:1])[0]
    potential = nearest @ each
    for i in range(1, k):
        draws = rng.uniform(size=trials) * potential
        candidates = np.searchsorted(np.cumsum(each * nearest), draws)
        np.minimum(candidates, n - 1, out=candidates)  # the sum may be rounded below the draw
        found = distances.to(candidates)
        np.minimum(found, nearest, out=found)
        potentials = found @ each
        best = int(potentials.argmin())
        potential, nearest, indices[i] = potentials[best], found[best].copy(), candidates[best]
    return rows[indices], indices


class _Distances:
    """Squared distances of all rows to some of them."""

    def __init__(self, rows: NDArray[np.float64]) -> None:
        self._rows = rows
        n, d = rows.shape
        self._step = max(64, PIECE_BYTES // (8 * max(d, 1)))
        self._mean = rows.mean(axis=0)
        self._piece = np.empty((min(self._step, n), d))
        self._squares = np.empty(n)
        for start in range(0, n, self._step):
            piece = self._shifted(start)
            np.einsum("ij,ij->i", piece, piece, out=self._squares[start : start + len(piece)])

    def to(self, indices: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return an array of shape (len(indices), n)."""
        points = self._rows[indices] - self._mean
        found = np.empty((len(points), len(self._rows)))
        for start in range(0, len(self._rows), self._step):
            piece = self._shifted(start)
            np.matmul(points, piece.T, out=found[:, start : start + len(piece)])
        found *= -2
        found += np.einsum("ij,ij->i", points, points)[:, np.newaxis]
        found += self._squares
        np.maximum(found, 0, out=found)
        return found

    def _shifted(self, start: int) -> NDArray[np.float64]:
        rows = self._rows[start : start + self._step]
        shifted: NDArray[np.float64] = np.subtract(rows, self._mean, out=self._piece[: len(rows)])
        return shifted
