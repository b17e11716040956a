"""The rows of a batch: gathered from where they lie, or from a buffer of the shuffle.

Reads from : loader.order, loader.samples, loader.sources, loader.buffers
Hands to   : loader.making

Guarantees
- Which rows come depends on the positions alone, not on how they are read.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
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


class _Together:
    """Evaluates an order for several batches at a time.

    For one alone, calling NumPy takes longer than the work. Every thread has its own batches, one behind the
    other, and so its own numbers that were found in advance.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._local = threading.local()

    def get(self, low: int, high: int, end: int, evaluate: Callable[[Indices], Indices]) -> Indices:
        """Return what `evaluate` gives for the positions ``[low, high)``; none from `end` on is asked for."""
        begin, found = getattr(self._local, "found", (0, _NONE))
        if not begin <= low or high > begin + len(found):
            begin = low
            found = evaluate(np.arange(low, min(max(low + self._count, high), end), dtype=np.int64))
            self._local.found = begin, found
        return found[low - begin : high - begin]


_NONE = np.empty(0, np.int64)


class Gathering(Reading):
    """Takes the rows of each batch from the arrays.

    Parameters
    ----------
    together : int
        Positions that are looked up at a time: those of the batches that a thread makes one after the other.
    """

    def __init__(
        self, order: Order, samples: Samples, feeds: Sequence[Feed], counter: Counter, together: int = 0
    ) -> None:
        self._order = order
        self._samples = samples
        self._feeds = feeds
        self._counter = counter
        self._together = _Together(together)

    def fill(self, low: int, high: int, out: Sequence[NDArray[Any]]) -> None:
        """Gather from the arrays."""
        rows = self._together.get(low, high, self._order.n, self._rows)
        nbytes = sum(feed.gather(rows, part) for feed, part in zip(self._feeds, out, strict=True))
        self._counter.add(bytes_read=nbytes)

    def _rows(self, positions: Indices) -> Indices:
        return self._samples.rows(self._order.samples(positions))


class Buffered(Reading):
    """Takes the rows of batches from buffers that are read in the order of the file."""

    def __init__(
        self, order: BufferedOrder, feeds: Sequence[Feed], buffers: Buffers, together: int = 0
    ) -> None:
        self._order = order
        self._feeds = feeds
        self._buffers = buffers
        self.thread = buffers.thread
        self._together = _Together(together)

    def start(self) -> None:
        """Begin to read the first buffers."""
        self._buffers.start()

    def expect(self, low: int, high: int) -> None:
        """Tell how long buffers are needed."""
        if low < high:
            self._buffers.expect(low, high)

    def fill(self, low: int, high: int, out: Sequence[NDArray[Any]]) -> None:
        """Gather from one buffer or several, each let go as soon as it is not needed."""
        for number in self._order.buffers_of(low, high) if low < high else ():
            start, stop = self._order.bounds(number)
            begin, end = max(low, start), min(high, stop)
            places = self._together.get(begin, end, stop, partial(self._order.places, number))
            loaded = self._buffers.get(low, number)
            for feed, table, where, part in zip(self._feeds, loaded.tables, loaded.places, out, strict=True):
                feed.gather_from(
                    table, places if where is None else where[places], part[begin - low : end - low]
                )
            del loaded
            self._buffers.done(low, end, last=end == high)

    def close(self, *, wait: bool = True) -> None:
        """End the reading of buffers."""
        self._buffers.close(wait=wait)
