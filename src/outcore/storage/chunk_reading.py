"""One request to a chunked dataset: each touched chunk read, decoded and placed once, on a few threads.

Reads from : storage.chunk_index, storage.file, storage.codecs
Hands to   : storage.chunked

Guarantees
- Chunks are read in the order of the file, and announced to the kernel some chunks ahead.
- Of chunks without filters only the rows between the first and the last needed are read; where one window
  takes them all, straight into their place.
- No call into HDF5, and no lock that a fork could copy in its locked state.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import FormatError
from outcore.layout import Indices
from outcore.storage.chunk_index import ChunkIndex
from outcore.storage.codecs import Chunk, DecodeError, Pipeline, worker_count
from outcore.storage.copying import as_bytes
from outcore.storage.file import PosixFile
from outcore.storage.gather import gather
from outcore.storage.hdf5_dataset import Layout
from outcore.storage.placing import Box, Windows
from outcore.storage.threads import run_threads

#: Less than this is decoded faster than a thread is started.
SMALL_BYTES = 128 << 10
#: How many chunks are announced to the kernel before the one being read.
CHUNKS_AHEAD = 16
#: Rows of chunks without filters are gathered one by one if they have this many bytes.
LONG_ROW_BYTES = 512
#: For how many chunks of a band it is remembered where their columns go.
MAX_SIDES = 256

#: Columns within the chunk, columns within a row of `out`, and whether both are whole.
Sides = tuple[tuple[slice, ...], tuple[slice, ...], bool]


@dataclass(frozen=True)
class Source:
    """A dataset as it was when its index was made."""

    file: PosixFile
    address: str
    shape: tuple[int, ...]
    layout: Layout
    index: ChunkIndex
    pipeline: Pipeline

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        assert self.layout.chunks is not None
        return self.layout.chunks

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk in memory."""
        return prod(self.chunks) * self.layout.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the dataset."""
        return prod(self.shape[1:]) * self.layout.dtype.itemsize

    @cached_property
    def is_plain(self) -> bool:
        """Whether all rows lie in the file as they are, each in one piece, and are long enough to gather."""
        sizes = self.index.sizes
        whole = not self.pipeline.filters and self.chunks[1:] == self.shape[1:]
        return whole and self.row_bytes >= LONG_ROW_BYTES and bool((sizes == self.chunk_bytes).all())

    @property
    def cells(self) -> tuple[int, ...]:
        """How many chunks lie side by side along each axis behind the first."""
        return tuple(-(-n // c) for n, c in zip(self.shape[1:], self.chunks[1:], strict=True))


def gather_rows(
    source: Source, starts: Indices, length: int, columns: tuple[int, int], out: NDArray[Any]
) -> None:
    """Fill `out` from chunks that hold whole rows as they are: row by row, like a flat file.

    However small the chunks are, neighbours are then read together.
    """
    rows = (starts[:, None] + np.arange(length)).ravel()
    band, row = np.divmod(rows, source.chunks[0])
    cell_bytes = source.row_bytes // source.shape[1] if len(source.shape) > 1 else source.row_bytes
    offsets = source.index.offsets[band, 0]
    offsets += row * source.row_bytes + columns[0] * cell_bytes
    gather(source.file, 0, 1, offsets, as_bytes(out, len(rows), (columns[1] - columns[0]) * cell_bytes))


class Reading:
    """One request: what is the same for each of its chunks.

    Parameters
    ----------
    columns : (int, int)
        What `out` holds of the second axis.
    threads : int, optional
        How many decode; by default one a core.
    """

    def __init__(
        self, source: Source, windows: Windows, columns: tuple[int, int], threads: int | None = None
    ) -> None:
        self.threads = threads or worker_count()
        self.source = source
        self.windows = windows
        self.columns = columns
        self.chunks = source.chunks
        self.chunk_bytes = source.chunk_bytes
        self.grid = source.cells
        self.bands = windows.bands(self.chunks[0])
        self.low, self.high = windows.touching(self.bands * self.chunks[0], self.chunks[0])
        self.cells = self._touched_cells()
        offsets = source.index.offsets[np.ix_(self.bands, self.cells)].ravel()
        # In the order of the file; for a file written in one go that is the order of the table.
        self.jobs = np.arange(len(offsets))
        if np.any(offsets[1:] < offsets[:-1]):
            self.jobs = np.argsort(offsets, kind="stable")
        self._known_sides: dict[int, Sides] = {}

    def run(self) -> None:
        """Read, decode and place every chunk.

        Raises
        ------
        FormatError
            A chunk is damaged.
        StaleArrayError
            The file ends before a chunk does.
        """
        count = len(self.jobs)
        workers = self.threads if count * self.chunk_bytes > SMALL_BYTES else 1
        for job in range(min(CHUNKS_AHEAD, count) if count > 1 else 0):
            self._announce(int(self.jobs[job]))
        following = itertools.count(CHUNKS_AHEAD)  # next() on it is atomic

        def step(job: int) -> None:
            later = next(following)
            if later < count:
                self._announce(int(self.jobs[later]))
            self._serve(int(self.jobs[job]))

        run_threads(count, step, workers)

    def _touched_cells(self) -> Indices:
        if not self.grid:
            return np.zeros(1, np.int64)
        size = self.chunks[1]
        low, high = self.columns[0] // size, -(-self.columns[1] // size)
        behind = prod(self.grid[1:])
        return np.arange(low * behind, high * behind)

    def _announce(self, job: int) -> None:
        band, cell = divmod(job, len(self.cells))
        offset, size, mask = self._entry(band, cell)
        if offset < 0:
            return
        if self.source.pipeline.untouched(mask):
            begin, end = self._rows(band, self._box(band, cell))
            offset, size = offset + begin * self._row_bytes, (end - begin) * self._row_bytes
        self.source.file.announce(offset, size)

    def _serve(self, job: int) -> None:
        band, cell = divmod(job, len(self.cells))
        low, high = int(self.low[band]), int(self.high[band])
        box, shape = self._box(band, cell), self.chunks
        offset, size, mask = self._entry(band, cell)
        file = self.source.file
        if offset < 0:
            chunk = self._fill(box.n_rows)
            shape = (box.n_rows, *shape[1:])
        elif self.source.pipeline.untouched(mask):
            if size != self.chunk_bytes:
                raise self._damaged(job, f"it is stored as it is, and should have {self.chunk_bytes} bytes")
            begin, end = self._rows(band, box)
            box = Box(box.row + begin, end - begin, box.source, box.target, box.whole)
            shape = (end - begin, *shape[1:])
            offset += begin * self._row_bytes
            direct = self.windows.target(box, low, high)
            if direct is not None:
                file.read(offset, [direct])
                return
            chunk = Chunk(np.empty((end - begin) * self._row_bytes, np.uint8), False)
            file.read(offset, [chunk.data.data])
        else:
            raw = np.empty(size, np.uint8)
            file.read(offset, [raw.data])
            try:
                chunk = self.source.pipeline.decode(raw, mask, self.chunk_bytes)
            except DecodeError as error:
                raise self._damaged(job, str(error)) from error
        self.windows.place(chunk, shape, box, low, high)

    @property
    def _row_bytes(self) -> int:
        return self.chunk_bytes // self.chunks[0]

    def _entry(self, band: int, cell: int) -> tuple[int, int, int]:
        at, index = (self.bands[band], self.cells[cell]), self.source.index
        return int(index.offsets[at]), int(index.sizes[at]), int(index.masks[at])

    def _rows(self, band: int, box: Box) -> tuple[int, int]:
        return self.windows.span(box, int(self.low[band]), int(self.high[band]))

    def _box(self, band: int, cell: int) -> Box:
        row = int(self.bands[band]) * self.chunks[0]
        number = int(self.cells[cell])
        sides = self._known_sides.get(number)
        if sides is None:
            sides = self._sides(number)
            if len(self._known_sides) < MAX_SIDES:
                self._known_sides[number] = sides
        return Box(row, min(self.chunks[0], self.source.shape[0] - row), *sides)

    def _sides(self, cell: int) -> Sides:
        source, target = [], []
        whole = True
        shape, chunks = self.source.shape[1:], self.chunks[1:]
        for axis in range(len(shape) - 1, -1, -1):
            cell, at = divmod(cell, self.grid[axis])
            begin, size = at * chunks[axis], chunks[axis]
            low, high = self.columns if axis == 0 else (0, shape[axis])
            first, last = max(begin, low), min(begin + size, high)
            source.append(slice(first - begin, last - begin))
            target.append(slice(first - low, last - low))
            whole = whole and last - first == size == high - low
        return tuple(source[::-1]), tuple(target[::-1]), whole

    def _fill(self, n_rows: int) -> Chunk:
        value = np.frombuffer(self.source.layout.fill, np.uint8)
        return Chunk(np.tile(value, n_rows * self._row_bytes // len(value)), False)

    def _damaged(self, job: int, why: str) -> FormatError:
        band, cell = divmod(job, len(self.cells))
        offset, size, _ = self._entry(band, cell)
        place = (self.bands[band], *np.unravel_index(self.cells[cell], self.grid or (1,)))
        corner = tuple(int(n) * c for n, c in zip(place, self.chunks, strict=False))
        return FormatError(
            f"{self.source.address}: the chunk at {corner[: self.source.layout.grid_axes]} is damaged"
            f" ({size} bytes at byte {offset}): {why}.\n"
            "Rows in other chunks can still be read. Write the file or copy it again for these."
        )
