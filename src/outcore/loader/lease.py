"""Memory for batches, used again when nothing refers to it any more.

Hands to   : loader.making

Guarantees
- An array is nobody else's, and writable, for as long as it or anything made from its memory lives: a view, a
  tensor of PyTorch, an array of JAX that took the memory over without a copy.
- Nothing has to be given back: memory comes back when the last reference goes.
- At most `keep` pieces of one size wait to be used again.

Fresh memory costs a page fault for every 4 kB, which takes longer than filling it: a loader of batches of
1 MB is a quarter faster with memory that is used again (docs/benchmarks.md). A ring of buffers that comes
round after so many batches was rejected: whoever keeps a batch, or a framework that aliases it, would see it
change.
"""

from __future__ import annotations

import weakref
from collections import deque
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.blocks.pages import mapped

#: Smaller arrays come from the heap, which is as fast.
LEASED_BYTES = 64 << 10


class Leases:
    """Hands out arrays; see the guarantees above. Any number of threads may ask.

    Examples
    --------
    >>> leases = Leases(keep=2)
    >>> batch = leases.empty((1000, 100), np.float32)
    >>> place, rows = batch.ctypes.data, batch[10:20]
    >>> del batch
    >>> leases.empty((1000, 100), np.float32).ctypes.data == place  # the view is alive
    False
    >>> del rows
    >>> leases.empty((1000, 100), np.float32).ctypes.data == place
    True
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._free: dict[int, deque[NDArray[np.uint8]]] = {}
        # The references live here; each takes itself out. Dicts and deques change in one step of the
        # interpreter: the callbacks run in whichever thread drops an array, and must not wait for a lock.
        self._lent: dict[int, weakref.ref[memoryview]] = {}

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array whose values are anything."""
        kind = np.dtype(dtype)
        n_bytes = prod(shape) * kind.itemsize
        if n_bytes < LEASED_BYTES:
            return np.empty(shape, kind)
        free = self._free.setdefault(n_bytes, deque(maxlen=self._keep))
        try:
            memory = free.pop()
        except IndexError:
            memory = mapped((n_bytes,))
        # The array refers to this memoryview, and so does whatever is made from the array.
        lease = memory.data
        lent = self._lent

        def come_back(reference: weakref.ref[memoryview]) -> None:
            del lent[id(reference)]
            free.append(memory)

        reference = weakref.ref(lease, come_back)
        lent[id(reference)] = reference
        return np.ndarray(shape, kind, buffer=lease)
