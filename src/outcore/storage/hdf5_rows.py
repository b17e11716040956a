"""Rows read and written by h5py: for what cannot be done without the HDF5 library, and to write in place.

Reads from : an h5py.Dataset
Hands to   : storage.hdf5 (`H5pyStorage`), storage.chunked_write (`read_rows`, `write_rows`)

Guarantees
- Windows are read in the order of the file, and overlapping ones together, so that HDF5's chunk cache
  holds what is needed twice.
- The file is opened when rows are first needed, in each process anew: a handle that a forked child
  inherited is neither used nor closed (closing it would release the parent's lock).
"""

from __future__ import annotations

import os
from math import prod
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from outcore.errors import FormatError, OutcoreError, ReadOnlyError
from outcore.layout import Indices
from outcore.storage.file import PosixFile, stale, verify
from outcore.storage.hdf5_dataset import Layout, check_unchanged, examine
from outcore.storage.hdf5_file import disk_errors, open_h5
from outcore.storage.protocol import Spec, Storage

#: Overlapping windows are read together up to this size.
SCRATCH_BYTES = 8 << 20
#: HDF5's chunk cache: two bands of chunks, within these bounds.
MIN_CACHE_BYTES = 8 << 20
MAX_CACHE_BYTES = 64 << 20

_INHERITED: list[Any] = []


class H5pyStorage(Storage):
    """A dataset read, and in mode "r+" written, by h5py."""

    def __init__(self, spec: Spec, file: PosixFile, layout: Layout, reason: str) -> None:
        self.shape = spec.shape
        self.dtype = spec.dtype
        self.writable = spec.mode == "r+"
        self._spec = spec
        self._file = file
        self._layout = layout
        self._reason = reason
        self._handle: tuple[int, Any, Any] | None = None
        self.band_rows = self.decoded_rows = layout.chunks[0] if layout.chunks else 1

    def _dataset(self) -> Any:
        # Two threads may open it at the same moment: one of the two handles is dropped.
        if self._handle is None or self._handle[0] != os.getpid():
            if self._handle is not None:
                _INHERITED.append(self._handle)
            verify(self._file, self._spec.fingerprint, 0)
            cache = cache_bytes(self._layout.chunks, self.shape, self.dtype)
            h5 = open_h5(self._spec.path, self._spec.mode, rdcc_nbytes=cache)
            dataset = h5.get(self._spec.inner)
            if not isinstance(dataset, h5py.Dataset):
                h5.close()
                raise stale(self._spec.path, f"lost its dataset {self._spec.inner}")
            check_unchanged(self._spec, examine(dataset, self._spec.address))
            self._handle = (os.getpid(), h5, dataset)
        return self._handle[2]

    def read_windows(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        """Read windows in the order of the file."""
        dataset = self._dataset()
        try:
            read_rows(dataset, starts, length, out)
        except OSError as error:
            if isinstance(error, OutcoreError):
                raise
            verify(self._file, self._spec.fingerprint, 0)
            raise FormatError(
                f"{self._spec.address} cannot be read: {error}.\n"
                "The file is damaged: write it or copy it again."
            ) from error

    def write_rows(self, start: int, block: NDArray[Any]) -> None:
        """Write rows in place."""
        if not self.writable:
            raise ReadOnlyError(f'{self._spec.address} was opened to read.\nOpen it with mode="r+" to write.')
        dataset = self._dataset()
        with disk_errors(self._spec.path):
            write_rows(dataset, start, block)

    def extra_bytes(self, n_windows: int, length: int) -> int:
        """One scratch buffer, HDF5's chunk cache, one more chunk while it is decoded."""
        window = length * self.row_bytes
        scratch = max(SCRATCH_BYTES, window) if n_windows > 1 else 0
        chunk = prod(self._layout.chunks or ()) * self.dtype.itemsize
        return 24 * n_windows + scratch + 2 * chunk + cache_bytes(self._layout.chunks, self.shape, self.dtype)

    def info(self) -> dict[str, Any]:
        """Facts for ``X.info``."""
        facts: dict[str, Any] = {"format": "HDF5", "reader": f"h5py ({self._reason})"}
        if self._layout.chunks is not None:
            facts["format"] = "HDF5, chunked"
            facts["chunks"] = self._layout.chunks
            facts["filters"] = [f.name for f in self._layout.filters]
        return facts

    def flush(self) -> None:
        """Wait until everything written is on the device."""
        if self._handle is not None and self._handle[0] == os.getpid() and self.writable:
            with disk_errors(self._spec.path):
                self._handle[1].flush()
            self._file.sync()

    def close(self) -> None:
        """Close the file."""
        handle, self._handle = self._handle, None
        if handle is not None and handle[0] != os.getpid():
            _INHERITED.append(handle)
        elif handle is not None:
            with disk_errors(self._spec.path):
                handle[1].close()
        self._file.close()


def cache_bytes(chunks: tuple[int, ...] | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """How large a chunk cache serves rows of such chunks."""
    if chunks is None:
        return 0
    band = chunks[0] * prod(shape[1:]) * dtype.itemsize
    return min(max(2 * band, MIN_CACHE_BYTES), MAX_CACHE_BYTES)


def read_rows(dataset: Any, starts: Indices, length: int, out: NDArray[Any]) -> None:
    """Fill ``out[i]`` with the rows from ``starts[i]`` on."""
    if out.nbytes == 0:
        return
    if dataset.shape == ():
        dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, out, _memory_type(dataset))
        return
    order = np.argsort(starts, kind="stable")
    sorted_starts = starts[order].tolist()
    slots = order.tolist()
    most = max(length, SCRATCH_BYTES // max(out[0, 0].nbytes, 1))
    at = 0
    while at < len(slots):
        low = sorted_starts[at]
        high, upto = low + length, at + 1
        # Windows that overlap or touch are read together.
        while (
            upto < len(slots) and sorted_starts[upto] <= high and sorted_starts[upto] + length - low <= most
        ):
            high = sorted_starts[upto] + length
            upto += 1
        if upto == at + 1:
            _transfer(dataset, dataset.id.read, low, out[slots[at]])
        else:
            rows = np.empty((high - low, *out.shape[2:]), out.dtype)
            _transfer(dataset, dataset.id.read, low, rows)
            for i in range(at, upto):
                begin = sorted_starts[i] - low
                out[slots[i]] = rows[begin : begin + length]
        at = upto


def write_rows(dataset: Any, start: int, block: NDArray[Any]) -> None:
    """Write the rows of `block`, C-contiguous and of the dataset's dtype, from `start` on."""
    if block.nbytes == 0:
        return
    if dataset.shape == ():
        dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, block, _memory_type(dataset))
    else:
        _transfer(dataset, dataset.id.write, start, block)


def _transfer(dataset: Any, call: Any, start: int, rows: NDArray[Any]) -> None:
    # h5py's low-level calls: its indexing costs 50 microseconds a window, and copies.
    count = (len(rows), *dataset.shape[1:])
    space = dataset.id.get_space()
    space.select_hyperslab((start, *(0 for _ in count[1:])), count)
    call(h5py.h5s.create_simple(count), space, rows, _memory_type(dataset))


def _memory_type(dataset: Any) -> Any:
    # With h5py's metadata, which tells HDF5 the encoding of strings and the names of enums.
    return h5py.h5t.py_create(dataset.dtype)
