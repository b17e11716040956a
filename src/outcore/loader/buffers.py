"""The buffers of a shuffle: read one after the other, the next one while batches are made from this one.

Reads from : loader.order (which samples), loader.samples (which rows), loader.sources
Hands to   : loader.reading

Guarantees
- Two buffers at a time. Each is read once, in the order of the file, neighbouring rows together.
- An error of reading comes where the first batch of its buffer would have come.
- `close` ends the reading thread, whatever it waits for; nothing waits for a buffer any more then.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.array import blockwise
from outcore.blocks.pages import mapped
from outcore.layout import Indices
from outcore.loader.counting import Counter
from outcore.loader.order import BufferedOrder
from outcore.loader.samples import Samples
from outcore.loader.sources import Feed

#: Runs of rows this close to each other are read as one: the device reads whole pages in any case.
NEAR_BYTES = 4096
#: ... unless that makes so many times as many rows of them.
MOST_BETWEEN = 1.5


class Loaded:
    """The rows of one buffer.

    Attributes
    ----------
    tables : list of ndarray
        For each feed, rows.
    places : list of ndarray of int64, or of None
        For each feed, where in its table the samples begin, ascending samples; None: sample k at row k.
    """

    def __init__(self, tables: list[NDArray[Any]], places: list[Indices | None]) -> None:
        self.tables = tables
        self.places = places


class Buffers:
    """The buffers that hold the positions ``[low, high)``, in order.

    Users say which positions they will ask for (`expect`, in order), ask (`get`), and say when they are done.
    """

    def __init__(
        self,
        order: BufferedOrder,
        samples: Samples,
        feeds: Sequence[Feed],
        counter: Counter,
        low: int,
        high: int,
        *,
        ahead: bool,
    ) -> None:
        self._order = order
        self._samples = samples
        self._feeds = feeds
        self._counter = counter
        self._wanted = order.buffers_of(low, high) if low < high else range(0)
        self._slots = [_Slot() for _ in range(2 if ahead else 1)]
        self._changed = threading.Condition()
        self._ready: dict[int, Loaded] = {}
        self._error: BaseException | None = None
        #: Which position each expected batch still needs, and the first position not yet expected.
        self._needs: dict[int, int] = {}
        self._expected = low
        self._closed = False
        self.thread: threading.Thread | None = None
        if ahead:
            self.thread = threading.Thread(target=self._read_ahead, name="outcore-buffers", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        if self.thread is not None:
            self.thread.start()

    def expect(self, low: int, high: int) -> None:
        """Tell that the positions ``[low, high)`` will be asked for, behind those told before."""
        with self._changed:
            self._needs[low] = low
            self._expected = high

    def get(self, low: int, number: int) -> Loaded:
        """Wait for a buffer, for the batch that begins at `low`."""
        if self.thread is None:
            return self._read_now(number)
        with self._changed:
            while number not in self._ready:
                if self._error is not None:
                    raise self._error
                if self._closed:
                    raise Closed
                self._changed.wait()
            return self._ready[number]

    def done(self, low: int, upto: int, *, last: bool) -> None:
        """Tell that the batch that begins at `low` needs nothing before `upto`, or nothing at all."""
        with self._changed:
            if last:
                del self._needs[low]
            else:
                self._needs[low] = upto
            if self.thread is not None:
                self._changed.notify_all()

    def close(self, *, wait: bool = True) -> None:
        """End the reading thread, and `wait` until it has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if wait:
            if self.thread is not None and self.thread.ident is not None:
                self.thread.join()
            self._ready.clear()
            self._slots.clear()

    # ---- the reading thread --------------------------------------------------------------------

    def _read_ahead(self) -> None:
        try:
            for turn, number in enumerate(self._wanted):
                before = self._wanted[turn - 2] if turn >= 2 else None
                with self._changed:
                    while before is not None and not self._closed and self._in_use(before):
                        self._changed.wait()
                    if self._closed:
                        return
                    if before is not None:
                        del self._ready[before]
                loaded = self._slots[turn % 2].load(
                    self._order, number, self._samples, self._feeds, self._counter
                )
                with self._changed:
                    self._ready[number] = loaded
                    self._changed.notify_all()
                del loaded
        except BaseException as error:  # raised again by the threads that wait for a buffer
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _in_use(self, number: int) -> bool:
        end = self._order.bounds(number)[1]
        return min(self._needs.values(), default=self._expected) < end or self._expected < end

    def _read_now(self, number: int) -> Loaded:
        if number not in self._ready:
            self._ready.clear()
            self._ready[number] = self._slots[0].load(
                self._order, number, self._samples, self._feeds, self._counter
            )
        return self._ready[number]


class Closed(Exception):  # noqa: N818 - no error: it ends a thread whose work nobody wants any more
    """The buffers were closed while somebody waited."""


class _Slot:
    """Memory for a buffer, used again for the next but one."""

    def __init__(self) -> None:
        self._memory: dict[int, NDArray[np.uint8]] = {}

    def load(
        self,
        order: BufferedOrder,
        number: int,
        samples: Samples,
        feeds: Sequence[Feed],
        counter: Counter,
    ) -> Loaded:
        spans = order.spans(number)
        counts = spans[:, 1] - spans[:, 0]
        # The rows of plain samples follow one another as the samples do: nothing is kept for each of them.
        rows = None if samples.plain else samples.rows(_expand(spans[:, 0], counts))
        tables: list[NDArray[Any]] = []
        places: list[Indices | None] = []
        for which, feed in enumerate(feeds):
            where: Indices | None
            if rows is None:
                begins, lengths, where = samples.rows(spans[:, 0]), counts, None
            else:
                begins, lengths, where = merge(rows + feed.offsets[0], feed.reach, feed.row_bytes)
            table = self._table(which, int(lengths.sum()), feed)
            read_runs(feed, begins, lengths, order.block_size, table)
            if not feed.in_memory:
                counter.add(bytes_read=table.nbytes)
            tables.append(table)
            places.append(where)
        return Loaded(tables, places)

    def _table(self, which: int, n_rows: int, feed: Feed) -> NDArray[Any]:
        nbytes = n_rows * feed.row_bytes
        memory = self._memory.get(which)
        if memory is None or len(memory) < nbytes:
            self._memory.pop(which, None)
            memory = self._memory[which] = mapped((max(nbytes, 1),))
        return np.ndarray((n_rows, *feed.inner), feed.dtype, buffer=memory)


def buffer_bytes(order: BufferedOrder, samples: Samples, feeds: Sequence[Feed]) -> int:
    """Count the bytes of one buffer, and of what is kept for its samples."""
    n = order.max_samples
    blocks = -(-n // order.block_size)
    nbytes = 0 if samples.plain else n * place_bytes(len(feeds))
    for feed in feeds:
        rows = n if samples.plain else samples.rows_of_blocks(n, blocks, feed.reach)
        if not samples.plain and not samples.contiguous:
            rows = int(rows * MOST_BETWEEN)
        nbytes += rows * feed.row_bytes
    return nbytes


def place_bytes(n_feeds: int) -> int:
    """Count what is kept, or needed to find it out, for each sample that is not just a row."""
    return 8 * (1 + n_feeds) + 24


def merge(rows: Indices, reach: int, row_bytes: int) -> tuple[Indices, Indices, Indices]:
    """Find the runs of rows that hold ``[row, row + reach)`` for all `rows`.

    Returns
    -------
    begins, lengths : ndarray of int64
        Runs, ascending and disjoint.
    places : ndarray of int64
        Where each of `rows` lies when the runs follow one another.
    """
    order = None if bool(np.all(rows[1:] >= rows[:-1])) else np.argsort(rows, kind="stable")
    ordered = rows if order is None else rows[order]
    gaps = np.diff(ordered)
    near = reach + max(NEAR_BYTES // max(row_bytes, 1) - 1, 0)
    first, last = _runs(gaps, near)
    needed = int(np.minimum(gaps, reach).sum()) + reach
    if int((ordered[last] + reach - ordered[first]).sum()) > MOST_BETWEEN * needed:
        first, last = _runs(gaps, reach)
    begins = ordered[first]
    lengths = ordered[last] + reach - begins
    shift = np.cumsum(lengths) - lengths - begins
    places = ordered + np.repeat(shift, last - first + 1)
    if order is None:
        return begins, lengths, places
    scattered = np.empty_like(places)
    scattered[order] = places
    return begins, lengths, scattered


def _runs(gaps: Indices, near: int) -> tuple[Indices, Indices]:
    """Cut where a gap is larger than `near`: which rows are the first and the last of each run."""
    cuts = np.flatnonzero(gaps > near)
    return np.concatenate(([0], cuts + 1)), np.append(cuts, len(gaps))


def read_runs(feed: Feed, begins: Indices, lengths: Indices, block: int, table: NDArray[Any]) -> None:
    """Fill `table` with runs of rows, one behind the other.

    Most runs are blocks of the shuffle, some of them merged: cut into pieces of `block` rows, they are read
    side by side.
    """
    array = feed.source.array
    view = feed.source.view
    if view is not None:
        at = 0
        for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True):
            table[at : at + length] = view[begin : begin + length]
            at += length
        return
    if not len(begins) or not table.size:
        return
    if len(begins) == 1:
        blockwise.gather(array, begins, int(lengths[0]), table[None])
        return
    whole = lengths // block
    ends = lengths - whole * block
    pieces = int(whole.sum())
    if np.any(ends[:-1]) or pieces == 0:
        rows = _expand(begins, lengths)
        blockwise.gather(array, rows, 1, table[:, None])
        return
    starts = np.repeat(begins, whole) + block * (
        np.arange(pieces) - np.repeat(np.cumsum(whole) - whole, whole)
    )
    blockwise.gather(array, starts, block, table[: pieces * block].reshape(pieces, block, *feed.inner))
    if ends[-1]:
        tail = np.array([begins[-1] + whole[-1] * block], np.int64)
        blockwise.gather(array, tail, int(ends[-1]), table[None, pieces * block :])


def _expand(begins: Indices, lengths: Indices) -> Indices:
    """List the numbers of all ranges, one range behind the other."""
    total = int(lengths.sum())
    shift = begins - (np.cumsum(lengths) - lengths)
    expanded: Indices = np.arange(total) + np.repeat(shift, lengths)
    return expanded
