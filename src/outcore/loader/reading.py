"""The rows of a batch: gathered from where they lie, or from a buffer of the shuffle.

Reads from : loader.order, loader.samples, loader.sources, loader.buffers
Hands to   : loader.making

Guarantees
- Which rows come depends on the positions alone, not on how they are read.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.layout import Indices
from outcore.loader.buffers import Buffers
from outcore.loader.counting import Counter
from outcore.loader.order import BufferedOrder, Order
from outcore.loader.samples import Samples
from outcore.loader.sources import Feed

#: Positions that are looked up at a time, about.
MOST_AT_ONCE = 1 << 16


class Reading(ABC):
    """Fills arrays with the samples at positions of an epoch.

    Attributes
    ----------
    thread : threading.Thread or None
        That which reads ahead.
    """

    thread: threading.Thread | None = None

    @abstractmethod
    def fill(self, low: int, high: int, out: Sequence[NDArray[Any]]) -> None:
        """Fill each of `out` with the samples at the positions ``[low, high)``, from its feed."""

    def start(self) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Begin to read what will be asked for."""

    def expect(self, low: int, high: int) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Tell which positions will be asked for next, before anybody asks."""

    def close(self, *, wait: bool = True) -> None:  # noqa: B027 - nothing to do is a fine answer
        """End threads, and `wait` until they have; whoever waits in `fill` gets `loader.buffers.Closed`."""


class _Lookup:
    """Evaluates an order for several batches at a time.

    For each alone, calling NumPy takes longer than the work; and in threads side by side several times as
    long, because each call lets go of the interpreter's lock and waits to have it again. So one thread does
    it for all batches that are expected.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: deque[tuple[int, int]] = deque()
        self._found: dict[int, Indices] = {}
        self._positions = np.empty(0, np.int64)

    def expect(self, low: int, high: int) -> None:
        """Tell that `get` will be called, in the order in which the positions are."""
        self._expected.append((low, high))

    def get(
        self, low: int, high: int, evaluate: Callable[[Indices], Indices], within: tuple[int, int]
    ) -> Indices:
        """Return what `evaluate` gives for the positions ``[low, high)``.

        It is not asked for any that is not `within` these.
        """
        found = self._found.pop(low, None)
        if found is None:
            with self._lock:
                found = self._found.pop(low, None)
                if found is None:
                    self._evaluate(low, evaluate, within)
                    found = self._found.pop(low, None)
        return found if found is not None else evaluate(np.arange(low, high, dtype=np.int64))

    def _evaluate(self, low: int, evaluate: Callable[[Indices], Indices], within: tuple[int, int]) -> None:
        shares: list[tuple[int, int]] = []
        others: list[tuple[int, int]] = []
        count = 0
        while self._expected and self._expected[0][0] < within[1]:
            share = self._expected[0]
            if count >= MOST_AT_ONCE and share[0] > low:
                break
            self._expected.popleft()
            if share[0] < within[0]:
                others.append(share)  # of a thread that is on its way here
            else:
                count += share[1] - share[0]
                shares.append(share)
        self._expected.extendleft(reversed(others))
        if not shares:
            return
        values = evaluate(self._listed(shares, count))
        at = 0
        for start, stop in shares:
            self._found[start] = values[at : at + stop - start]
            at += stop - start

    def _listed(self, shares: list[tuple[int, int]], count: int) -> Indices:
        # Pages of new memory cost more than the numbers that are written to them.
        if len(self._positions) < count:
            self._positions = np.empty(count, np.int64)
        at = 0
        for start, stop in shares:
            self._positions[at : at + stop - start] = np.arange(start, stop)
            at += stop - start
        return self._positions[:count]


class Gathering(Reading):
    """Takes the rows of each batch from the arrays."""

    def __init__(self, order: Order, samples: Samples, feeds: Sequence[Feed], counter: Counter) -> None:
        self._order = order
        self._samples = samples
        self._feeds = feeds
        self._counter = counter
        self._lookup = _Lookup()

    def expect(self, low: int, high: int) -> None:
        """Tell what to look up."""
        if low < high:
            self._lookup.expect(low, high)

    def fill(self, low: int, high: int, out: Sequence[NDArray[Any]]) -> None:
        """Gather from the arrays."""
        if low == high:  # an empty share, which nobody looked up
            return
        rows = self._lookup.get(low, high, self._rows, (0, self._order.n))
        nbytes = sum(feed.gather(rows, part) for feed, part in zip(self._feeds, out, strict=True))
        self._counter.add(bytes_read=nbytes)

    def _rows(self, positions: Indices) -> Indices:
        return self._samples.rows(self._order.samples(positions))


class Buffered(Reading):
    """Takes the rows of batches from buffers that are read in the order of the file."""

    def __init__(self, order: BufferedOrder, feeds: Sequence[Feed], buffers: Buffers) -> None:
        self._order = order
        self._feeds = feeds
        self._buffers = buffers
        self.thread = buffers.thread
        self._lookup = _Lookup()

    def start(self) -> None:
        """Begin to read the first buffers."""
        self._buffers.start()

    def expect(self, low: int, high: int) -> None:
        """Tell how long buffers are needed, and what to look up."""
        if low < high:
            self._buffers.expect(low, high)
            for begin, end, _ in self._parts(low, high):
                self._lookup.expect(begin, end)

    def fill(self, low: int, high: int, out: Sequence[NDArray[Any]]) -> None:
        """Gather from one buffer or several, each let go as soon as it is not needed."""
        for begin, end, number in self._parts(low, high):
            evaluate = partial(self._order.places, number)
            places = self._lookup.get(begin, end, evaluate, self._order.bounds(number))
            loaded = self._buffers.get(low, number)
            for feed, table, where, part in zip(self._feeds, loaded.tables, loaded.places, out, strict=True):
                feed.gather_from(
                    table, places if where is None else where[places], part[begin - low : end - low]
                )
            del loaded
            self._buffers.done(low, end, last=end == high)

    def _parts(self, low: int, high: int) -> Iterator[tuple[int, int, int]]:
        """List the positions that each buffer has, and its number."""
        for number in self._order.buffers_of(low, high) if low < high else ():
            start, stop = self._order.bounds(number)
            yield max(low, start), min(high, stop), number

    def close(self, *, wait: bool = True) -> None:
        """End the reading of buffers."""
        self._buffers.close(wait=wait)
