"""Batches in order, made ahead of whoever takes them.

Reads from : loader.making
Hands to   : loader.loading

Guarantees
- Batches come in the order of their steps, however many threads make them; an error comes where its batch
  would have come, and ends the stream.
- At most `ahead` batches are made or being made that nobody has taken.
- When the stream ends, is closed, or nobody refers to it any more, its threads and processes have ended.
- A stream works in the process that began it; in a forked child it says so.

A thread is given several batches at a time: waking a thread takes as long as copying some hundred kilobytes.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence

from outcore.errors import ExecutorError
from outcore.loader.buffers import Closed
from outcore.loader.counting import Counter
from outcore.loader.making import Maker
from outcore.loader.structure import Batch

#: Batches that are told of before they are made, so that they are looked up together.
EXPECTED = 64


class _Task:
    """Batches that one thread makes, one after the other."""

    def __init__(self, steps: Sequence[int]) -> None:
        self.steps = steps
        self.made: deque[Batch] = deque()
        self.error: BaseException | None = None
        self.ended = threading.Event()


class _Shared:
    """What the threads of a stream have in common; they do not refer to the stream."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self.closed = False


class Crew:
    """Threads that make batches."""

    def __init__(self, maker: Maker, n_threads: int) -> None:
        self._pid = os.getpid()
        self._shared = _Shared(maker)
        # Daemons: the interpreter would wait for threads of a stream that nobody finished before anything
        # had told them to end.
        self._threads = [
            threading.Thread(target=_work, args=(self._shared,), name=f"outcore-loader-{i}", daemon=True)
            for i in range(n_threads)
        ]
        # For when `close` is interrupted, and for the end of the interpreter.
        self._finalizer = weakref.finalize(self, _end, self._shared, n_threads, self._pid)

    def start(self) -> None:
        """Start the threads."""
        self._shared.maker.reading.start()
        for thread in self._threads:
            thread.start()

    def submit(self, task: _Task) -> None:
        """Have the batches of a task made."""
        self._shared.tasks.put(task)

    def take(self, task: _Task) -> None:
        """Wait for a task."""
        if os.getpid() != self._pid:
            raise ExecutorError(
                f"this iterator was made in process {self._pid} and is used in its child {os.getpid()}, where"
                " its threads are not.\nHand the loader over and iterate over it there: for batch in loader."
            )
        task.ended.wait()

    def close(self) -> None:
        """End the threads, and what they wait for."""
        if os.getpid() != self._pid:
            return
        # Told first, all of them: a second Ctrl-C may come at any point.
        _end(self._shared, len(self._threads), self._pid)
        # A garbage collection may bring one of the threads itself here, in the middle of its work.
        if threading.current_thread() not in (*self._threads, self._shared.maker.reading.thread):
            self._shared.maker.close()
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join()
        self._finalizer.detach()


def _end(shared: _Shared, n_threads: int, pid: int) -> None:
    """Tell threads to end, without waiting for them."""
    if os.getpid() != pid:
        return
    shared.closed = True
    for _ in range(n_threads):
        shared.tasks.put(None)
    shared.maker.close(wait=False)


def _work(shared: _Shared) -> None:
    while (task := shared.tasks.get()) is not None:
        try:
            for step in task.steps:
                if shared.closed:
                    raise Closed
                task.made.append(shared.maker.make(step))
        except BaseException as error:  # raised again by whoever takes the batch
            task.error = error
        task.ended.set()
        del task  # before the next wait: it holds batches


def batches(
    maker: Maker, steps: Sequence[int], counter: Counter, *, n_threads: int, ahead: int, at_once: int
) -> Iterator[Batch]:
    """Make the batches of `steps`, `ahead` of them before they are asked for."""
    if n_threads == 0:
        yield from _one_by_one(maker, steps, counter)
        return
    crew = Crew(maker, n_threads)
    try:
        crew.start()
        waiting: deque[_Task] = deque()
        submitted = taken = 0
        expecting = _Expecting(maker, steps)
        while taken < len(steps):
            while submitted < len(steps) and (submitted - taken < ahead or not waiting):
                # The first tasks are small: the caller waits for them.
                size = min(at_once, submitted // n_threads + 1, max(ahead - (submitted - taken), 1))
                task = _Task(steps[submitted : submitted + size])
                submitted += len(task.steps)
                waiting.append(task)
                expecting.upto(submitted)
                crew.submit(task)
            task = waiting.popleft()
            begin_s = time.perf_counter()
            crew.take(task)
            counter.add(wait_s=time.perf_counter() - begin_s)
            while task.made:
                taken += 1
                yield task.made.popleft()
            if task.error is not None:
                raise _taken_out(task)
    finally:
        crew.close()


class _Expecting:
    """Tells of batches some time before they are made."""

    def __init__(self, maker: Maker, steps: Sequence[int]) -> None:
        self._maker = maker
        self._steps = steps
        self._told = 0

    def upto(self, number: int) -> None:
        """Tell of batches up to some behind `number`."""
        for step in self._steps[self._told : number + EXPECTED]:
            self._maker.expect(step)
        self._told = max(self._told, number + EXPECTED)


def _taken_out(task: _Task) -> BaseException:
    """Return the error, which shall not keep the task alive, whose batches would stay as long."""
    error, task.error = task.error, None
    assert error is not None
    return error


def _one_by_one(maker: Maker, steps: Sequence[int], counter: Counter) -> Iterator[Batch]:
    """Make each batch when it is asked for, in the caller's thread."""
    try:
        maker.reading.start()
        expecting = _Expecting(maker, steps)
        for number, step in enumerate(steps):
            expecting.upto(number + 1)
            begin_s = time.perf_counter()
            batch = maker.make(step)
            counter.add(wait_s=time.perf_counter() - begin_s)
            yield batch
            del batch
    finally:
        maker.close()
