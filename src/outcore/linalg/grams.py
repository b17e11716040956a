"""Sums of products of rows with themselves: `Gram` and `gram`.

Reads from : linalg.dense, linalg.weighing, blocks.reducing
Hands to   : users

Guarantees
- One read of the rows, however many columns the weights have.
- Exactly symmetric; the same to the last bit on every executor and for every number of workers.
- Half the flops of ``(X.T * w) @ X``: rows are scaled by the roots of their weights and multiplied with
  themselves.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.opening import asarray
from outcore.blocks.reducing import run_pass
from outcore.blocks.statistic import Block, Cost, Rows, Share, SplitStatistic
from outcore.errors import OptionError
from outcore.linalg.arguments import called, check_rows
from outcore.linalg.dense import PIECE_ROWS, mirror, piece_rows, syrk, zeros
from outcore.linalg.stacks import whole
from outcore.linalg.weighing import block_weights, counting_rows, pieces, refuse_counting
from outcore.settings import MemoryLike, ProgressLike


@dataclass
class Weighed:
    """A part of the state: the upper triangle of a matrix, and the sum of the weights that went into it."""

    matrix: NDArray[np.float64]
    weight: float = 0.0


class Gram(SplitStatistic[Weighed, NDArray[np.float64]]):
    """The sum of ``w * x * x.T`` over all rows; for `outcore.reduce_rows`.

    Parameters
    ----------
    weighted : bool
        Whether the weights of the pass are used: a matrix for weights of shape (n,), K of them for (n, K).

    Examples
    --------
    K Grams and K quadratic forms in one read:

    >>> from outcore.linalg import Gram, QuadraticForm
    >>> x, Q, W = np.ones((6, 3)), np.ones((2, 3, 3)), np.ones((6, 2))
    >>> grams, forms = oc.reduce_rows(x, [Gram(), QuadraticForm(Q)], weights=W)
    >>> grams.shape, forms.shape
    ((2, 3, 3), (6, 2))
    """

    def __init__(self, *, weighted: bool = True) -> None:
        self.weighted = weighted
        self.n_parts = 1
        self._rows: Rows | None = None

    def bind(self, rows: Rows, share: Share) -> Gram:
        """Refuse rows that are no matrix of numbers; count the matrices."""
        check_rows(rows, "a Gram matrix")
        bound = copy.copy(self)
        bound._rows = rows
        bound.n_parts = self._matrices(rows)
        return bound

    def _matrices(self, rows: Rows) -> int:
        shape = rows.weights_shape if self.weighted else None
        return 1 if shape is None or len(shape) == 1 else shape[1]

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the symmetric products, the matrices, and a piece of scaled rows."""
        d = rows.row_shape[0] if rows.row_shape else 1
        k = self._matrices(rows)
        scales = self.weighted and rows.weights_shape is not None
        return Cost(
            state_bytes=8 * k * d * d,
            block_bytes=8 * d * piece_rows(d, block_rows) + 16 * block_rows if scales else 0,
            flops=float(rows.n_rows) * d * d * k,
            min_rows=PIECE_ROWS,
            part_bytes=8 * d * d,
        )

    def zero(self) -> list[Weighed]:
        """Return the sums over no rows, as parts of one array: it becomes the result."""
        d = self._columns
        return [Weighed(matrix) for matrix in zeros((self.n_parts, d, d))]

    def zero_part(self, part: int) -> Weighed:
        """Return the sum over no rows."""
        return Weighed(zeros((self._columns, self._columns)))

    @property
    def _columns(self) -> int:
        assert self._rows is not None
        return self._rows.row_shape[0]

    def update_part(self, part: int, state: Weighed, block: Block, table: NDArray[np.float64]) -> Weighed:
        """Add the products of the rows that count, piece by piece."""
        values = block.values
        kept = None
        if self.weighted and block.weights is not None:
            weights = block_weights(block, None if block.weights.ndim == 1 else part)
            kept = counting_rows(weights)
            n, d = values.shape
            buffer = block.scratch("gram", (piece_rows(d, n), d))
            with np.errstate(invalid="ignore", over="ignore"):
                state.weight += float(weights.sum())
                for rows, w in pieces(values, weights, kept, buffer):
                    scaled = np.multiply(rows, np.sqrt(w)[:, np.newaxis], out=buffer[: len(rows)])
                    syrk(scaled, state.matrix, beta=1.0)
        else:
            syrk(values, state.matrix, beta=1.0)
        # The diagonal sums squares: nothing that is not finite can hide there.
        if not np.isfinite(state.matrix.diagonal()).all():
            refuse_counting(values, kept, block.start)
        return state

    def merge_part(self, part: int, state: Weighed, other: Weighed) -> Weighed:
        """Add up."""
        state.matrix += other.matrix
        state.weight += other.weight
        return state

    def tabulate(self, block: Block, table: NDArray[np.float64]) -> None:
        """Return without a table: the weights say all."""

    def finalize(self, state: list[Weighed]) -> NDArray[np.float64]:
        """Fill the lower triangles; one matrix, or K of them behind each other.

        Raises
        ------
        OptionError
            Nothing but weights of 0.
        """
        assert self._rows is not None
        shape = self._rows.weights_shape if self.weighted else None
        if shape is not None and self._rows.n_rows > 0:
            self._refuse_nothing([part for part, sums in enumerate(state) if sums.weight == 0], len(shape))
        if shape is None or len(shape) == 1:
            mirror(state[0].matrix)
            return state[0].matrix
        result = whole([part.matrix for part in state])
        if result is None:
            result = np.empty((len(state), self._columns, self._columns))
            for part, matrix in enumerate(result):
                matrix[...] = state[part].matrix
                # Given back at once: all parts and all results are never held together.
                state[part] = Weighed(matrix)
        for matrix in result:
            mirror(matrix)
        return result

    def _refuse_nothing(self, empty: list[int], n_dimensions: int) -> None:
        if not empty:
            return
        assert self._rows is not None
        columns = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        where = (
            ""
            if n_dimensions == 1
            else f" of column {columns}"
            if len(empty) == 1
            else f" of columns {columns}"
        )
        leave = ", or leave such columns out" if n_dimensions == 2 else ""
        raise OptionError(
            f"weights{where} are zero in all {self._rows.n_rows} rows: there is nothing to sum.\n"
            f"Give weights of which at least one is larger than 0{leave}."
        )


def gram(
    X: Any,
    weights: Any = None,
    *,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
) -> NDArray[np.float64]:
    """Return ``(X.T * w) @ X``, in one pass and at half the cost.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, d)
        What `outcore.asarray` takes; bool, integers or floats.
    weights : array-like or Array of shape (n,) or (n, K), optional
        How much each row counts, not negative. Rows of weight 0 are left out, whatever they hold.
    executor, workers, memory, progress
        As for `outcore.reduce_rows`.

    Returns
    -------
    ndarray of float64, shape (d, d) or (K, d, d)
        Exactly symmetric; for weights of shape (n, K) one matrix for each column of them.

    Raises
    ------
    ShapeError
        `X` is not a matrix, or `weights` are not one (or K) for each row.
    DTypeError
        `X` is not of real numbers.
    NonFiniteError
        NaN or infinity in a row that counts, or in `weights`; the row is named.
    OptionError
        A negative weight (the row is named), or weights that are all 0.
    MemoryBudgetError
        The matrices and blocks do not fit in the budget.

    Notes
    -----
    Memory: for each worker K matrices of 8 * d * d bytes, a block of rows (some 4 MB) and a piece of it;
    where so many matrices do not fit, one set of K for all workers.

    Float32 and integers are converted to float64 block by block, so sums lose nothing.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> oc.gram(x)
    array([[10., 14.],
           [14., 20.]])
    >>> oc.gram(x, [1.0, 0.0])
    array([[1., 2.],
           [2., 4.]])
    """
    (found,) = run_pass(
        called("gram", weights),
        asarray(X),
        [Gram()],
        weights=weights,
        executor=executor,
        workers=workers,
        memory=memory,
        progress=progress,
    )
    result: NDArray[np.float64] = found
    return result
