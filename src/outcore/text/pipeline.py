"""Chunks through worker threads: parsed side by side, placed in order, written side by side.

Reads from : text.cutting
Hands to   : text.ingesting

Guarantees
- `place` is called for each chunk in the order of the text, by one thread at a time; so what it decides (the
  first row, which error comes first) does not depend on the number of workers.
- `commit` is called in that order too, once the chunk and all before it are written.
- The error that is raised is the first one in the text; nothing after it is placed.
- At most `in_flight_bytes` of text are on their way, or one chunk that is larger than that.

Each worker takes the next chunk itself, so there is no queue that could fill up, and no reader to wait for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from outcore.text.cutting import Cutter
from outcore.text.places import Chunk

#: How often the calling thread looks after the progress bar.
TICK_S = 0.1

Part = TypeVar("Part")
Placed = TypeVar("Placed")


class Steps(Protocol[Part, Placed]):
    """What is done to a chunk."""

    @property
    def n_done(self) -> int:
        """Records so far, for the progress bar; asked for by any thread."""

    def parse(self, chunk: Chunk) -> tuple[Part, Iterator[Part]]:
        """Parse it; in parts where it would not fit at once, of which all but the first are made later."""

    def place(self, chunk: Chunk, part: Part, *, last: bool) -> Placed:
        """Decide where the part goes; called in order. `last` is the last part of its chunk."""

    def write(self, part: Part, placed: Placed) -> None:
        """Write it there."""

    def commit(self, placed: Placed) -> None:
        """Take note that everything up to here is written; called in order, must be quick."""

    def rest(self) -> None:
        """Do what may take a while and need not be done for each chunk; called by one thread at a time."""


class Pipeline(Generic[Part, Placed]):
    """Runs the steps for all chunks of a cutter, once."""

    def __init__(self, cutter: Cutter, steps: Steps[Part, Placed], in_flight_bytes: int) -> None:
        self._cutter = cutter
        self._steps = steps
        self._limit = in_flight_bytes
        self._cutting = threading.Lock()
        self._resting = threading.Lock()
        #: One entry for each worker that has ended. The calling thread waits for nothing else: Ctrl-C in the
        #: middle of a Condition's wait raises RuntimeError for a lock that was not taken back.
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._read_bytes = 0  # written by the thread that cuts
        self._changed = threading.Condition()
        # All below is guarded by _changed.
        self._taken = 0
        self._turn = 0
        self._in_flight = 0
        self._written: dict[int, Placed] = {}
        self._committed = 0
        self._stopped = False
        self._failure: _Failure | None = None

    def run(self, n_workers: int, tick: Callable[[int], None]) -> None:
        """Work until the text ends.

        Parameters
        ----------
        tick : callable
            Called in this thread now and then, with the bytes on disk that were read since the last time.

        Raises
        ------
        BaseException
            The first one, in the order of the text; of `tick`, at once.
        """
        threads = [threading.Thread(target=self._work, name=f"outcore-ingest-{i}") for i in range(n_workers)]
        told = 0
        try:
            for thread in threads:
                thread.start()
            working = n_workers
            while working:
                try:
                    self._ended.get(timeout=TICK_S)
                    working -= 1
                except queue.Empty:
                    told, before = self._read_bytes, told
                    tick(told - before)
        except BaseException:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if self._failure is not None:
            raise self._failure.error
        tick(self._read_bytes - told)

    def _work(self) -> None:
        try:
            while (chunk := self._take()) is not None:
                try:
                    self._process(chunk)
                except _GivenUpError:
                    return
                except BaseException as error:  # raised again by the thread that called run
                    self._fail(chunk.index, error)
                finally:
                    with self._changed:
                        self._in_flight -= len(chunk.data)
                        self._changed.notify_all()
                del chunk  # before the next one is cut
        finally:
            self._ended.put(None)

    def _take(self) -> Chunk | None:
        with self._cutting:
            # Beside a chunk that is larger than the limit not even a small one is cut.
            if not self._wait_for(lambda: self._in_flight <= self._limit):
                return None
            try:
                chunk = self._cutter.next()
            except BaseException as error:  # raised again by the thread that called run
                self._fail(self._taken, error)
                return None
            if chunk is None:
                return None
            self._taken += 1
            size = len(chunk.data)
            self._read_bytes += chunk.read_bytes
            with self._changed:
                if not self._wait_for(lambda: not self._in_flight or self._in_flight + size <= self._limit):
                    return None
                self._in_flight += size
            return chunk

    def _wait_for(self, ready: Callable[[], bool]) -> bool:
        """Wait; say whether there is still a reason to begin with another chunk."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._failure is not None or ready())
            return not self._stopped and self._failure is None

    def _process(self, chunk: Chunk) -> None:
        part, more = self._steps.parse(chunk)
        self._wait_for_turn(chunk.index)
        following = next(more, None)
        with self._changed:
            placed = self._steps.place(chunk, part, last=following is None)
            if following is None:
                self._pass_turn()
        self._steps.write(part, placed)
        while following is not None:  # the turn is kept: where a part goes is known only after the one before
            part, following = following, next(more, None)
            with self._changed:
                placed = self._steps.place(chunk, part, last=following is None)
                if following is None:
                    self._pass_turn()
            self._steps.write(part, placed)
        del part, following
        self._note_written(chunk.index, placed)

    def _wait_for_turn(self, index: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._turn == index or self._hopeless(index))
            if self._hopeless(index):
                raise _GivenUpError

    def _hopeless(self, index: int) -> bool:
        return self._stopped or (self._failure is not None and self._failure.index < index)

    def _pass_turn(self) -> None:
        self._turn += 1
        self._changed.notify_all()

    def _note_written(self, index: int, placed: Placed) -> None:
        with self._changed:
            self._written[index] = placed
            while self._committed in self._written:
                self._steps.commit(self._written.pop(self._committed))
                self._committed += 1
        if self._resting.acquire(blocking=False):
            try:
                self._steps.rest()
            finally:
                self._resting.release()

    def _fail(self, index: int, error: BaseException) -> None:
        with self._changed:
            if self._failure is None or index < self._failure.index:
                self._failure = _Failure(index, error)
            self._changed.notify_all()


@dataclass(frozen=True)
class _Failure:
    index: int
    error: BaseException


class _GivenUpError(Exception):
    """An earlier chunk failed, or the run was stopped."""
