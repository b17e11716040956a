"""Rows that lie in one piece in a file: .npy, raw binary, contiguous HDF5.

Reads from : storage.file, storage.gather
Hands to   : storage.npy, storage.raw, storage.hdf5

Two layouts. In C order a row is one run of bytes. In Fortran order a row is scattered, one value a
column, but a window of rows is one run in each column; `FortranStorage` reads those and transposes.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import ReadOnlyError
from outcore.layout import Indices
from outcore.storage.copying import as_bytes, flat_view
from outcore.storage.file import DIRECT_BYTES, PosixFile, open_file, verify
from outcore.storage.gather import gather, gather_bytes
from outcore.storage.memory import MemoryStorage
from outcore.storage.protocol import Spec, Storage

#: Scratch for transposing Fortran-ordered rows.
TRANSPOSE_BYTES = 8 << 20
#: Announced at a time.
ANNOUNCE_BYTES = 2 << 20

_NAMES = {"npy": ".npy", "raw": "raw binary", "h5flat": "HDF5, contiguous"}


class FlatStorage(Storage):
    """Rows in C order, one after the other."""

    narrows = True

    def __init__(self, spec: Spec, file: PosixFile, *, writable: bool = False) -> None:
        self.shape = spec.shape
        self.dtype = spec.dtype
        self.writable = writable
        self.offset = spec.offset
        self.file = file
        self._format = _NAMES[spec.kind]

    def read_windows(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        """Gather windows; see `outcore.storage.gather`."""
        row = self.row_bytes
        gather(self.file, self.offset, row, starts, as_bytes(out, len(starts), length * row))

    def read_columns(self, starts: Indices, length: int, low: int, high: int, out: NDArray[Any]) -> None:
        """Gather only the bytes of columns ``[low, high)``; whole rows when that reads hardly more."""
        cell = prod(self.shape[2:]) * self.dtype.itemsize
        span = (high - low) * cell
        if span * 2 > self.row_bytes:
            super().read_columns(starts, length, low, high, out)
            return
        rows = (starts[:, None] + np.arange(length)).ravel()
        gather(self.file, self.offset + low * cell, self.row_bytes, rows, as_bytes(out, len(rows), span))

    def read_rows(self, start: int, out: NDArray[Any]) -> None:
        """Read one run of bytes."""
        if out.nbytes:
            self.file.read(
                self.offset + start * self.row_bytes, [memoryview(as_bytes(out, 1, out.nbytes)[0])]
            )

    def read_rows_bytes(self, n_rows: int) -> int:
        """Nothing: bytes go straight into their places."""
        return 0

    @property
    def reads_direct(self) -> bool:  # type: ignore[override]  # a fact of the class elsewhere
        """Whether rows lie in memory as NumPy wants them, wherever a read begins."""
        step = self.dtype.alignment
        return self.file.positional and self.offset % step == 0 and self.row_bytes % step == 0

    def read_direct(self, start: int, n_rows: int, room: NDArray[np.uint8]) -> NDArray[Any]:
        """Read the run of bytes, and what is around it up to where such reads may begin and end."""
        first = self.offset + start * self.row_bytes
        low = first - first % DIRECT_BYTES
        end = first + n_rows * self.row_bytes
        room = room[-room.ctypes.data % DIRECT_BYTES :][: -(-(end - low) // DIRECT_BYTES) * DIRECT_BYTES]
        self.file.read_direct(low, flat_view(room), end - low)
        return room[first - low : end - low].view(self.dtype).reshape(n_rows, *self.shape[1:])

    def is_cached(self, start: int, n_rows: int) -> bool:
        """Look at the first, the middle and the last row."""
        rows = (start, start + n_rows // 2, start + n_rows - 1)
        return all(self.file.resident(self.offset + row * self.row_bytes) for row in rows)

    def announce(self, start: int, n_rows: int) -> None:
        """Ask the kernel to read ahead, in steps: it drops what is asked for beyond its limit at once."""
        begin = self.offset + start * self.row_bytes
        for offset in range(begin, begin + n_rows * self.row_bytes, ANNOUNCE_BYTES):
            self.file.announce(offset, min(ANNOUNCE_BYTES, begin + n_rows * self.row_bytes - offset))

    def write_rows(self, start: int, block: NDArray[Any]) -> None:
        """Write rows in place; processes and threads may write disjoint rows at the same time."""
        if not self.writable:
            raise ReadOnlyError(f'{self.file.path} was opened to read.\nOpen it with mode="r+" to write.')
        if block.nbytes:
            self.file.write(
                self.offset + start * self.row_bytes, memoryview(as_bytes(block, 1, block.nbytes)[0])
            )

    def extra_bytes(self, n_windows: int, length: int) -> int:
        """Count what gathering takes."""
        row = self.row_bytes
        return gather_bytes(n_windows, length * row, self.shape[0] * row if self.shape else row)

    def grow(self, n_rows: int) -> None:
        """Make room for `n_rows` rows: the file grows as rows are written."""
        self.shape = (n_rows, *self.shape[1:])

    def info(self) -> dict[str, Any]:
        """Facts for ``X.info``."""
        return {"format": self._format, "order": "C", "offset": self.offset, "reader": _reader(self.file)}

    def flush(self) -> None:
        """Wait until everything written is on the device."""
        self.file.sync()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class FortranStorage(Storage):
    """Rows in Fortran order: read-only, one read a column and window."""

    def __init__(self, spec: Spec, file: PosixFile) -> None:
        self.shape = spec.shape
        self.dtype = spec.dtype
        self.offset = spec.offset
        self.file = file
        self._format = _NAMES[spec.kind]

    def read_windows(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        """Gather one run a column and window, then transpose, a few windows at a time."""
        item, columns = self.dtype.itemsize, prod(self.shape[1:])
        if columns == 0 or item == 0:
            return
        # Columns in the order they lie in the file, and where that puts them in a C-ordered row.
        base = np.arange(columns, dtype=np.int64) * self.shape[0]
        flat = out.reshape(len(starts), length, *self.shape[1:])
        step = max(1, TRANSPOSE_BYTES // (length * columns * item))
        for low in range(0, len(starts), step):
            part = starts[low : low + step]
            runs = np.empty((len(part), columns, length), self.dtype)
            cells = (part[:, None] + base).ravel()
            gather(self.file, self.offset, item, cells, as_bytes(runs, len(cells), length * item))
            # (window, last axis, ..., second axis, row) reversed but for the window is C order.
            shaped = runs.reshape(len(part), *self.shape[:0:-1], length)
            flat[low : low + step] = shaped.transpose(0, *range(shaped.ndim - 1, 0, -1))

    def extra_bytes(self, n_windows: int, length: int) -> int:
        """Count a batch of windows on its way through a second buffer, and what gathering it takes."""
        one = length * self.row_bytes
        batch = min(max(one, TRANSPOSE_BYTES), one * n_windows)
        runs = -(-batch // max(self.dtype.itemsize * length, 1))
        return (
            8 * n_windows
            + batch
            + gather_bytes(runs, self.dtype.itemsize * length, prod(self.shape) * self.dtype.itemsize)
        )

    def info(self) -> dict[str, Any]:
        """Facts for ``X.info``."""
        return {"format": self._format, "order": "F", "offset": self.offset, "reader": _reader(self.file)}

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def open_spec(spec: Spec) -> Storage:
    """Open the file again that `spec` was made from, and check that it is still the same one."""
    if spec.mode == "c":
        return _open_private(spec)
    writable = spec.mode == "r+"
    file = open_file(spec.path, writable=writable)
    verify(file, spec.fingerprint, spec.offset + prod(spec.shape) * spec.dtype.itemsize)
    if spec.order == "F":
        return FortranStorage(spec, file)
    return FlatStorage(spec, file, writable=writable)


def _open_private(spec: Spec) -> Storage:
    """Map the rows so that changes stay in this process's memory (mode "c")."""
    file = open_file(spec.path)
    needed = spec.offset + prod(spec.shape) * spec.dtype.itemsize
    verify(file, spec.fingerprint, needed)
    file.close()
    if prod(spec.shape) * spec.dtype.itemsize == 0:
        return MemoryStorage(np.empty(spec.shape, spec.dtype), writable=True, what=_NAMES[spec.kind])
    rows = np.memmap(spec.path, spec.dtype, "c", spec.offset, spec.shape, "F" if spec.order == "F" else "C")
    return MemoryStorage(rows.view(np.ndarray), writable=True, what=f"{_NAMES[spec.kind]}, private copy")


def _reader(file: PosixFile) -> str:
    return "preadv with readahead" if file.positional else "seek and read, a handle for each thread"
