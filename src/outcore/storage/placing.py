"""Which windows touch a chunk, and how its values get into them.

Reads from : decoded chunks (storage.codecs)
Hands to   : storage.chunk_reading

Nothing here reads or decodes. Values are moved as bytes: neither their type nor their byte order matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.layout import Indices
from outcore.storage.codecs import Chunk, weave

#: Windows of fewer bytes than this are copied many at a time by index arrays; larger ones by slices.
SMALL_WINDOW_BYTES = 8192
#: Rows of a chunk with fewer bytes than this are short runs of `out`: the shuffle is undone before copying.
NARROW_BYTES = 1024
#: How much is copied at a time by index arrays, which need memory of that size.
COPY_BYTES = 1 << 20
COPY_ROWS = 1 << 15

#: Unsigned integers move fastest; the rest are void.
_ITEMS = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}


@dataclass(frozen=True)
class Box:
    """The part of a chunk that lies inside the array and inside the columns asked for.

    Attributes
    ----------
    row, n_rows : int
        Rows of the array that it covers.
    source, target : tuple of slice
        The other axes: within the chunk, and within a row of `out`.
    whole : bool
        Whether it is whole rows of the chunk and whole rows of `out`.
    """

    row: int
    n_rows: int
    source: tuple[slice, ...]
    target: tuple[slice, ...]
    whole: bool


class Windows:
    """The windows of one request, in the order of their first rows.

    Parameters
    ----------
    starts, length, out
        As in `Storage.read_windows`.
    """

    def __init__(self, starts: Indices, length: int, out: NDArray[Any]) -> None:
        if len(starts) > 1 and np.any(starts[1:] < starts[:-1]):
            self.slots = np.argsort(starts, kind="stable")
            self.starts = starts[self.slots]
        else:
            self.slots, self.starts = np.arange(len(starts)), starts
        self.length = length
        size = out.dtype.itemsize
        self.item = np.dtype(_ITEMS.get(size, f"V{size}"))
        flat = out.reshape(-1).view(np.uint8)
        self.values = flat.view(self.item).reshape(out.shape)
        self.row_values = self.values.reshape(-1, *out.shape[2:])
        self.bytes = flat.reshape(*out.shape, size)

    def bands(self, height: int) -> Indices:
        """Numbers of the bands of `height` rows that any window touches, ascending."""
        first = self.starts // height
        last = (self.starts + self.length - 1) // height
        # Both ascend, so what a window adds begins behind the last band of the one before it.
        first[1:] = np.maximum(first[1:], last[:-1] + 1)
        counts = np.maximum(last - first + 1, 0)
        ends = np.cumsum(counts)
        return np.repeat(first - (ends - counts), counts) + np.arange(ends[-1])

    def touching(self, rows: Indices, height: int) -> tuple[Indices, Indices]:
        """Return the first window that touches each band, beginning at `rows`, and one past the last."""
        low = np.searchsorted(self.starts, rows - self.length, side="right")
        return low, np.searchsorted(self.starts, rows + height, side="left")

    def span(self, box: Box, low: int, high: int) -> tuple[int, int]:
        """First row, and one past the last, of the chunk that the windows ``[low, high)`` need."""
        begin = max(int(self.starts[low]) - box.row, 0)
        return begin, min(int(self.starts[high - 1]) + self.length - box.row, box.n_rows)

    def target(self, box: Box, low: int, high: int) -> memoryview | None:
        """Return the memory for the rows of `box` if one window takes them all and they are in one piece."""
        begin = box.row - int(self.starts[low])
        if high - low != 1 or not box.whole or begin < 0 or begin + box.n_rows > self.length:
            return None
        rows = self.bytes[int(self.slots[low]), begin : begin + box.n_rows]
        return rows.reshape(-1).data

    def place(self, chunk: Chunk, shape: tuple[int, ...], box: Box, low: int, high: int) -> None:
        """Copy from a decoded chunk of `shape` into the windows ``[low, high)``."""
        size = self.item.itemsize
        count = high - low
        row_bytes = prod(s.stop - s.start for s in box.source) * size
        # Undone once for all windows, unless there are few, and they take long runs of values.
        many = count > 4 or count * self.length > box.n_rows + self.length
        if chunk.shuffled and (many or (not box.whole and row_bytes < NARROW_BYTES)):
            data = np.empty(len(chunk.data), np.uint8)
            weave(chunk.data.reshape(size, -1), data.reshape(-1, size))
            chunk = Chunk(data, False)
        if chunk.shuffled:
            inside: tuple[Any, ...] = (slice(None), slice(None), *box.source)
            planes = chunk.data.reshape(size, *shape)[inside]
            for there, here in self._pairs(box, low, high):
                weave(planes[:, here], self.bytes[there])
            return
        values: NDArray[Any] = chunk.data.view(self.item).reshape(shape)
        if count > 4 and row_bytes * self.length < SMALL_WINDOW_BYTES:
            self._copy_many(values, box, low, high, row_bytes)
            return
        values = values[(slice(None), *box.source)]
        for there, here in self._pairs(box, low, high):
            self.values[there] = values[here]

    def _pairs(self, box: Box, low: int, high: int) -> list[tuple[tuple[Any, ...], slice]]:
        """List (place in `out`, rows within the chunk), one a window."""
        found = []
        for slot, start in zip(self.slots[low:high].tolist(), self.starts[low:high].tolist(), strict=True):
            begin = max(start, box.row)
            end = min(start + self.length, box.row + box.n_rows)
            there = (slot, slice(begin - start, end - start), *box.target)
            found.append((there, slice(begin - box.row, end - box.row)))
        return found

    def _copy_many(self, values: NDArray[Any], box: Box, low: int, high: int, row_bytes: int) -> None:
        within = np.arange(self.length)
        step = max(min(COPY_BYTES // max(row_bytes, 1), COPY_ROWS) // self.length, 1)
        target, source = self.row_values, values
        target_sides: tuple[Any, ...] = box.target
        source_sides: tuple[Any, ...] = box.source
        if box.whole:  # one void item a row: NumPy then moves whole rows
            target = target.reshape(-1).view(f"V{row_bytes}")
            source = source.reshape(-1).view(f"V{row_bytes}")
            target_sides = source_sides = ()
        for at in range(low, high, step):
            part = slice(at, min(at + step, high))
            here = ((self.starts[part, None] - box.row) + within).ravel()
            there = (self.slots[part, None] * self.length + within).ravel()
            inside = (here >= 0) & (here < box.n_rows)
            if not inside.all():
                here, there = here[inside], there[inside]
            places, values_at = (there, *target_sides), (here, *source_sides)
            target[places] = source[values_at]
