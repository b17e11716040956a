"""From storage to results: fields, cut rows, and the buffers they pass through.

Reads from : storage.protocol.Storage
Hands to   : array.handle, array.writing

Whole rows of plain dtype go straight into the result. Where fields are selected or columns cut
away, rows pass through a buffer of at most `BLOCK_BYTES` or one row, whichever is larger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore import budget
from outcore.array.indexing import Basic, Selection
from outcore.errors import FieldError
from outcore.layout import Indices, check_out
from outcore.settings import MemoryLike, current
from outcore.storage.protocol import Storage

#: Rows that pass through a buffer, at a time.
BLOCK_BYTES = 16 << 20

#: Names applied one after the other: ``X["a"]["b"]`` is ("a", "b"); a tuple selects several.
Fields = tuple[str | tuple[str, ...], ...]


def field_layout(
    dtype: np.dtype[Any], inner: tuple[int, ...], fields: Fields
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the dtype and row shape that `fields` of rows of `dtype` and `inner` have.

    Raises
    ------
    FieldError
        No such field; the ones there are listed.
    """
    if not fields:
        return dtype, inner
    probe = pick(np.empty((0, *inner), dtype), fields)
    return probe.dtype, probe.shape[1:]


def pick(block: NDArray[Any], fields: Fields) -> NDArray[Any]:
    """View the given fields of a structured block."""
    for field in fields:
        names = block.dtype.names or ()
        missing = [name for name in ([field] if isinstance(field, str) else field) if name not in names]
        if missing:
            raise FieldError(
                f"no field {missing[0]!r} in dtype {block.dtype}.\n"
                + (
                    f"The fields are: {', '.join(names)}."
                    if names
                    else "It is not a structured array: index it by position."
                )
            )
        block = block[field if isinstance(field, str) else list(field)]
    return block


@dataclass(frozen=True)
class Request:
    """Rows to read, and the shape they take in the result.

    Attributes
    ----------
    starts : ndarray of int64 or range, shape (n_windows,)
        Checked. A slice is one long window, an array of indices is many windows of one row.
    length : int
        Rows in each window.
    lead : tuple of int
        The leading axes of the result, which stand for rows: as many values as rows.
    inner : tuple of int
        The other axes of the result.
    rest : tuple of int or slice
        Basic indices of the axes behind the first, or () for whole rows.
    """

    starts: Indices | range
    length: int
    lead: tuple[int, ...]
    inner: tuple[int, ...]
    rest: tuple[Basic, ...] = ()

    @classmethod
    def of(cls, selection: Selection, shape: tuple[int, ...]) -> Request:
        """Make the request for an index expression on an array of `shape`."""
        rows = selection.rows
        starts: Indices | range
        if isinstance(rows, slice):
            starts, length = range(rows.start, rows.start + 1), rows.stop - rows.start
        else:
            starts, length = rows, 1
        inner = np.empty((0, *shape[1:]), np.uint8)[(slice(None), *selection.rest)].shape[1:]
        return cls(
            starts, length, selection.lead, inner, () if selection.whole_rows(shape) else selection.rest
        )


def fetch(
    storage: Storage,
    fields: Fields,
    dtype: np.dtype[Any],
    request: Request,
    *,
    what: str,
    out: NDArray[Any] | None = None,
    memory: MemoryLike | None = None,
) -> NDArray[Any]:
    """Check `out` and the budget, then read.

    Raises
    ------
    ShapeError
        `out` does not fit.
    MemoryBudgetError
        The result and the buffers do not fit in the budget; nothing was read.
    """
    starts, length = request.starts, request.length
    shape = (*request.lead, *request.inner)
    if out is not None:
        check_out(out, shape, dtype)
    direct = not fields and not request.rest and (out is None or out.flags.c_contiguous)
    parts = {} if out is not None else {"result": prod(shape) * dtype.itemsize}
    parts["buffers"] = _buffer_bytes(storage, len(starts), length, direct=direct)
    check_budget(what, parts, memory)
    result = np.empty(shape, dtype) if out is None else out
    if isinstance(starts, range):
        starts = np.arange(starts.start, starts.stop, starts.step, dtype=np.int64)
    if result.size:
        target = _by_window(result, len(request.lead), len(starts), length)
        read_windows(storage, fields, starts, length, target, request.rest)
    return result


def check_budget(what: str, parts: dict[str, int], memory: MemoryLike | None = None) -> None:
    """Ask the budget; not for a small read under the default one, which costs less than asking."""
    memory = current().memory if memory is None else memory
    needed = sum(parts.values())
    if memory is not None or (needed > BLOCK_BYTES and not budget.surely_fits(needed)):
        budget.require(what, parts, memory, cure="Read it in parts.")


def _by_window(result: NDArray[Any], lead: int, n_windows: int, length: int) -> NDArray[Any]:
    """View `result`, whose first `lead` axes are rows, as (window, row, ...) without a copy."""
    if result.flags.c_contiguous:
        return result.reshape(n_windows, length, *result.shape[lead:])
    # Only `take` and `windows` have an `out` that may have gaps: (n, ...) and (n, length, ...).
    return result[:, None] if lead == 1 else result


def _buffer_bytes(storage: Storage, n_windows: int, length: int, *, direct: bool) -> int:
    """Bytes that `read_windows` needs besides the result, at most."""
    if direct:
        return storage.extra_bytes(n_windows, length)
    step, step_rows = _block_size(length, storage.row_bytes)
    step = min(step, n_windows)
    rows = step * step_rows
    # `read_columns` may hold whole rows and the cut ones, and the number of each row.
    return storage.extra_bytes(step, step_rows) + rows * (2 * storage.row_bytes + 48)


def read_windows(
    storage: Storage,
    fields: Fields,
    starts: Indices,
    length: int,
    target: NDArray[Any],
    rest: tuple[Basic, ...] = (),
) -> None:
    """Fill ``target[i]`` with the rows ``[starts[i], starts[i] + length)``, cut by `fields` and `rest`.

    Parameters
    ----------
    target : ndarray of shape (n_windows, length, ...)
        Any strides.
    rest : tuple of int or slice
        Basic indices of the axes behind the first, or () for whole rows.
    """
    if not fields and not rest and target.flags.c_contiguous:
        storage.read_windows(starts, length, target)
        return
    low, high, rest = _narrow(storage, fields, rest)
    for windows, rows, begins, count in _blocks(starts, length, storage.row_bytes):
        if high is None:
            buffer = np.empty((len(begins), count, *storage.shape[1:]), storage.dtype)
            storage.read_windows(begins, count, buffer)
        else:
            buffer = np.empty((len(begins), count, high - low, *storage.shape[2:]), storage.dtype)
            storage.read_columns(begins, count, low, high, buffer)
        target[windows, rows] = pick(buffer, fields)[(slice(None), slice(None), *rest)]


def _narrow(
    storage: Storage, fields: Fields, rest: tuple[Basic, ...]
) -> tuple[int, int | None, tuple[Basic, ...]]:
    """Find the columns that are needed at all, and what is left to cut from them."""
    if fields or not rest or not storage.narrows or len(storage.shape) < 2:
        return 0, None, rest
    first = rest[0]
    wanted = range(storage.shape[1])[first]
    if isinstance(wanted, int):
        return wanted, wanted + 1, (0, *rest[1:])
    if len(wanted) == 0:
        return 0, None, rest
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1]) + 1
    step = wanted.step
    inside = slice(0, None, step) if step > 0 else slice(None, None, step)
    return low, high, (inside, *rest[1:])


def _block_size(length: int, row_bytes: int) -> tuple[int, int]:
    """Choose how many windows, and how many rows of each, make up a block."""
    step_rows = max(1, min(length, BLOCK_BYTES // max(row_bytes, 1)))
    step = max(1, BLOCK_BYTES // max(step_rows * row_bytes, 1)) if step_rows == length else 1
    return step, step_rows


def _blocks(starts: Indices, length: int, row_bytes: int) -> Iterator[tuple[slice, slice, Indices, int]]:
    """Cut windows into blocks of at most `BLOCK_BYTES`: (windows, rows of each, starts, how many rows)."""
    step, step_rows = _block_size(length, row_bytes)
    for first in range(0, len(starts), step):
        windows = slice(first, min(first + step, len(starts)))
        for row in range(0, length, step_rows):
            count = min(step_rows, length - row)
            yield windows, slice(row, row + count), starts[windows] + row, count
