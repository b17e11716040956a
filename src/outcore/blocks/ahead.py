"""The blocks of a group, each read past the page cache while the one before it is worked on.

Reads from : blocks.source
Hands to   : blocks.work

Guarantees
- Blocks come in order; the rows of one are valid until the next is asked for.
- An error of reading comes where its block would have come.
- When the `with` ends, however it ends, nothing is being read any more.

Reading through the page cache copies all bytes and keeps books of all pages, on the cores that should work.
For a file that the cache cannot hold that is in vain. Blocks that happen to be there are taken from there.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.source import Source
from outcore.blocks.statistic import Workspace

#: First row, the one behind the last, and where to read them to.
_Order = tuple[int, int, NDArray[np.uint8]]


class Ahead:
    """Reads the rows of `blocks`, pairs of a first row and the one behind the last."""

    def __init__(self, source: Source, blocks: Sequence[tuple[int, int]], workspace: Workspace) -> None:
        self._source = source
        self._blocks = blocks
        self._workspace = workspace
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[NDArray[Any] | BaseException] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._orders.put(None)
            self._reader.join()

    def __iter__(self) -> Iterator[NDArray[Any]]:
        which, ordered = 0, False
        for (low, high), following in zip(self._blocks, [*self._blocks[1:], None], strict=True):
            rows = (
                self._take() if ordered else self._source.read_direct(low, high, self._room(low, high, which))
            )
            ordered = following is not None and not self._source.is_cached(*following)
            if ordered and following is not None:
                which = 1 - which
                self._order(*following, self._room(*following, which))
            yield rows

    def _room(self, low: int, high: int, which: int) -> NDArray[np.uint8]:
        return self._source.room(high - low, self._workspace, which)

    def _order(self, low: int, high: int, room: NDArray[np.uint8]) -> None:
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name="outcore-ahead", daemon=True)
            self._reader.start()
        self._orders.put((low, high, room))

    def _take(self) -> NDArray[Any]:
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _read(self) -> None:
        while (order := self._orders.get()) is not None:
            low, high, room = order
            try:
                self._answers.put(self._source.read_direct(low, high, room))
            except BaseException as error:  # raised again by the thread that asks for the block
                self._answers.put(error)
