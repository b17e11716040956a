"""Rows that are in this process's memory already: plain ndarrays.

Reads from : an ndarray
Hands to   : array.opening (oc.asarray of something without an address, mode "c")
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.layout import Indices
from outcore.storage.copying import COPY_BYTES, THREADS, as_bytes, copy_ranges
from outcore.storage.protocol import Storage


class MemoryStorage(Storage):
    """An ndarray, read like every other storage; the array is referred to, not copied."""

    def __init__(self, array: NDArray[Any], *, writable: bool = False, what: str = "memory") -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.writable = writable and array.flags.writeable
        self._what = what

    def read_windows(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        """Copy rows; whole contiguous rows go through several threads."""
        rows = np.atleast_1d(self.array)
        if out.nbytes == 0:
            return
        if not rows.flags.c_contiguous:
            for slot in range(len(starts)):
                start = int(starts[slot])
                out[slot] = rows[start : start + length].reshape(out.shape[1:])
            return
        source = as_bytes(rows, 1, rows.nbytes)[0]
        copy_ranges(source, 0, self.row_bytes, starts, as_bytes(out, len(starts), length * self.row_bytes))

    def extra_bytes(self, n_windows: int, length: int) -> int:
        """Count positions, and the piece that each thread copies."""
        return 24 * n_windows + min(THREADS * COPY_BYTES, n_windows * length * self.row_bytes)

    def write_rows(self, start: int, block: NDArray[Any]) -> None:
        """Assign rows."""
        if not self.writable:
            super().write_rows(start, block)
        np.atleast_1d(self.array)[start : start + len(block)] = block

    def view(self) -> NDArray[Any]:
        """Return the array itself."""
        return self.array

    def info(self) -> dict[str, Any]:
        """Facts for ``X.info``."""
        return {"format": self._what, "reader": "copy"}
