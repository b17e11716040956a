"""Chunked HDF5 without HDF5's lock: read and decode each needed chunk once, in parallel.

Reads from : storage.chunk_index, storage.chunk_reading
Hands to   : storage.hdf5

Guarantees
- However many windows touch a chunk, it is read and decoded once a call. Chunks that no window or column
  touches are not read.
- No call into HDF5 while reading, so no lock of h5py: threads decode side by side. The exception is a file
  that was written to since the index was made; then the index is made anew, never used.
- A damaged chunk is an error that names it and its place in the file.
- Nothing is cached between calls.
"""

from __future__ import annotations

import os
import zlib
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import FormatError
from outcore.layout import Indices
from outcore.storage import codecs, gather
from outcore.storage.chunk_index import ChunkIndex, load, stamp_of
from outcore.storage.chunk_reading import Reading, Source, gather_rows
from outcore.storage.codecs import worker_count
from outcore.storage.file import PosixFile, stale
from outcore.storage.hdf5_dataset import Layout
from outcore.storage.placing import COPY_BYTES, COPY_ROWS, Windows
from outcore.storage.protocol import Spec, Storage

#: How often a read is begun anew because somebody wrote to the file in the meantime.
TRIES = 3


class ChunkedStorage(Storage):
    """A chunked HDF5 dataset, opened to read."""

    narrows = True

    def __init__(self, spec: Spec, file: PosixFile, layout: Layout, index: ChunkIndex) -> None:
        self.shape = spec.shape
        self.dtype = spec.dtype
        self.file = file
        self._spec = spec
        self._source = Source(file, spec.address, spec.shape, layout, index, layout.pipeline())
        self.band_rows = self._source.chunks[0]
        self.decoded_rows = 1 if self._source.is_plain else self.band_rows

    def read_windows(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        """Decode the chunks that the windows touch, each once, and copy from them."""
        self._read(starts, length, (0, self.shape[1]) if len(self.shape) > 1 else (0, 1), out)

    def read_columns(self, starts: Indices, length: int, low: int, high: int, out: NDArray[Any]) -> None:
        """Do the same for the chunks that hold columns ``[low, high)``."""
        self._read(starts, length, (low, high), out)

    def read_rows(self, start: int, out: NDArray[Any]) -> None:
        """Decode in the calling thread."""
        columns = (0, self.shape[1]) if len(self.shape) > 1 else (0, 1)
        self._read(np.array([start], np.int64), len(out), columns, out[None], threads=1)

    def read_rows_bytes(self, n_rows: int) -> int:
        """Count one chunk in the making, and the tables of a request."""
        return self._extra_bytes(1, n_rows, threads=1)

    def _read(
        self,
        starts: Indices,
        length: int,
        columns: tuple[int, int],
        out: NDArray[Any],
        *,
        threads: int | None = None,
    ) -> None:
        if out.nbytes == 0:
            return
        for _ in range(TRIES):
            source = self._fresh_source()
            try:
                if source.is_plain:
                    gather_rows(source, starts, length, columns, out)
                else:
                    Reading(source, Windows(starts, length, out), columns, threads).run()
            except FormatError:
                if stamp_of(self.file) == source.index.stamp:
                    raise
            # What was read may be another chunk's by now if the file was written to.
            if stamp_of(self.file) == source.index.stamp:
                return
        raise stale(self.file.path, "is being written to, again and again,")

    def _fresh_source(self) -> Source:
        source = self._source
        here = os.fstat(self.file.fd)
        if stamp_of(self.file) == source.index.stamp:
            return source
        if here.st_size < source.index.end:
            raise stale(self.file.path, f"has {here.st_size} bytes left of {source.index.end}: it was cut")
        try:
            replaced = not os.path.samestat(here, os.stat(self.file.path))
        except FileNotFoundError:
            replaced = True
        if replaced:
            raise stale(self.file.path, "was written to, then replaced,")
        try:
            layout, index = load(self._spec, self.file)
        except FormatError as error:
            raise stale(self.file.path, f"was written to ({error})") from error
        if layout.chunks != source.chunks or layout.filters != source.layout.filters:
            raise stale(self.file.path, f"got another {self._spec.inner}")
        self._source = Source(self.file, source.address, self.shape, layout, index, source.pipeline)
        return self._source

    def extra_bytes(self, n_windows: int, length: int) -> int:
        """Chunks in the making, one a thread, and the tables of a request."""
        return self._extra_bytes(n_windows, length, worker_count())

    def _extra_bytes(self, n_windows: int, length: int, threads: int) -> int:
        source, index = self._source, self._source.index
        if source.is_plain:
            size = n_windows * length * self.row_bytes
            return 64 * n_windows * length + min(gather.THREADS * gather.SCRATCH_BYTES, size)
        bands = min(len(index.offsets), n_windows * ((length - 2) // source.chunks[0] + 2))
        chunks = bands * prod(source.cells)
        # As read, as decoded, as unshuffled; copying many small windows takes index arrays.
        working = int(index.sizes.max(initial=0)) + 2 * source.chunk_bytes + COPY_BYTES + 40 * COPY_ROWS
        tables = 48 * n_windows + 48 * bands + 24 * chunks + index.nbytes
        return min(threads, chunks) * working + tables

    def info(self) -> dict[str, Any]:
        """Facts for ``X.info``."""
        source = self._source
        gzip = any(f.code == codecs.DEFLATE for f in source.layout.filters)
        with_isal = ", isal" if gzip and codecs.inflater is not zlib else ""
        way = "rows gathered" if source.is_plain else f"decoded on {worker_count()} threads{with_isal}"
        return {
            "format": "HDF5, chunked",
            "chunks": source.chunks,
            "filters": [f.name for f in source.layout.filters],
            "n_chunks": int((source.index.offsets >= 0).sum()),
            "reader": f"chunk index, {way}",
        }

    def close(self) -> None:
        """Close the file."""
        self.file.close()
