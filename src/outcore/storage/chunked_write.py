"""Chunked HDF5 written by one process: chunks compressed in threads, stored by HDF5 as they are.

Reads from : blocks of rows
Hands to   : storage.hdf5_write

Guarantees
- Whole bands of chunks are encoded in parallel and stored in the order of the rows, so the file does not
  depend on the number of threads. Rows at the end of a block that do not fill a band wait for the next block.
- Rows written in any order, twice, or in overlapping blocks read back as the last ones written.
- Rows can be read back at any time.
- After a failure, such as a full disk, every call fails, `finish` too: half a file never passes for whole.
- A forked child can neither write the file nor harm it (see `put_out_of_reach`).
- Beyond the caller's block: one band of chunks, and per thread a chunk before and after compression.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import WriterConflictError
from outcore.layout import Indices
from outcore.storage.chunk_storing import encoded_chunks
from outcore.storage.codecs import worker_count
from outcore.storage.hdf5_dataset import examine
from outcore.storage.hdf5_file import ONE_WRITER, disk_errors, put_out_of_reach
from outcore.storage.hdf5_rows import cache_bytes, read_rows, write_rows
from outcore.storage.protocol import Storage

#: A band larger than this is not kept waiting; HDF5 then puts the rows into its chunks one block at a time.
MAX_WAITING_BYTES = 256 << 20


@dataclass
class _Waiting:
    """The first rows of a band whose other rows have not come yet.

    `stored` of them were also written by HDF5, so that they could be read.
    """

    first: int
    rows: NDArray[Any]
    filled: int = 0
    stored: int = 0


class ChunkedWriter(Storage):
    """A new chunked dataset; `finish` completes and closes its file, `close` without it gives up.

    Parameters
    ----------
    shared : bool
        Whether other datasets are written to the file as well: then `finish` and `close` leave it open.
    threads : int, optional
        How many encode.
    """

    writable = True

    def __init__(
        self,
        path: str,
        h5: Any,
        dataset: Any,
        *,
        growable: bool,
        shared: bool = False,
        threads: int | None = None,
    ) -> None:
        layout = examine(dataset, f"{path}::{dataset.name}")
        assert layout.chunks is not None
        self.shape = layout.shape
        self.dtype = layout.dtype
        self.chunks = layout.chunks
        self.band_rows = layout.chunks[0]
        self._path = path
        self._h5 = h5
        self._dataset = dataset
        self._growable = growable
        self._shared = shared
        self._threads = worker_count() if threads is None else threads
        self._filters = [f.name for f in layout.filters]
        self._pipeline = layout.pipeline()
        self._fd: int = h5.id.get_vfd_handle()
        self._owner = os.getpid()
        self._lock = threading.RLock()
        self._waiting: _Waiting | None = None
        self._failed: Exception | None = None
        _WRITERS.add(self)

    # ---- Storage -----------------------------------------------------------------------------

    def write_rows(self, start: int, block: NDArray[Any]) -> None:
        """Write rows anywhere; rows that follow the ones before are the fast case."""
        with self._sound():
            done = self._continue_band(start, block)
            height = self.chunks[0]
            while done < len(block) and block.nbytes:
                at = start + done
                rest = block[done:]
                if at % height:
                    part = rest[: height - at % height]
                    write_rows(self._dataset, at, part)
                elif len(rest) >= height or at + len(rest) == self._last_row():
                    # Whole bands, and the last one of an array that cannot grow.
                    part = (
                        rest if at + len(rest) == self._last_row() else rest[: len(rest) // height * height]
                    )
                    self._store(at, part)
                else:
                    part = rest
                    self._wait(at, part)
                done += len(part)

    def read_windows(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        """Read back what was written so far."""
        with self._sound():
            self._store_waiting()
            read_rows(self._dataset, starts, length, out)

    def grow(self, n_rows: int) -> None:
        """Make the dataset `n_rows` long; rows beyond are dropped."""
        if not self._growable:
            super().grow(n_rows)
        if self._failed is not None and n_rows <= len(self._dataset):
            return  # whoever takes rows back after an error gets that error, and not another one
        with self._sound():
            waiting = self._waiting
            if waiting is not None:
                waiting.filled = min(waiting.filled, n_rows - waiting.first)
                waiting.stored = min(waiting.stored, waiting.filled)
                if waiting.filled <= 0:
                    self._waiting = None
            self._dataset.resize(n_rows, axis=0)
            self.shape = (n_rows, *self.shape[1:])

    def finish(self) -> None:
        """Store the rows that wait and close the file."""
        with self._sound():
            waiting = self._waiting
            if waiting is not None and waiting.first + waiting.filled == len(self._dataset):
                self._store(waiting.first, waiting.rows[: waiting.filled])
                self._waiting = None
            self._store_waiting()
            if self._shared:
                self._dataset.flush()  # an error would be swallowed when the dataset is collected
            else:
                self._h5.close()

    def extra_bytes(self, n_windows: int, length: int) -> int:
        """For reading back, which h5py does."""
        chunk = prod(self.chunks) * self.dtype.itemsize
        return 24 * n_windows + 2 * chunk + cache_bytes(self.chunks, self.shape, self.dtype)

    def info(self) -> dict[str, Any]:
        """Facts for ``X.info``."""
        way = f"compressed on {self._threads} threads" if self._pipeline.encodes else "compressed by h5py"
        return {
            "format": "HDF5, chunked",
            "chunks": self.chunks,
            "filters": self._filters,
            "reader": "h5py (it is being written)",
            "writer": way if self._filters else "stored as it is",
        }

    def flush(self) -> None:
        """Bring everything written so far to the device."""
        with self._sound():
            self._store_waiting()
            self._h5.flush()
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the file; without `finish` before, what was not stored yet is dropped."""
        if os.getpid() != self._owner:
            return  # the lock may have been copied in its locked state, and the file is out of reach already
        with self._lock:
            self._waiting = None
            if self._h5 and not self._shared:
                put_out_of_reach(self._fd)
                with suppress(OSError, RuntimeError):  # the file is given up; its space is HDF5's to mourn
                    self._h5.close()

    # ---- inside ------------------------------------------------------------------------------

    def _last_row(self) -> int:
        return -1 if self._growable else self.shape[0]

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """Let one thread of the right process work; after a failure fail again, since HDF5 is in disorder."""
        if os.getpid() != self._owner:
            raise WriterConflictError(
                f"{self._path} is written by process {self._owner}; this is process {os.getpid()}.\n"
                + ONE_WRITER
            )
        with self._lock:
            if self._failed is not None:
                raise self._failed
            try:
                with disk_errors(self._path):
                    yield
            except (OSError, RuntimeError) as error:
                self._failed = error
                raise

    def _continue_band(self, start: int, block: NDArray[Any]) -> int:
        """Add to the band that waits if the block follows on; return how many rows that took."""
        waiting, height = self._waiting, self.chunks[0]
        if waiting is None or start >= waiting.first + height or start + len(block) <= waiting.first:
            return 0
        if start != waiting.first + waiting.filled:
            self._store_waiting()
            self._waiting = None
            return 0
        part = block[: height - waiting.filled]
        waiting.rows[waiting.filled : waiting.filled + len(part)] = part
        waiting.filled += len(part)
        if waiting.filled == height or waiting.first + waiting.filled == self._last_row():
            self._store(waiting.first, waiting.rows[: waiting.filled])
            self._waiting = None
        return len(part)

    def _wait(self, at: int, rows: NDArray[Any]) -> None:
        height = self.chunks[0]
        if height * self.row_bytes > MAX_WAITING_BYTES:
            write_rows(self._dataset, at, rows)
            return
        self._store_waiting()
        self._waiting = _Waiting(at, np.empty((height, *self.shape[1:]), self.dtype), 0)
        self._waiting.rows[: len(rows)] = rows
        self._waiting.filled = len(rows)

    def _store_waiting(self) -> None:
        """Let HDF5 write the rows that wait; they go on waiting for the rest of their band."""
        waiting = self._waiting
        if waiting is not None and waiting.stored < waiting.filled:
            write_rows(
                self._dataset, waiting.first + waiting.stored, waiting.rows[waiting.stored : waiting.filled]
            )
            waiting.stored = waiting.filled

    def _store(self, start: int, rows: NDArray[Any]) -> None:
        """Store whole bands; the last one may be cut by the end of the array."""
        if not self._pipeline.encodes:
            write_rows(self._dataset, start, rows)
            return
        for corner, data in encoded_chunks(rows, self.chunks, self._pipeline, self._threads):
            self._dataset.id.write_direct_chunk((start + corner[0], *corner[1:]), data)


_WRITERS: weakref.WeakSet[ChunkedWriter] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in list(_WRITERS):
        if writer._h5:
            put_out_of_reach(writer._fd)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
