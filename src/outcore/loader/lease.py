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


class _Memory(np.ndarray[Any, Any]):
    """Memory that was lent; a class of its own, see `_piece`."""


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
        self._free: dict[int, deque[_Memory]] = {}
        # The references live here; each takes itself out. Dicts and deques change in one step of the
        # interpreter: the callbacks run in whichever thread drops an array, and must not wait for a lock.
        self._lent: dict[int, weakref.ref[NDArray[Any]]] = {}

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
            memory = _piece(n_bytes)
        batch: NDArray[Any] = np.ndarray(shape, kind, buffer=memory)
        lent = self._lent

        def come_back(reference: weakref.ref[NDArray[Any]]) -> None:
            del lent[id(reference)]
            free.append(memory)

        reference = weakref.ref(batch, come_back)
        lent[id(reference)] = reference
        return batch


def _piece(n_bytes: int) -> _Memory:
    # NumPy lets a view of a view refer to what both are views of: past the batch, which could be gone while
    # the view lives. It stops at an array of another class than the view's, so the batch's base is one; and
    # the base of that is another, or the batch itself would refer past the first.
    return mapped((n_bytes,)).view(_Memory).view(_Memory)
