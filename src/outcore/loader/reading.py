"""The rows of a batch: gathered from where they lie, or from a buffer of the shuffle.

Reads from : loader.order, loader.samples, loader.sources, loader.buffers
Hands to   : loader.making

Guarantees
- Which rows come depends on the positions alone, not on how they are read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
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
    """Fills arrays with the samples at positions of an epoch."""

    @abstractmethod
    def fill(self, low: int, high: int, out: Sequence[NDArray[Any]]) -> None:
        """Fill each of `out` with the samples at the positions ``[low, high)``, from its feed."""

    def start(self) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Begin to read what will be asked for."""

    def expect(self, low: int, high: int) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Tell which positions will be asked for next, before anybody asks."""

    def close(self) -> None:  # noqa: B027 - nothing to do is a fine answer
        """End threads; whoever waits in `fill` gets `loader.buffers.Closed`."""


class Gathering(Reading):
    """Takes the rows of each batch from the arrays."""

    def __init__(self, order: Order, samples: Samples, feeds: Sequence[Feed], counter: Counter) -> None:
        self._order = order
        self._samples = samples
        self._feeds = feeds
        self._counter = counter

    def fill(self, low: int, high: int, out: Sequence[NDArray[Any]]) -> None:
        """Gather from the arrays."""
        rows = self.rows(low, high)
        nbytes = sum(feed.gather(rows, part) for feed, part in zip(self._feeds, out, strict=True))
        self._counter.add(bytes_read=nbytes)

    def rows(self, low: int, high: int) -> Indices:
        """Return the first row of each sample."""
        return self._samples.rows(self._order.samples(np.arange(low, high, dtype=np.int64)))


class Buffered(Reading):
    """Takes the rows of batches from buffers that are read in the order of the file."""

    def __init__(self, order: BufferedOrder, feeds: Sequence[Feed], buffers: Buffers) -> None:
        self._order = order
        self._feeds = feeds
        self._buffers = buffers

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
            places = self._order.places(number, np.arange(begin, end, dtype=np.int64))
            loaded = self._buffers.get(low, number)
            for feed, table, where, part in zip(self._feeds, loaded.tables, loaded.places, out, strict=True):
                feed.gather_from(
                    table, places if where is None else where[places], part[begin - low : end - low]
                )
            del loaded
            self._buffers.done(low, end, last=end == high)

    def close(self) -> None:
        """End the reading of buffers."""
        self._buffers.close()
