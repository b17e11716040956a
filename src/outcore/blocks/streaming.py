"""Row blocks: an array in pieces that fit the budget and the cache.

Reads from : array.Array
Hands to   : conversion, statistics

Guarantees
- Blocks come in the order of their rows, and each row is in exactly one block.
- Memory is that of one block and of what the caller says it needs for each row; it is checked before
  the first row is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore import budget
from outcore.array.handle import Array
from outcore.settings import MemoryLike

#: Larger blocks are no faster to read, and smaller ones are still warm in the cache when they are used.
BLOCK_BYTES = 16 << 20


def block_rows(
    array: Array,
    *,
    what: str,
    row_extra_bytes: int = 0,
    memory: MemoryLike | None = None,
    block_bytes: int = BLOCK_BYTES,
    multiple: int = 1,
) -> int:
    """Choose how many rows to read at a time.

    Parameters
    ----------
    array : Array
        At least one dimension.
    what : str
        The operation, for the error.
    row_extra_bytes : int
        Bytes that the caller needs for each row of the block, besides the block.
    memory : int, float or str, optional
        Budget; see `outcore.options`.
    block_bytes : int
        A block is not made larger than this, but for a single row that is.
    multiple : int
        Blocks have a multiple of so many rows where that many fit: a caller that works in pieces of
        them then sees the same pieces under every budget.

    Raises
    ------
    MemoryBudgetError
        A single row does not fit.
    """
    row_bytes = prod(array.shape[1:]) * array.dtype.itemsize
    # Reading may pass rows through a buffer as large as the block (a field of a structured array).
    each = 2 * row_bytes + row_extra_bytes
    cure = "One row is the least that can be read at a time."
    limit = budget.require(
        what, {"one row": row_bytes, "its working memory": each - row_bytes}, memory, cure=cure
    )
    fitting = min(block_bytes // max(row_bytes, 1), limit // max(each, 1))
    if fitting > multiple:
        fitting -= fitting % multiple
    return max(1, min(fitting, len(array)))


def row_blocks(
    array: Array,
    *,
    what: str = "reading in blocks",
    row_extra_bytes: int = 0,
    memory: MemoryLike | None = None,
    block_bytes: int = BLOCK_BYTES,
    multiple: int = 1,
) -> Iterator[tuple[int, NDArray[Any]]]:
    r"""Read all rows of `array`, a block at a time.

    Parameters
    ----------
    array, what, row_extra_bytes, memory, block_bytes, multiple
        As for `block_rows`.

    Yields
    ------
    start : int
        The first row of the block.
    block : ndarray of shape (n, \*array.shape[1:])
        Valid until the next one is asked for: the same memory is filled again.

    Raises
    ------
    MemoryBudgetError
        Before anything is read.

    Examples
    --------
    >>> x = oc.asarray(np.arange(6).reshape(3, 2))
    >>> [(start, block.tolist()) for start, block in row_blocks(x, block_bytes=32)]
    [(0, [[0, 1], [2, 3]]), (2, [[4, 5]])]
    """
    step = block_rows(
        array,
        what=what,
        row_extra_bytes=row_extra_bytes,
        memory=memory,
        block_bytes=block_bytes,
        multiple=multiple,
    )
    n_rows = len(array)
    if n_rows == 0:
        return
    # Zeros: not every reader touches the holes between fields, and blocks go to files.
    buffer = np.zeros((1, step, *array.shape[1:]), array.dtype)
    for start in range(0, n_rows, step):
        n = min(step, n_rows - start)
        yield start, array.windows([start], n, out=buffer[:, :n])[0]
