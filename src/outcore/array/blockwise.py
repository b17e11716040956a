"""Rows in blocks for callers that keep the books themselves: no budget is asked, buffers are theirs.

Reads from : array.handle
Hands to   : blocks.source, loader

Callers read the blocks of one array side by side in many threads: what they need is announced ahead and read
in the calling thread, where `Array.windows` would start threads of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.handle import Array
from outcore.array.reading import BLOCK_BYTES, pick, read_windows
from outcore.layout import Indices
from outcore.storage.file import DIRECT_BYTES


def in_memory(array: Array) -> NDArray[Any] | None:
    """Return the rows themselves, not a copy, where they are in this process's memory; else None."""
    view = array._storage.view()
    return view if view is None else pick(view, array._fields)


def reading_bytes(array: Array, n_rows: int) -> int:
    """Count what `read_rows` needs besides the buffer that it fills."""
    storage = array._storage
    if not array._fields:
        return storage.read_rows_bytes(n_rows)
    # Fields are taken out of whole rows, some of them at a time.
    rows = min(n_rows, max(1, BLOCK_BYTES // max(storage.row_bytes, 1)))
    return storage.extra_bytes(1, rows) + rows * storage.row_bytes


def decoded_rows(array: Array) -> int:
    """Return how many rows have to be decoded for one of them."""
    return array._storage.decoded_rows


def read_rows(array: Array, start: int, out: NDArray[Any]) -> None:
    """Fill `out`, C-contiguous and of the array's dtype, with the rows from `start` on."""
    if array._fields:
        read_windows(array._storage, array._fields, np.array([start], np.int64), len(out), out[None])
    else:
        array._storage.read_rows(start, out)


def gather(array: Array, starts: Indices, length: int, out: NDArray[Any]) -> None:
    """Fill ``out[i]`` with the rows ``[starts[i], starts[i] + length)``, which the caller has checked.

    As `Array.windows`, threads of its own included.
    """
    read_windows(array._storage, array._fields, starts, length, out)


def gather_bytes(array: Array, n_windows: int, length: int) -> int:
    """Count what `gather` needs besides `out`, at most."""
    storage = array._storage
    if not array._fields:
        return storage.extra_bytes(n_windows, length)
    windows = max(1, min(n_windows, BLOCK_BYTES // max(length * storage.row_bytes, 1)))
    return storage.extra_bytes(windows, length) + windows * length * storage.row_bytes


def reads_direct(array: Array) -> bool:
    """Whether `read_direct` can read the array: its rows lie in a file as they are."""
    return not array._fields and array._storage.reads_direct


def direct_room_bytes(array: Array, n_rows: int) -> int:
    """Count the bytes that `read_direct` wants for `n_rows` rows: it reads a little more on both sides."""
    return n_rows * array._storage.row_bytes + 3 * DIRECT_BYTES


def read_direct(array: Array, start: int, n_rows: int, room: NDArray[np.uint8]) -> NDArray[Any]:
    """Read rows past the page cache, to where they come to lie in `room`."""
    return array._storage.read_direct(start, n_rows, room)


def is_cached(array: Array, start: int, n_rows: int) -> bool:
    """Whether rows seem to be in the page cache; False where nobody can tell."""
    return array._storage.is_cached(start, n_rows)


def announce(array: Array, start: int, stop: int) -> None:
    """Have the device begin to read the rows ``[start, stop)``."""
    array._storage.announce(start, stop - start)
