"""Mean and covariance of all columns, in one pass: `Covariance` and `cov`.

Reads from : linalg.dense, linalg.weighing, blocks.reducing
Hands to   : users, principal components

Guarantees
- Stable: squares are taken of distances from the mean of a piece of rows, and pieces are put together by
  Chan's formula, so a large mean does not swallow a small deviation.
- Exactly symmetric; the same to the last bit on every executor and for every number of workers.

Chan's correction for the means of two sets of rows is itself a product of a row with itself: it goes into the
symmetric product as one more row, and costs nothing. A shift by the mean of the first rows was rejected: it
fails where these count little (weights) or lie elsewhere (sorted rows).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.opening import asarray
from outcore.blocks.reducing import run_pass
from outcore.blocks.statistic import Block, Cost, Rows, Share, Statistic
from outcore.errors import OptionError, ShapeError
from outcore.linalg.arguments import called, check_ddof, check_rows, named
from outcore.linalg.dense import PIECE_ROWS, mirror, piece_rows, syrk, zeros
from outcore.linalg.weighing import block_weights, counting_rows, pieces, refuse_counting
from outcore.settings import MemoryLike, ProgressLike


@dataclass(frozen=True, eq=False)
class CovarianceResult:
    """What `Covariance` found.

    Attributes
    ----------
    mean : ndarray of float64, shape (d,)
    covariance : ndarray of float64, shape (d, d)
    weight : float
        Sum of the weights; the number of rows without weights.
    n_rows : int
        Rows that count: those whose weight is not 0.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    weight: float
    n_rows: int


@dataclass
class Moments:
    """The state: sums over some rows.

    Attributes
    ----------
    mean, rest : ndarray of shape (d,)
        The mean, and what rounding left out of it: distances between means need it where the mean is large.
    scatter : ndarray of shape (d, d)
        Sum of weight times distance from the mean times itself; the upper triangle.
    weight, squared_weight : float
        Sums of the weights and of their squares.
    n_rows : int
    """

    mean: NDArray[np.float64]
    rest: NDArray[np.float64]
    scatter: NDArray[np.float64]
    weight: float = 0.0
    squared_weight: float = 0.0
    n_rows: int = 0


class Covariance(Statistic[Moments, CovarianceResult]):
    """Mean and covariance of the columns; for `outcore.reduce_rows`.

    Parameters
    ----------
    ddof : float
        Taken off the number of rows that the sum of squares is divided by.
    weighted : bool
        Whether the weights of the pass, shape (n,), are used: how much each row counts.

    Examples
    --------
    >>> from outcore.linalg import Covariance
    >>> found = oc.reduce_rows(np.array([[1.0, 0.0], [3.0, 4.0]]), Covariance())
    >>> found.mean, found.covariance
    (array([2., 2.]), array([[2., 4.], [4., 8.]]))
    """

    def __init__(self, *, ddof: float = 1, weighted: bool = True) -> None:
        self.ddof = ddof
        self.weighted = weighted
        self._rows: Rows | None = None

    def bind(self, rows: Rows, share: Share) -> Covariance:
        """Refuse rows that are no matrix of numbers, and more than one weight for a row."""
        check_rows(rows, "a covariance")
        check_ddof(self.ddof)
        if self.weighted and rows.weights_shape is not None and len(rows.weights_shape) != 1:
            raise ShapeError(
                f"weights have shape {rows.weights_shape}; a covariance takes one weight for each row.\n"
                f"Use weights of shape ({rows.n_rows},), or Covariance(weighted=False) to leave them out."
            )
        bound = copy.copy(self)
        bound._rows = rows
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the symmetric product, the matrix, and a piece of rows."""
        d = rows.row_shape[0] if rows.row_shape else 1
        return Cost(
            state_bytes=8 * d * (d + 1),
            block_bytes=8 * d * (piece_rows(d, block_rows) + 1) + 16 * block_rows,
            flops=float(rows.n_rows) * d * (d + 2),
            min_rows=PIECE_ROWS,
        )

    def zero(self) -> Moments:
        """Return the moments of no rows."""
        assert self._rows is not None
        (d,) = self._rows.row_shape
        return Moments(np.zeros(d), np.zeros(d), zeros((d, d)))

    def update(self, state: Moments, block: Block) -> Moments:
        """Take in the rows that count, piece by piece."""
        values = block.values
        n, d = values.shape
        step = piece_rows(d, n)
        # One row more than a piece, for the correction.
        buffer = block.scratch("covariance", (step + 1, d))
        if self.weighted and block.weights is not None:
            weights = block_weights(block)
            kept = counting_rows(weights)
        else:
            weights, kept = np.ones(n), None
        with np.errstate(invalid="ignore", over="ignore"):
            for rows, w in pieces(values, weights, kept, buffer[:step]):
                _take_in(state, rows, w, buffer)
        if not np.isfinite(state.mean).all():
            refuse_counting(values, kept, block.start)
        return state

    def merge(self, state: Moments, other: Moments) -> Moments:
        """Put together two sets of rows by Chan's formula."""
        if other.n_rows == 0:
            return state
        state.scatter += other.scatter
        row = np.empty((1, len(state.mean)))
        with np.errstate(invalid="ignore", over="ignore"):
            _join(state, (other.mean, other.rest), other.weight, row[0])
        syrk(row, state.scatter, beta=1.0)
        state.squared_weight += other.squared_weight
        state.n_rows += other.n_rows
        return state

    def finalize(self, state: Moments) -> CovarianceResult:
        """Divide by the number of rows, or what stands for it.

        Raises
        ------
        OptionError
            Not more rows than `ddof`, or nothing but weights of 0.
        """
        divisor = self._divisor(state)
        covariance = state.scatter
        covariance /= divisor
        mirror(covariance)
        return CovarianceResult(state.mean + state.rest, covariance, state.weight, state.n_rows)

    def _divisor(self, state: Moments) -> float:
        assert self._rows is not None
        ddof = float(self.ddof)
        if state.weight == 0 and self._rows.n_rows > 0:
            raise OptionError(
                f"weights are zero in all {self._rows.n_rows} rows: there is nothing to average.\n"
                "Give weights of which at least one is larger than 0."
            )
        # As numpy.cov: with equal weights the same as without.
        spread = state.squared_weight / state.weight if state.weight else 0.0
        divisor = state.weight - ddof * spread
        # What is left of one weighted row is rounding.
        if divisor <= 1e-14 * state.weight:
            raise OptionError(
                f"{named(self._rows)} has {state.n_rows} rows that count; "
                f"a covariance with ddof={self.ddof} needs more.\n"
                "Use more rows, or ddof=0 with at least one."
            )
        return divisor


def _take_in(
    state: Moments, rows: NDArray[np.float64], weights: NDArray[np.float64], buffer: NDArray[np.float64]
) -> None:
    """Add a piece of rows; `buffer` has one row more than these, and may hold them."""
    n = len(rows)
    weight = float(weights.sum())
    z = buffer[: n + 1]
    mean = weights @ rows / weight
    np.subtract(rows, mean, out=z[:n])
    # The mean of values that are large beside their deviation is rounded; the distances from it tell by how
    # much.
    rest = weights @ z[:n] / weight
    z[:n] -= rest
    if weights.min() != 1 or weights.max() != 1:
        z[:n] *= np.sqrt(weights)[:, np.newaxis]
    _join(state, (mean, rest), weight, z[n])
    syrk(z, state.scatter, beta=1.0)
    state.squared_weight += float(weights @ weights)
    state.n_rows += n


def _join(
    state: Moments,
    mean: tuple[NDArray[np.float64], NDArray[np.float64]],
    weight: float,
    row: NDArray[np.float64],
) -> None:
    """Move the mean of `state` to that of both sets, and make the row that corrects its scatter."""
    if state.weight == 0:
        # Copies: what a merged group brought may be memory that goes away with it.
        state.mean, state.rest = mean[0].copy(), mean[1].copy()
        state.weight = weight
        row[...] = 0
        return
    total = state.weight + weight
    distance = (mean[0] - state.mean) + (mean[1] - state.rest)
    np.multiply(distance, sqrt(state.weight) * sqrt(weight / total), out=row)
    step = distance * (weight / total)
    # The sum, and what its rounding lost (Knuth).
    moved = state.mean + step
    back = moved - state.mean
    state.rest += (state.mean - (moved - back)) + (step - back)
    state.mean = moved
    state.weight = total


def cov(
    X: Any,
    *,
    weights: Any = None,
    ddof: float = 1,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
) -> NDArray[np.float64]:
    """Return the covariance of the columns, in one pass.

    Rows are observations: this is ``numpy.cov(X, rowvar=False)``, while `numpy.cov` by itself takes columns
    for observations.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, d)
        What `outcore.asarray` takes; bool, integers or floats.
    weights : array-like or Array of shape (n,), optional
        How much each row counts, the `aweights` of `numpy.cov`. Rows of weight 0 are left out, whatever they
        hold.
    ddof : float
        Taken off the number of rows that the sum of squares is divided by.
    executor, workers, memory, progress
        As for `outcore.reduce_rows`.

    Returns
    -------
    ndarray of float64, shape (d, d)
        Exactly symmetric. ``outcore.linalg.Covariance`` also gives the mean.

    Raises
    ------
    ShapeError
        `X` is not a matrix, or `weights` are not one for each row.
    DTypeError
        `X` or `weights` are not real numbers.
    NonFiniteError
        NaN or infinity in a row that counts, or in `weights`; the row is named.
    OptionError
        A negative weight, nothing but weights of 0, or too few rows for `ddof`.
    MemoryBudgetError
        The matrices and blocks do not fit in the budget.

    Notes
    -----
    Memory: for each worker a matrix of 8 * d * d bytes, a block of rows (some 4 MB) and a piece of it.

    Stable: a mean that is large beside the deviation does no harm.

    Examples
    --------
    >>> oc.cov(np.array([[1.0, 0.0], [3.0, 4.0]]))
    array([[2., 4.],
           [4., 8.]])
    """
    (found,) = run_pass(
        called("cov", weights),
        asarray(X),
        [Covariance(ddof=ddof)],
        weights=weights,
        executor=executor,
        workers=workers,
        memory=memory,
        progress=progress,
    )
    result: NDArray[np.float64] = found.covariance
    return result
