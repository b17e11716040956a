"""Memory for what is used all the time: states and buffers, on large pages where the system has them.

Hands to   : blocks.statistic (buffers), linalg and the mixture (states)

Guarantees
- Filled with zeros; memory is taken when it is first touched.
- Goes back to the system with the last array that refers to it. What comes from the heap may be kept there:
  one state after another would then take more than was planned.

Large pages make sums into a matrix of some megabytes a tenth faster: BLAS walks through it at each block, and
with pages of 4 kB the processor looks up more addresses than it can remember.
"""

from __future__ import annotations

import mmap
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Smaller arrays come from the heap: a mapping takes whole pages, and a call of the system.
MAPPED_BYTES = 1 << 18
#: Of a large page, on the machines that have them. Mappings that begin between two of them start with small
#: pages.
LARGE_PAGE_BYTES = 2 << 20


def mapped(shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Return an array of zeros.

    Parts of it have it as their base, whatever memory it came from.

    Examples
    --------
    >>> mapped((3, 500, 500), np.float64).nbytes
    6000000
    """
    kind = np.dtype(dtype)
    n_bytes = prod(shape) * kind.itemsize
    if n_bytes < MAPPED_BYTES:
        return np.zeros(shape, kind)
    private: dict[str, Any] = {}
    if hasattr(mmap, "MAP_PRIVATE"):  # not on Windows
        private["flags"] = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    if n_bytes < LARGE_PAGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.ndarray(shape, kind, buffer=mmap.mmap(-1, n_bytes, **private))
    # Room to begin at a large page; what is left over is never touched and takes no memory.
    memory = mmap.mmap(-1, n_bytes + LARGE_PAGE_BYTES, **private)
    begin = -np.frombuffer(memory, np.uint8).ctypes.data % LARGE_PAGE_BYTES
    # Not the end either: a large page that is touched at its first byte is taken whole.
    memory.madvise(mmap.MADV_HUGEPAGE, begin, n_bytes - n_bytes % LARGE_PAGE_BYTES)
    return np.ndarray(shape, kind, buffer=memory, offset=begin)
