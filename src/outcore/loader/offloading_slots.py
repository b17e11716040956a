"""Shared memory for the rows of batches, used again from batch to batch.

Reads from : shared.sharing
Hands to   : loader.offloading, for rows on their way to a worker; loader.offloading_task, for results

Guarantees
- After the first batches no segment is made, no descriptor opened, and no page touched for the first time.
- There are never more segments than arrays were out at the same time; none is more than twice as large as
  what it was asked for, but for a page.
- An array that is not given back is freed with its last reference, as any other.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.shared.segment import under
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import checked, shared_empty

_PAGE_BYTES = 4096


class Slots:
    """Arrays in shared memory, any number of threads may ask for them.

    Examples
    --------
    >>> slots = Slots()
    >>> rows = slots.empty((100, 30), "f4")
    >>> place = rows.ctypes.data
    >>> slots.release([rows])
    >>> slots.empty((90, 30), "f4").ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        # A garbage collection inside may give something back.
        self._lock = threading.RLock()
        #: Whole segments; the one that came back last is the last.
        self._free: list[SharedArray] = []
        self._lent: weakref.WeakValueDictionary[bytes, SharedArray] = weakref.WeakValueDictionary()
        #: Most that were out at the same time.
        self._most = 0
        self._closed = False

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array whose values are anything; a `SharedArray`, unless it has no bytes.

        Raises
        ------
        MemoryBudgetError, HandleLimitError, DTypeError, ShapeError
            As `outcore.shared_empty`.
        """
        kind, sizes = checked(shape, dtype)
        n_bytes = prod(sizes) * kind.itemsize
        if not n_bytes:
            return np.empty(sizes, kind)
        found: NDArray[Any] = self.bytes(n_bytes).view(kind).reshape(sizes)
        return found

    def bytes(self, n_bytes: int) -> SharedArray:
        """Return so many bytes, 1 or more."""
        with self._lock:
            whole = self._find(n_bytes)
            if whole is None:
                self._make_room()
                whole = shared_empty((-(-n_bytes // _PAGE_BYTES) * _PAGE_BYTES,), np.uint8)
            self._lent[_nonce(whole)] = whole
            self._most = max(self._most, len(self._lent))
        found: SharedArray = whole[:n_bytes]
        return found

    def release(self, arrays: Iterable[Any]) -> None:
        """Take arrays back, whose memory will be given to others; arrays from elsewhere are let be."""
        if os.getpid() != self._pid:  # a forked child, in which the lock may be held forever
            return
        for array in arrays:
            with self._lock:
                whole = self._lent.pop(_nonce(array), None)
                if whole is not None and not self._closed:
                    self._free.append(whole)

    def close(self) -> None:
        """Free what is not out, and what comes back later."""
        if os.getpid() == self._pid:
            with self._lock:
                self._closed = True
                self._free.clear()

    def _find(self, n_bytes: int) -> SharedArray | None:
        fitting = [
            place
            for place, whole in enumerate(self._free)
            if n_bytes <= whole.nbytes <= 2 * n_bytes + _PAGE_BYTES
        ]
        if not fitting:
            return None
        # The smallest; of equal ones that which came back last, part of which is still in the cache.
        return self._free.pop(min(fitting, key=lambda place: (self._free[place].nbytes, -place)))

    def _make_room(self) -> None:
        """Free what was not used for longest, where one more would be more than ever were out."""
        while self._free and len(self._free) + len(self._lent) >= max(self._most, len(self._lent) + 1):
            del self._free[0]


def _nonce(array: Any) -> bytes:
    segment = under(array)
    return b"" if segment is None else segment.nonce
