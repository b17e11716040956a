"""The three readers that the demo compares, each run in a process of its own.

Reads from : an array file
Hands to   : demo.windows, one JSON object a line on standard output

Only reading is timed. The results of a batch go into one buffer that is filled again and again, and into a
checksum: a reader that delivers other bytes is found out.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.demo.children import PROGRESS

SEED = 20130101

Fill = Callable[[NDArray[np.int64], int, NDArray[Any]], object]


def with_outcore(address: str, memory: int) -> tuple[Any, Fill]:
    """Open with outcore: all windows of a batch in one call."""
    from outcore.array.opening import open_array

    array = open_array(address)
    return array, lambda starts, length, out: array.windows(starts, length, out=out, memory=memory)


def with_memmap(address: str, memory: int) -> tuple[Any, Fill]:
    """Open as a memory map: a slice for each window."""
    rows = np.load(address, mmap_mode="r")

    def fill(starts: NDArray[np.int64], length: int, out: NDArray[Any]) -> None:
        for slot, start in enumerate(starts):
            out[slot] = rows[start : start + length]

    return rows, fill


def with_h5py(address: str, memory: int) -> tuple[Any, Fill]:
    """Open with h5py: a read straight into the buffer for each window, its fastest way."""
    import h5py

    path, _, name = address.partition("::")
    dataset = h5py.File(path, "r")[name]

    def fill(starts: NDArray[np.int64], length: int, out: NDArray[Any]) -> None:
        for slot, start in enumerate(starts):
            dataset.read_direct(out, np.s_[start : start + length], np.s_[slot])

    return dataset, fill


#: The names are those of `outcore.demo.windows`. A library is loaded only by the process that uses it.
OPENERS = {"outcore": with_outcore, "np.memmap": with_memmap, "h5py": with_h5py}


def read(reader: str, address: str, windows: int, length: int, memory: int) -> None:
    """Read random windows and print progress, then time and checksum."""
    array, fill = OPENERS[reader](address, memory)
    starts = np.random.default_rng(SEED).integers(0, len(array) - length + 1, windows)
    window_bytes = length * array.shape[1] * array.dtype.itemsize
    # Half of the budget for the result, as a program would that does something with it.
    batch = min(max(1, memory // 2 // window_bytes), windows)
    buffer = np.empty((batch, length, array.shape[1]), array.dtype)
    seconds, checksum = 0.0, 0
    for low in range(0, windows, batch):
        part = starts[low : low + batch]
        out = buffer[: len(part)]
        start_s = time.perf_counter()
        fill(part, length, out)
        seconds += time.perf_counter() - start_s
        checksum = zlib.crc32(out.data, checksum)
        print(json.dumps({PROGRESS: len(part)}), flush=True)
    print(
        json.dumps({"seconds": seconds, "checksum": checksum, "nbytes": windows * window_bytes}), flush=True
    )


if __name__ == "__main__":
    read(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
