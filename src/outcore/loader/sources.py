"""The arrays of a loader, and how each gives the rows of samples.

Reads from : blocks.source, array.blockwise
Hands to   : loader.reading, loader.loading

Guarantees
- Pickles as addresses. Rows in memory that have none are copied once into shared memory.
- Memory beyond what it fills is what reading takes (`Array.take`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array import blockwise
from outcore.array.opening import asarray
from outcore.blocks.source import Source
from outcore.errors import ShapeError
from outcore.layout import Indices
from outcore.loader.structure import Structure
from outcore.loader.window import Window
from outcore.storage.copying import as_bytes, copy_ranges

#: Row numbers that are written out at a time.
INDEX_BYTES = 1 << 20


class Feed:
    """An array of a loader: its samples are the rows ``row + offsets`` of it.

    Attributes
    ----------
    offsets : ndarray of int64
        From the first row of a sample to the rows that it takes from this array, ascending.
    windowed : bool
        Samples have an axis of rows; else they are one row.
    sample_shape : tuple of int
    """

    def __init__(self, source: Source, offsets: Sequence[int], *, windowed: bool) -> None:
        self.source = source
        self.offsets = np.asarray(offsets, np.int64)
        self.windowed = windowed
        self.inner = source.array.shape[1:]
        self.dtype = source.array.dtype
        self.sample_shape = (len(self.offsets), *self.inner) if windowed else self.inner
        self.reach = int(self.offsets[-1] - self.offsets[0]) + 1
        self._dense = self.reach == len(self.offsets)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.source.row_bytes

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample in a batch."""
        return prod(self.sample_shape) * self.dtype.itemsize

    @property
    def in_memory(self) -> bool:
        """Whether the rows are in this process's memory."""
        return self.source.view is not None

    def gather_bytes(self, n: int, length: int) -> int:
        """Count what gathering takes besides what it fills: `n` rows, in pieces of `length`."""
        return blockwise.gather_bytes(self.source.array, -(-n // max(length, 1)), length)

    def gather(self, rows: Indices, out: NDArray[Any]) -> int:
        """Fill ``out[i]`` with the sample whose first row is ``rows[i]``; return the bytes that were read."""
        if not out.size:
            return 0
        view = self.source.view
        if view is not None:
            self._take(view, rows + self.offsets[0], out)
            return 0
        if self._dense:
            length = self.reach
            blockwise.gather(
                self.source.array,
                rows + self.offsets[0],
                length,
                out if self.windowed else out[:, None],
            )
        else:
            for begin, end, index in self._pieces(rows):
                part = out[begin:end].reshape(index.size, 1, *self.inner)
                blockwise.gather(self.source.array, index.ravel(), 1, part)
        return out.nbytes

    def gather_from(self, buffer: NDArray[Any], places: Indices, out: NDArray[Any]) -> None:
        """Fill ``out[i]`` with the sample whose first own row is ``buffer[places[i]]``."""
        if out.size:
            self._take(buffer, places, out)

    def _take(self, table: NDArray[Any], first: Indices, out: NDArray[Any]) -> None:
        # mode="clip" only because "raise" copies through a buffer: rows come from where they were checked.
        if not self.windowed:
            np.take(table, first, axis=0, out=out, mode="clip")
            return
        if self._dense and table.flags.c_contiguous and out.flags.c_contiguous:
            copy_ranges(
                as_bytes(table, 1, table.nbytes)[0],
                0,
                self.row_bytes,
                first,
                as_bytes(out, len(out), self.sample_bytes),
            )
            return
        for begin, end, index in self._pieces(first - self.offsets[0]):
            np.take(table, index, axis=0, out=out[begin:end], mode="clip")

    def _pieces(self, rows: Indices) -> Iterator[tuple[int, int, Indices]]:
        """List the rows of all samples, some samples at a time: they may be many more than the samples."""
        step = max(INDEX_BYTES // (8 * len(self.offsets)), 1)
        for begin in range(0, len(rows), step):
            part = rows[begin : begin + step]
            yield begin, begin + len(part), part[:, None] + self.offsets

    def reachable(self) -> Feed:
        """Return the same for other processes."""
        source = self.source.reachable()
        return self if source is self.source else Feed(source, self.offsets.tolist(), windowed=self.windowed)


def feeds_of(structure: Structure, arrays: Sequence[Any], window: Window | None) -> list[Feed]:
    """Understand the arrays: with a window the first is cut into windows, the others are targets.

    Raises
    ------
    ShapeError
        Lengths that differ, or an array without rows to count.
    """
    found = [asarray(array) for array in arrays]
    for which, array in enumerate(found):
        if not array.shape:
            raise ShapeError(
                f"{structure.called(which)} has no axis to take samples from; its shape is ().\n"
                "Give arrays whose first axis are the samples."
            )
        if len(array) != len(found[0]):
            raise ShapeError(
                f"{structure.called(which)} has {len(array)} rows,"
                f" {structure.called(0)} has {len(found[0])}.\n"
                "Row i of each array belongs to sample i: give arrays of equal length, such as "
                f"{structure.called(which)}[:{min(len(array), len(found[0]))}]."
            )
    if window is None:
        return [Feed(Source(array), [0], windowed=False) for array in found]
    steps = [i * window.sampling_rate for i in range(window.length)]
    target = steps[-1] + window.horizon
    return [
        Feed(Source(array), [target] if which else steps, windowed=not which)
        for which, array in enumerate(found)
    ]
