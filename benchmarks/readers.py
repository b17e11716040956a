"""The ways to read random windows that are compared: one function a contender.

Hands to : windows, full_windows

A reader opens what it needs and gives ``read(starts, out)``. It is opened anew for every batch, outside
the time taken: pages that a mapping has touched cannot be evicted while the mapping lives.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks.measure import need

Read = Callable[[NDArray[np.int64], NDArray[Any]], object]
#: Reads that tensorstore is given at a time.
IN_FLIGHT = 64


@contextlib.contextmanager
def outcore_npy(path: Path) -> Iterator[Read]:
    with oc.open(path) as array:
        yield lambda starts, out: array.windows(starts, out.shape[1], out=out)


@contextlib.contextmanager
def outcore_h5(path: Path) -> Iterator[Read]:
    with oc.open(f"{path}::/x") as array:
        yield lambda starts, out: array.windows(starts, out.shape[1], out=out)


@contextlib.contextmanager
def memmap_loop(path: Path) -> Iterator[Read]:
    yield _slices(np.load(path, mmap_mode="r"))


@contextlib.contextmanager
def h5py_read_direct(path: Path) -> Iterator[Read]:
    import h5py

    with h5py.File(path, "r") as file:
        dataset = file["x"]

        def read(starts: NDArray[np.int64], out: NDArray[Any]) -> None:
            for i, start in enumerate(starts.tolist()):
                dataset.read_direct(out, np.s_[start : start + out.shape[1]], np.s_[i])

        yield read


@contextlib.contextmanager
def preadv_loop(path: Path) -> Iterator[Read]:
    spec = np.load(path, mmap_mode="r")
    base, row_bytes = spec.offset, spec.strides[0]
    del spec
    fd = os.open(path, os.O_RDONLY)

    def read(starts: NDArray[np.int64], out: NDArray[Any]) -> None:
        for i, start in enumerate(starts.tolist()):
            buffer, offset = memoryview(out[i]).cast("B"), base + start * row_bytes
            while buffer:
                got = os.preadv(fd, [buffer], offset)
                if got == 0:
                    raise EOFError(path)
                buffer, offset = buffer[got:], offset + got

    try:
        yield read
    finally:
        os.close(fd)


@contextlib.contextmanager
def zarr_loop(path: Path) -> Iterator[Read]:
    yield _slices(need("zarr").open_array(path, mode="r"))


@contextlib.contextmanager
def tensorstore_in_flight(path: Path) -> Iterator[Read]:
    ts = need("tensorstore")
    store = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}).result()

    def read(starts: NDArray[np.int64], out: NDArray[Any]) -> None:
        waiting: deque[tuple[int, Any]] = deque()
        for i, start in enumerate(starts.tolist()):
            if len(waiting) == IN_FLIGHT:
                slot, future = waiting.popleft()
                out[slot] = future.result()
            waiting.append((i, store[start : start + out.shape[1]].read()))
        for slot, future in waiting:
            out[slot] = future.result()

    yield read


@contextlib.contextmanager
def blosc2_loop(path: Path) -> Iterator[Read]:
    yield _slices(need("blosc2").open(str(path), mode="r"))


def _slices(array: Any) -> Read:
    def read(starts: NDArray[np.int64], out: NDArray[Any]) -> None:
        for i, start in enumerate(starts.tolist()):
            out[i] = array[start : start + out.shape[1]]

    return read


#: Name in the tables -> how to open it.
READERS: dict[str, Callable[[Path], AbstractContextManager[Read]]] = {
    "outcore .npy": outcore_npy,
    "outcore HDF5": outcore_h5,
    "np.memmap loop": memmap_loop,
    "h5py read_direct": h5py_read_direct,
    "h5py, chunks (16, 2000)": h5py_read_direct,
    "os.preadv loop": preadv_loop,
    "zarr, sharded": zarr_loop,
    "tensorstore, 64 in flight": tensorstore_in_flight,
    "blosc2, LZ4": blosc2_loop,
}
