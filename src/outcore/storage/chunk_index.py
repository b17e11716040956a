"""Where every chunk of an HDF5 dataset lies in its file.

Reads from : h5py, once; then only if the file was changed
Hands to   : storage.chunked

The index is three numbers a chunk, 20 bytes, kept in this process. It is not pickled: walking 400 chunks
takes half a millisecond. `get_chunk_info` was rejected: it walks the chunks anew for each chunk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.layout import Indices
from outcore.storage.file import PosixFile
from outcore.storage.hdf5_dataset import Layout, reopened
from outcore.storage.protocol import Spec

#: (bytes, nanoseconds of the last change): what moves when a file is written to.
Stamp = tuple[int, int]


@dataclass(frozen=True)
class ChunkIndex:
    """Places of the chunks, as tables of shape (bands, cells).

    A band is all chunks that hold the same rows; a cell is one chunk within a band, numbered in C order over
    the axes behind the first.

    Attributes
    ----------
    offsets : ndarray of int64
        First byte in the file; -1 for a chunk that was never written.
    sizes : ndarray of int64
        Bytes in the file.
    masks : ndarray of uint32
        Bit i is set where filter i was skipped.
    stamp : Stamp
        Of the file when the index was made.
    """

    offsets: Indices
    sizes: Indices
    masks: NDArray[np.uint32]
    stamp: Stamp

    @property
    def nbytes(self) -> int:
        """Memory that the tables take."""
        return self.offsets.nbytes + self.sizes.nbytes + self.masks.nbytes

    @property
    def end(self) -> int:
        """First byte of the file behind all chunks."""
        return int((self.offsets + self.sizes).max(initial=0))


def stamp_of(file: PosixFile) -> Stamp:
    """Look at `file`; takes a microsecond."""
    found = os.fstat(file.fd)
    return found.st_size, found.st_mtime_ns


def load(spec: Spec, file: PosixFile) -> tuple[Layout, ChunkIndex]:
    """Read the index from the file; the only place where chunked reading calls HDF5.

    Raises
    ------
    StaleArrayError
        The dataset has changed in more than its values.
    """
    stamp = stamp_of(file)  # before reading: a change in the meantime is then seen
    with reopened(spec) as (dataset, layout):
        return layout, build(dataset, layout, stamp)


def build(dataset: Any, layout: Layout, stamp: Stamp) -> ChunkIndex:
    """Walk the chunks of an open dataset."""
    assert layout.chunks is not None
    axes = layout.grid_axes
    sizes = layout.chunks[:axes]
    grid = tuple(-(-n // c) for n, c in zip(layout.shape[:axes], sizes, strict=True))
    table = (grid[0], prod(grid[1:]))
    offsets = np.full(table, -1, np.int64)
    lengths = np.zeros(table, np.int64)
    masks = np.zeros(table, np.uint32)
    flat_offsets, flat_lengths, flat_masks = offsets.reshape(-1), lengths.reshape(-1), masks.reshape(-1)
    steps = [prod(grid[axis + 1 :]) for axis in range(axes)]

    def note(chunk: Any) -> None:
        at = sum(
            begin // size * step for begin, size, step in zip(chunk.chunk_offset, sizes, steps, strict=True)
        )
        flat_offsets[at] = chunk.byte_offset
        flat_lengths[at] = chunk.size
        flat_masks[at] = chunk.filter_mask

    dataset.id.chunk_iter(note)
    return ChunkIndex(offsets, lengths, masks, stamp)
