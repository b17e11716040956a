"""Rows times a matrix: `Product` and `matmul`.

Reads from : blocks.reducing
Hands to   : users, principal components

Guarantees
- One read of the rows; the result goes to memory, shared memory or an array on disk as it is formed.
- Floats are multiplied and summed in float64, and rounded once to the dtype of the result.
- Integers and bool are multiplied as NumPy does, without a detour through floats.
"""

from __future__ import annotations

import copy
from math import prod
from typing import Any

import numpy as np

from outcore.array.opening import asarray
from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.reducing import run_pass
from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, Statistic
from outcore.errors import ShapeError
from outcore.linalg.arguments import check_rows, named, parameter, refuse_nonfinite_entries
from outcore.settings import MemoryLike, ProgressLike


class Product(Statistic[None, Any]):
    """``x @ B`` for each row; for `outcore.reduce_rows`.

    Parameters
    ----------
    B : array-like or Array of shape (d, m) or (d,)
    out : ndarray, Array, SharedArray or address, optional
        Takes the result, shape (n, m) or (n,).

    Examples
    --------
    >>> from outcore.linalg import Product
    >>> oc.reduce_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), Product([1.0, -1.0]))
    array([-1., -1.])
    """

    def __init__(self, B: Any, out: Any = None) -> None:
        self.B = B
        self.out = out
        self._shape: tuple[int, ...] | None = None
        self._target: RowTarget | None = None
        self._dtype = np.dtype(np.float64)

    def bind(self, rows: Rows, share: Share) -> Product:
        """Refuse what does not fit; bring B into the dtype that it is multiplied in."""
        d = check_rows(rows, "a product")
        given = parameter(self.B, "B", "a product")
        if given.ndim not in (1, 2) or given.shape[0] != d:
            raise ShapeError(
                f"B has shape {given.shape}; rows of {named(rows)}, shape {(rows.n_rows, d)}, "
                f"need ({d}, m).\n"
                f"Use a matrix of shape ({d}, m), or a vector of shape ({d},)."
            )
        bound = copy.copy(self)
        bound.B, bound.out = None, None
        bound._shape = given.shape
        result = np.result_type(rows.dtype, given.dtype)
        bound._dtype = result if result.kind in "biu" else np.dtype(np.float64)
        bound._target = share.target(self.out, given.shape[1:], result)
        if share.making:
            matrix = np.asarray(given)
            refuse_nonfinite_entries(matrix, "B")
            bound.B = np.ascontiguousarray(matrix, bound._dtype)
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the product, the matrix, and the result of a block."""
        shape = asarray(self.B).shape if self._shape is None else self._shape
        d, m = shape[0], prod(shape[1:])
        size = self._dtype.itemsize
        return Cost(
            parameter_bytes=size * d * m,
            block_bytes=size * block_rows * m + (block_rows * m if self._dtype.kind == "f" else 0),
            flops=2.0 * rows.n_rows * d * m,
            min_rows=256,
            values=self._dtype.kind == "f",
        )

    def zero(self) -> None:
        """Return nothing: the results are in their target."""

    def update(self, state: None, block: Block) -> None:
        """Write the products of the block."""
        assert self._shape is not None
        assert self._target is not None
        found = block.scratch("product", (len(block), *self._shape[1:]), self._dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            if self._dtype.kind == "f":
                np.matmul(block.values, self.B, out=found)
                if not np.isfinite(found).all():
                    refuse_nonfinite(block.values, block.start)
            else:
                np.matmul(block.rows, self.B, out=found)
        self._target.write(block.start, found)

    def merge(self, state: None, other: None) -> None:
        """Return nothing."""

    def finalize(self, state: None) -> Any:
        """Return the products of all rows."""
        assert self._target is not None
        return self._target.whole()


def matmul(
    X: Any,
    B: Any,
    *,
    out: Any = None,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
) -> Any:
    """Return ``X @ B``, in one pass.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, d)
        What `outcore.asarray` takes; bool, integers or floats.
    B : array-like or Array of shape (d, m) or (d,)
        Held in memory.
    out : ndarray, Array, SharedArray or address, optional
        Takes the result: an array of shape (n, m) or (n,), or the name of an array on disk to create. By
        default a new ndarray.
    executor, workers, memory, progress
        As for `outcore.reduce_rows`.

    Returns
    -------
    ndarray or Array of shape (n, m) or (n,)
        `out`, or a new one of the dtype that ``X @ B`` has in NumPy.

    Raises
    ------
    ShapeError
        `X` is not a matrix, `B` does not fit its rows, or `out` does not fit the result.
    DTypeError
        `X` or `B` is not of real numbers.
    NonFiniteError
        NaN or infinity in `X` (the row is named) or in `B`.
    MemoryBudgetError
        `B`, the result and the blocks do not fit in the budget.

    Notes
    -----
    Memory: `B` once more, the result unless `out` is given, and for each worker a block of rows (some 4 MB)
    and its product.

    Floats are summed in float64 whatever their dtype, and rounded once: to float32 for float32, and not at
    all into an `out` of float64. Integers are multiplied as NumPy does, and wrap around as there.

    Examples
    --------
    >>> oc.matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), [1.0, -1.0])
    array([-1., -1.])
    """
    source = asarray(X)
    (found,) = run_pass(
        f"matmul(B={parameter(B, 'B', 'a product').shape})",
        source,
        [Product(B, out)],
        executor=executor,
        workers=workers,
        memory=memory,
        progress=progress,
    )
    return found
