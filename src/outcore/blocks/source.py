"""Rows for a worker: views of what is in memory, or read into a buffer that is used again.

Reads from : array.Array
Hands to   : blocks.passing

Guarantees
- Pickles as the address. Rows in memory that have none are copied once, by `reachable`, into shared memory.
- What comes next is announced to the device, which reads it while this block is worked on.
- Chunks of HDF5 are decoded once while a worker goes through the rows, however blocks cut them.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array import blockwise
from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.heap import give_back
from outcore.blocks.statistic import Workspace, needs_converting
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import share

#: Chunks of more rows than fit into this are decoded anew for each block.
KEPT_BYTES = 64 << 20
#: Decoded chunks are freed in sizes that the next ones do not quite fit into. Large ones are given back to
#: the system; for smaller ones, where that would take half as long as decoding, so much is counted.
LARGE_CHUNK_BYTES, HEAP_BYTES = 1 << 20, 3 << 20


class Source:
    """The rows of an array, for workers."""

    def __init__(self, array: Array, name: str = "_rows") -> None:
        self.array = array
        self._name = name
        self._view: NDArray[Any] | None = None
        self._looked = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Source, (self.array, self._name)

    @property
    def view(self) -> NDArray[Any] | None:
        """The rows, read-only, where they are in this process's memory."""
        if not self._looked:
            rows = blockwise.in_memory(self.array)
            if rows is not None:
                rows = rows.view(np.ndarray)
                rows.flags.writeable = False
            self._view, self._looked = rows, True
        return self._view

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as stored."""
        return prod(self.array.shape[1:]) * self.array.dtype.itemsize

    @property
    def converts(self) -> bool:
        """Whether `Block.values` are a copy of the rows."""
        if self.view is not None:
            return needs_converting(self.view)
        return self.array.dtype != np.float64

    @property
    def decoded_rows(self) -> int:
        """How many rows have to be decoded for one of them; 1 where nothing is kept for the next block."""
        rows = 1 if self.view is not None else blockwise.decoded_rows(self.array)
        return rows if rows * self.row_bytes <= KEPT_BYTES else 1

    def held_bytes(self, n_rows: int) -> int:
        """Count the bytes of `n_rows` rows that are held; none for those that are in memory."""
        return 0 if self.view is not None else n_rows * self.row_bytes

    def reading_bytes(self, n_rows: int) -> int:
        """Count what reading `n_rows` rows into memory that is held takes besides."""
        return 0 if self.view is not None else blockwise.reading_bytes(self.array, n_rows)

    def buffer_bytes(self, n_rows: int) -> int:
        """Count what `read` takes for blocks of `n_rows` rows."""
        kept = self.decoded_rows - 1
        heap = HEAP_BYTES if kept else 0
        return self.held_bytes(n_rows + kept) + self.reading_bytes(n_rows + kept) + heap

    def read(self, start: int, stop: int, workspace: Workspace) -> NDArray[Any]:
        """Return the rows ``[start, stop)``, read-only: valid until the next call with the same workspace."""
        if self.view is not None:
            return self.view[start:stop]
        if self.decoded_rows > 1:
            return self._read_decoded(start, stop, workspace)
        rows = workspace.buffer(self._name, (stop - start, *self.array.shape[1:]), self.array.dtype)
        self.read_into(start, rows)
        rows.flags.writeable = False
        return rows

    def _read_decoded(self, start: int, stop: int, workspace: Workspace) -> NDArray[Any]:
        """Decode up to the end of a chunk, and keep for the next call what this one did not ask for."""
        low, high, kept = workspace.kept.get(self._name, (0, 0, None))
        if kept is None or not low <= start <= high:
            low = high = start
        if kept is None or stop > high:
            unit = self.decoded_rows
            end = min(-(-stop // unit) * unit, len(self.array))
            room = stop - start + unit - 1
            rows = workspace.buffer(self._name, (room, *self.array.shape[1:]), self.array.dtype)
            if kept is not None and high > start:
                rows[: high - start] = kept[start - low : high - low]
            # Not kept while it is changed: an error must not leave it half new.
            workspace.kept.pop(self._name, None)
            self.read_into(max(high, start), rows[max(high, start) - start : end - start])
            if unit * self.row_bytes >= LARGE_CHUNK_BYTES:
                give_back()
            low, high, kept = start, end, rows
            workspace.kept[self._name] = low, high, kept
        part = kept[start - low : stop - low]
        part.flags.writeable = False
        return part

    @property
    def reads_direct(self) -> bool:
        """Whether `read_direct` can read the rows."""
        return self.view is None and blockwise.reads_direct(self.array)

    def direct_bytes(self, n_rows: int) -> int:
        """Count what `read_direct` takes for blocks of `n_rows` rows: one is read while one is used."""
        return 2 * blockwise.direct_room_bytes(self.array, n_rows)

    def room(self, n_rows: int, workspace: Workspace, which: int) -> NDArray[np.uint8]:
        """Return one of two buffers for `read_direct`."""
        size = blockwise.direct_room_bytes(self.array, n_rows)
        return workspace.buffer(f"{self._name} {which}", (size,), np.uint8)

    def read_direct(self, start: int, stop: int, room: NDArray[np.uint8]) -> NDArray[Any]:
        """Return rows in `room`, read past the page cache where they are not in it."""
        if self.is_cached(start, stop):
            rows = room[: (stop - start) * self.row_bytes].view(self.array.dtype)
            rows = rows.reshape(stop - start, *self.array.shape[1:])
            self.read_into(start, rows)
        else:
            rows = blockwise.read_direct(self.array, start, stop - start, room)
        rows.flags.writeable = False
        return rows

    def is_cached(self, start: int, stop: int) -> bool:
        """Whether the rows ``[start, stop)`` seem to be in the page cache."""
        return blockwise.is_cached(self.array, start, stop - start)

    def read_into(self, start: int, rows: NDArray[Any]) -> None:
        """Fill `rows` with those from `start` on."""
        blockwise.read_rows(self.array, start, rows)

    def announce(self, start: int, stop: int) -> None:
        """Tell the device that the rows ``[start, stop)`` will be read soon."""
        if self.view is None and start < stop:
            blockwise.announce(self.array, start, stop)

    def needs_sharing(self) -> bool:
        """Whether other processes cannot reach the rows where they are."""
        # Also where they came from a file, with mode "c": what was changed is in this process alone.
        rows = blockwise.in_memory(self.array)
        return rows is not None and not isinstance(rows, SharedArray)

    def reachable(self) -> Source:
        """Return a source that other processes can read; rows without an address are copied once."""
        rows = blockwise.in_memory(self.array)
        if rows is None or not self.needs_sharing():
            return self
        return Source(asarray(share(rows)), self._name)
