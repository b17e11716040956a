"""Batches of an epoch for somebody who asks for one after the other, and begins anew at any time.

Reads from : a `BatchSource`
Hands to   : adapters.keras_dataset

Guarantees
- A batch is always the one that the source gives under its number.
- Batches that are asked for in order come from one stream of the source, which makes them ahead.
- No thread is left once the feed is closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from outcore.adapters.protocol import BatchSource


class Feed:
    """One stream of a source at a time; not for several threads at once.

    Parameters
    ----------
    source : BatchSource
    """

    def __init__(self, source: BatchSource) -> None:
        self._source = source
        self._stream: Iterator[Any] | None = None
        self._next = 0
        #: Of which epoch and order the stream is: a state that is loaded may change both.
        self._state: dict[str, Any] = {}
        #: The first batch of the stream, until the second one is taken.
        self._first: tuple[int, Any] | None = None

    def begin(self, number: int) -> None:
        """Tell that batch `number` is the next one, of the epoch that the source is in now.

        A stream that has given this batch and none behind it goes on: frameworks build a model with the first
        batch of an epoch before they train on it, and what was read ahead, a buffer of the shuffle perhaps,
        need not be read twice.
        """
        if self._first is None or self._first[0] != number or self._state != self._source.state_dict():
            self.close()

    def next(self, number: int) -> Any:
        """Return batch `number`; the one behind it is made meanwhile."""
        if self._first is not None and self._first[0] == number:
            return self._first[1]
        opened = self._stream is None or self._next != number
        if opened:
            self.close()
            self._state = self._source.state_dict()
            self._stream = self._source.stream(number)
        assert self._stream is not None
        try:
            batch = next(self._stream)
        except BaseException:  # an interrupt too: nothing more comes from this stream
            self.close()
            raise
        self._next = number + 1
        self._first = (number, batch) if opened else None
        return batch

    def close(self) -> None:
        """End the stream and its threads; the feed may be used again."""
        stream, self._stream, self._first = self._stream, None, None
        close = getattr(stream, "close", None)  # not every iterator has one
        if close is not None:
            close()
