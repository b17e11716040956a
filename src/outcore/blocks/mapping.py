"""A function of rows, block by block: `map_rows`.

Reads from : blocks.reducing
Hands to   : users, linalg and the estimators
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.planning import in_earnest
from outcore.blocks.reducing import run_pass
from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, Statistic
from outcore.dtypes import as_dtype
from outcore.errors import DTypeError, ShapeError
from outcore.settings import MemoryLike, ProgressLike, adopt, for_tasks
from outcore.storage.npy import refuse_objects

#: The function is tried on so many rows to see what it returns; on fewer if they are long.
PROBE_ROWS, PROBE_BYTES = 16, 1 << 20


def map_rows(
    func: Callable[[NDArray[Any]], Any],
    X: Any,
    *,
    out: Any = None,
    dtype: DTypeLike | None = None,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
) -> Any:
    """Apply a function to all rows, a block at a time, side by side.

    Parameters
    ----------
    func : callable
        ``func(block)`` gets an ndarray of shape (m, ...), not to be written to, and returns m rows: an array
        of shape (m, ...). It must treat each row by itself: which rows make up a block is not its business.
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, ...)
        What `outcore.asarray` takes.
    out : ndarray, Array, SharedArray or address, optional
        Takes the result: an array of shape (n, ...), or the name of an array on disk to create, which appears
        when all is done. By default a new ndarray. It may be `X` itself, on threads; rows are then replaced
        block by block, and those of an error or Ctrl-C stay as far as they were.
    dtype : dtype, optional
        Of a new result; by default what `func` returns.
    executor, workers, memory, progress
        As for `outcore.reduce_rows`.

    Returns
    -------
    ndarray or Array of shape (n, ...)
        `out`, or the new one.

    Raises
    ------
    ShapeError
        `func` returns another number of rows than it got, or rows of changing shape; or `out` does not fit.
    DTypeError
        `func` returns objects, or values that the dtype of the first ones, or `dtype`, cannot hold.
    OptionError
        `out` overlaps `X` without being `X`, or is `X` and the workers are no threads.
    MemoryBudgetError
        The result and the blocks do not fit in the budget.
    Exception
        Whatever `func` raises, with the rows it got as a note; blocks not yet begun are dropped.

    Notes
    -----
    Memory: for each worker a block of rows (some 4 MB) and its result, and the whole result unless `out` is
    given. What `func` needs on its way, temporaries as large as a block, is not known and not counted.

    `func` is called on a few rows first to see what it returns, and once more for rows whose worker died.

    Examples
    --------
    >>> x = oc.asarray(np.arange(6).reshape(3, 2))
    >>> oc.map_rows(lambda rows: rows.sum(axis=1), x)
    array([1, 5, 9])
    """
    source = asarray(X)
    if not source.shape:
        raise ShapeError(
            f"{source.address} has no dimensions; map_rows needs rows.\nUse np.atleast_1d on it first."
        )
    kind = None if dtype is None else as_dtype(dtype)
    tried = _try(func, source, memory)
    if kind is not None:
        _check_dtype(tried, kind)
    mapped = Mapped(func, out, tried.shape[1:], tried.dtype if kind is None else kind)
    (result,) = run_pass(
        f"map_rows({getattr(func, '__name__', type(func).__name__)})",
        source,
        [mapped],
        executor=executor,
        workers=workers,
        memory=memory,
        progress=progress,
    )
    return result


@dataclass(frozen=True, eq=False)
class Mapped(Statistic[None, Any]):
    """Puts ``func(rows)`` into a target; its state is empty.

    Attributes
    ----------
    func : callable
    out : object
        As the user gave it.
    row_shape, dtype
        Of a row of the result.
    target : RowTarget, optional
        Set by `bind`.
    """

    func: Callable[[NDArray[Any]], Any]
    out: Any
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    target: RowTarget | None = None

    def bind(self, rows: Rows, share: Share) -> Mapped:
        """Make the target."""
        target = share.target(self.out, self.row_shape, self.dtype)
        return replace(self, out=None, target=target)

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the result of a block; and half as much: some workers' allocators keep the one before."""
        row = prod(self.row_shape) * self.dtype.itemsize
        return Cost(block_bytes=block_rows * row * 3 // 2, values=False, blas=False)

    def zero(self) -> None:
        """Return nothing."""

    def update(self, state: None, block: Block) -> None:
        """Write the result of the block."""
        assert self.target is not None
        values = _checked(self.func(block.rows), block.start, len(block), self.row_shape)
        _check_dtype(values, self.dtype)
        self.target.write(block.start, values)

    def merge(self, state: None, other: None) -> None:
        """Return nothing."""

    def finalize(self, state: None) -> Any:
        """Return all rows."""
        assert self.target is not None
        return self.target.whole()


def _try(func: Callable[[NDArray[Any]], Any], source: Array, memory: MemoryLike | None) -> NDArray[Any]:
    """Call the function on the first rows."""
    row_bytes = prod(source.shape[1:]) * source.dtype.itemsize
    n_rows = min(PROBE_ROWS, len(source), max(1, PROBE_BYTES // max(row_bytes, 1)))
    rows = source.take(np.arange(n_rows), memory=memory)
    rows.flags.writeable = False
    try:
        values = copy_context().run(_call, func, rows)
    except Exception as error:  # whatever the user's function raises; it goes on with a note
        error.add_note(f"while trying func on {n_rows} rows of {source.address}, to see what it returns")
        raise
    return _checked(values, 0, n_rows, None)


def _call(func: Callable[[NDArray[Any]], Any], rows: NDArray[Any]) -> Any:
    """Call it as a task would; what it begins is not what a plan is wanted of."""
    adopt(for_tasks())
    with in_earnest():
        return func(rows)


def _checked(values: Any, start: int, n_rows: int, row_shape: tuple[int, ...] | None) -> NDArray[Any]:
    result = np.asarray(values)
    where = f"rows {start} to {start + n_rows - 1}" if n_rows else "no rows"
    if result.shape[:1] != (n_rows,):
        raise ShapeError(
            f"func returned an array of shape {result.shape} for {where}, which are {n_rows}.\n"
            f"Return one row for each row: shape ({n_rows}, ...); for sums over rows use oc.reduce_rows."
        )
    if row_shape is not None and result.shape[1:] != row_shape:
        raise ShapeError(
            f"func returned rows of shape {result.shape[1:]} for {where}; the first ones had shape "
            f"{row_shape}.\n"
            "Return rows of one shape for every block."
        )
    refuse_objects(result.dtype, "what func returns")
    return result


def _check_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> None:
    # To NumPy, shorter text is of the same kind; what it cuts off is lost.
    cut = dtype.kind in "SU" and values.dtype.kind == dtype.kind and values.dtype.itemsize > dtype.itemsize
    if cut or not np.can_cast(values.dtype, dtype, "same_kind"):
        raise DTypeError(
            f"func returned values of dtype {values.dtype}; the result has dtype {dtype}, which cannot hold "
            "them.\n"
            f"Give dtype={values.dtype.name!r}, or let func return values of one dtype for every block."
        )
