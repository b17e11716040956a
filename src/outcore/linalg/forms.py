"""Quadratic forms of all rows: `QuadraticForm` and `quadratic_form`.

Reads from : linalg.dense, blocks.reducing
Hands to   : users

Guarantees
- One read of the rows, however many matrices there are.
- Half the flops of ``np.sum((X @ Q) * X, axis=1)``, for any Q: ``x @ Q @ x == x @ T @ x`` with the upper
  triangular ``T = triu(Q + Q.T, 1) + diag(Q)``, so the product is a triangular one.

A Cholesky factor was rejected: it costs as much for each row, and takes positive definite Q only.
"""

from __future__ import annotations

import copy
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.blockwise import in_memory
from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.reducing import run_pass
from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, Statistic
from outcore.errors import ShapeError
from outcore.linalg.arguments import check_rows, named, parameter, refuse_nonfinite_entries
from outcore.linalg.dense import PANEL, PIECE_ROWS, piece_rows, row_dots, trmm
from outcore.settings import MemoryLike, ProgressLike


class QuadraticForm(Statistic[None, Any]):
    """``x @ Q @ x`` for each row; for `outcore.reduce_rows`.

    Parameters
    ----------
    Q : array-like or Array of shape (d, d) or (K, d, d)
        Need be neither symmetric nor definite.
    out : ndarray, Array, SharedArray or address, optional
        Takes the result, shape (n,) or (n, K).

    Examples
    --------
    >>> from outcore.linalg import QuadraticForm
    >>> oc.reduce_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), QuadraticForm(np.eye(2)))
    array([ 5., 25.])
    """

    def __init__(self, Q: Any, out: Any = None) -> None:
        self.Q = Q
        self.out = out
        self._shape: tuple[int, ...] | None = None
        self._target: RowTarget | None = None
        self._triangles: NDArray[np.float64] | None = None

    def bind(self, rows: Rows, share: Share) -> QuadraticForm:
        """Refuse what does not fit; fold each Q into its upper triangle."""
        d = check_rows(rows, "a quadratic form")
        given = parameter(self.Q, "Q", "a quadratic form")
        _check_shape(given.shape, d, rows)
        bound = copy.copy(self)
        bound.Q, bound.out = None, None
        bound._shape = given.shape
        bound._target = share.target(self.out, given.shape[:-2], np.float64)
        if share.making:
            bound._triangles = _folded(given)
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the triangular products, the triangles, and a piece of rows and of results."""
        d = rows.row_shape[0] if rows.row_shape else 1
        shape = asarray(self.Q).shape if self._shape is None else self._shape
        k = prod(shape[:-2])
        return Cost(
            parameter_bytes=8 * k * d * d,
            block_bytes=8 * (d * piece_rows(d, block_rows) + 2 * k * block_rows),
            flops=float(rows.n_rows) * d * d * k,
            min_rows=PIECE_ROWS,
        )

    def zero(self) -> None:
        """Return nothing: the results are in their target."""

    def update(self, state: None, block: Block) -> None:
        """Write the forms of the block."""
        assert self._triangles is not None
        assert self._target is not None
        values = block.values
        n, d = values.shape
        k = len(self._triangles)
        found = block.scratch("forms", (n, k))
        product = block.scratch("products", (piece_rows(d, n), d))
        with np.errstate(invalid="ignore", over="ignore"):
            for low in range(0, n, len(product)):
                rows = values[low : low + len(product)]
                y = product[: len(rows)]
                for i, triangle in enumerate(self._triangles):
                    np.copyto(y, rows)
                    trmm(y, triangle)
                    row_dots(y, rows, found[low : low + len(rows), i])
        if not np.isfinite(found).all():
            refuse_nonfinite(values, block.start)
        self._target.write(block.start, found if self._many else found[:, 0])

    def merge(self, state: None, other: None) -> None:
        """Return nothing."""

    def finalize(self, state: None) -> Any:
        """Return the forms of all rows."""
        assert self._target is not None
        return self._target.whole()

    @property
    def _many(self) -> bool:
        return self._shape is not None and len(self._shape) == 3


def quadratic_form(
    X: Any,
    Q: Any,
    *,
    out: Any = None,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
) -> Any:
    """Return ``x @ Q @ x`` for each row x of X, in one pass and at half the cost.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, d)
        What `outcore.asarray` takes; bool, integers or floats.
    Q : array-like or Array of shape (d, d) or (K, d, d)
        Need be neither symmetric nor definite.
    out : ndarray, Array, SharedArray or address, optional
        Takes the result: an array of shape (n,) or (n, K) and a float dtype, or the name of an array on disk
        to create. By default a new ndarray.
    executor, workers, memory, progress
        As for `outcore.reduce_rows`.

    Returns
    -------
    ndarray or Array of float64, shape (n,) or (n, K)
        `out`, or the new one. (n, K) for Q of shape (K, d, d): all K in one read of X.

    Raises
    ------
    ShapeError
        `X` is not a matrix, Q does not fit its rows, or `out` does not fit the result.
    DTypeError
        `X` or `Q` is not of real numbers.
    NonFiniteError
        NaN or infinity in `X` (the row is named) or in `Q`.
    MemoryBudgetError
        The matrices, the result and the blocks do not fit in the budget.

    Notes
    -----
    Memory: K triangles of 8 * d * d bytes, the result unless `out` is given, and for each worker a block of
    rows (some 4 MB) and a piece of it.

    Float32 and integers are converted to float64 block by block.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> oc.quadratic_form(x, [[1.0, 1.0], [0.0, 1.0]])
    array([ 7., 37.])
    """
    source = asarray(X)
    (found,) = run_pass(
        f"quadratic_form(Q={parameter(Q, 'Q', 'a quadratic form').shape})",
        source,
        [QuadraticForm(Q, out)],
        executor=executor,
        workers=workers,
        memory=memory,
        progress=progress,
    )
    return found


def _folded(given: Array) -> NDArray[np.float64]:
    """Return, for each Q, the triangle with the same quadratic form; below the diagonal is anything."""
    *many, d, _ = given.shape
    triangles = np.empty((prod(many), d, d))
    held = in_memory(given)
    rows = triangles if many else triangles.reshape(d, d)
    # From disk a part at a time: no second Q is held.
    step = 1 if many else PANEL
    for low in range(0, len(rows), step):
        rows[low : low + step] = (given if held is None else held)[low : low + step]
    for i, triangle in enumerate(triangles):
        refuse_nonfinite_entries(triangle, "Q", (i,) if many else ())
        for low in range(0, d, PANEL):
            high = min(low + PANEL, d)
            corner = triangle[low:high, low:high]
            corner[...] = np.triu(corner + corner.T, 1) + np.diag(corner.diagonal())
            triangle[low:high, high:] += triangle[high:, low:high].T
    return triangles


def _check_shape(shape: tuple[int, ...], d: int, rows: Rows) -> None:
    if len(shape) in (2, 3) and shape[-2:] == (d, d):
        return
    raise ShapeError(
        f"Q has shape {shape}; rows of {named(rows)}, shape {(rows.n_rows, d)}, need ({d}, {d}).\n"
        f"Use one matrix of shape ({d}, {d}), or K of them behind each other, (K, {d}, {d})."
    )
