"""Tasks in worker processes of our own: ``executor=4``.

Reads from : executors.member
Hands to   : executors.choosing

Guarantees
- A worker has one task at a time, so when it dies it is known which one, and how. That task is run again
  once, on a new worker; if that dies too, the pass ends with `WorkerDiedError`.
- Arrays of 64 kB or more, placed or returned, go through shared memory; the pipe carries addresses.
- No thread is started, and no process before the first task.
- When `close` returns, the workers are gone: those that still work after some seconds are ended.

`concurrent.futures.ProcessPoolExecutor` was rejected: when one worker dies all of its tasks fail, and nobody
learns which one was the reason (docs/decisions/0013).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

from outcore.errors import ExecutorError, SegmentGoneError, WorkerDiedError
from outcore.executors.member import Member
from outcore.executors.outcome import Failure
from outcore.executors.parcel import Parcel, Placed
from outcore.executors.pickling import dumps
from outcore.executors.protocol import Finished, Runner
from outcore.executors.worker import Order, check_not_importing_main, main_file
from outcore.settings import Settings, for_tasks

#: How long `close` waits for tasks that run.
PATIENCE_S = 2.0
_LOOK_S = 0.1
_DYING_S = 1.0


@dataclass
class _Task:
    index: int
    data: bytes
    placed: Placed
    settings: Settings
    deaths: list[str] = field(default_factory=list)


class Processes(Runner):
    """`n_workers` processes, started for this runner."""

    shares_memory = False
    worker_bytes = 40 << 20

    def __init__(self, n_workers: int) -> None:
        check_not_importing_main()
        self.n_workers = n_workers
        self.name = f"{n_workers} worker process{'es' if n_workers > 1 else ''}"
        self._members: list[Member] = []
        self._queue: deque[_Task] = deque()
        self._running: dict[Member, _Task] = {}
        self._finished: deque[Finished] = deque()
        self._placed: Placed | None = None
        self._number = 0
        self._closed = False
        self._pid = os.getpid()
        self._main = main_file()

    def place(self, obj: Any) -> Any:
        """Put the arrays of `obj` into shared memory; it is sent to each worker with its next task."""
        self._let_go()
        self._number += 1
        self._placed = Placed.of(obj, self._number)
        return self._placed

    def submit(self, index: int, function: Callable[..., Any], placed: Any, *small: Any) -> None:
        """Give the task to a worker that has none, or queue it."""
        if self._closed:
            raise ExecutorError(f"{self.name} were closed and take no work.\nChoose a new runner.")
        self._queue.append(_Task(index, dumps((function, small)), placed, for_tasks()))
        self._distribute()

    def collect(self, timeout_s: float) -> Finished | None:
        """Wait for a worker to send a result, or to die."""
        deadline = time.monotonic() + timeout_s
        while not self._finished:
            if not self._running:
                return None
            self._look(deadline - time.monotonic())
            if time.monotonic() >= deadline:
                break
        return self._finished.popleft() if self._finished else None

    def close(self) -> None:
        """Give running tasks a moment to end, and end the workers."""
        self._closed = True
        self._queue.clear()
        if os.getpid() != self._pid:
            # A forked child: the workers are its parent's, and what is sent to them here would reach them.
            for member in self._members:
                member.release()
            self._members.clear()
            return
        try:
            busy = self._settle()
            for member in self._members:
                member.dismiss()
            for member in busy:
                member.terminate()
            deadline = time.monotonic() + PATIENCE_S
            for member in self._members:
                member.wait(deadline - time.monotonic())
        finally:  # a second Ctrl-C comes here at once
            for member in self._members:
                if not member.ended:
                    member.kill()
                member.end()
                member.release()
            self._members.clear()
            self._running.clear()
            self._finished.clear()
            self._let_go()

    def _settle(self) -> set[Member]:
        """Wait a moment for tasks that run; return the workers that have not ended theirs."""
        busy = set(self._running)
        deadline = time.monotonic() + PATIENCE_S
        while busy and (left := deadline - time.monotonic()) > 0:
            # What comes is not read: this may be the middle of a message.
            connection.wait([member.connection for member in busy], min(left, _LOOK_S))
            busy = {member for member in busy if not (member.connection.poll() or member.ended)}
        return busy

    # ---- giving out tasks ----------------------------------------------------------------------

    def _distribute(self) -> None:
        free = [member for member in self._members if member not in self._running]
        while self._queue and (free or len(self._members) < self.n_workers):
            member = free.pop() if free else self._start()
            if member is None:
                return
            task = self._queue.popleft()
            placed = task.placed
            known = member.placed == placed.number
            member.placed = placed.number
            self._running[member] = task
            parcel = None if known else placed.parcel.by_address()
            member.send(Order(task.index, task.data, parcel, task.settings, self._main))

    def _start(self) -> Member | None:
        """Start a worker; None if the system allows no further one and there are some."""
        try:
            member = Member()
        except OSError as error:
            if self._members:
                return None
            raise ExecutorError(
                f"no worker process can be started: {error}.\n"
                "Raise the limit on processes or memory, or use threads: executor=None."
            ) from error
        self._members.append(member)
        return member

    # ---- hearing from workers ------------------------------------------------------------------

    def _look(self, timeout_s: float) -> None:
        """Wait until something comes from workers; see to those that died."""
        watched: list[Any] = [member.connection for member in self._members]
        watched += [member.sentinel for member in self._members if member.sentinel is not None]
        some = any(member.sentinel is None for member in self._members)
        connection.wait(watched, max(0.0, min(timeout_s, _LOOK_S) if some else timeout_s))
        for member in list(self._members):
            # Asked first: what was sent before the end is still read.
            ended = member.ended
            try:
                while member.connection.poll():
                    message = member.receive()
                    if message is not None:
                        self._take(member, *message)
            except EOFError:
                ended = True
            if ended:
                self._bury(member)
        self._distribute()

    def _take(self, member: Member, index: int, outcome: Parcel | Failure) -> None:
        if isinstance(outcome, Failure):
            self._finished.append(Finished(index, error=outcome.error()))
        else:
            try:
                value = outcome.open(writable=True)
            except SegmentGoneError as error:
                if member.wait(_DYING_S):  # it died after it had sent the address
                    return
                self._finished.append(Finished(index, error=error))
            except Exception as error:  # whatever the class of a result does when it is loaded
                self._finished.append(Finished(index, error=error))
            else:
                self._finished.append(Finished(index, value))
        del self._running[member]

    def _bury(self, member: Member) -> None:
        if not member.wait(_DYING_S):  # a thread of the task keeps it from ending
            member.kill()
        how = member.end()
        how = how if member.ready else f"{how}, while it started"
        member.release()
        self._members.remove(member)
        task = self._running.pop(member, None)
        if task is None or self._closed:
            return
        task.deaths.append(f"process {member.pid}: {how}")
        if len(task.deaths) == 2:
            raise _died(task)
        self._queue.appendleft(task)

    def _let_go(self) -> None:
        """Drop what was placed, here and in workers that have nothing to do."""
        for member in self._members:
            if member not in self._running:
                member.clear()
        if self._placed is not None:
            self._placed.let_go()
        self._placed = None


def _died(task: _Task) -> WorkerDiedError:
    lines = [f"the worker process died at task {task.index}, and so did the one that ran it again:"]
    lines += [f"  {death}" for death in task.deaths]
    if any("SIGKILL" in death for death in task.deaths):
        lines.append(
            "SIGKILL comes from the system when memory is short: likely out of memory.\n"
            'Use fewer workers, workers=1, or smaller blocks, memory="1GB"; dmesg tells what the system did.'
        )
    elif any("while it started" in death for death in task.deaths):
        lines.append("Standard error tells why it could not start.")
    else:
        lines.append("Use threads, executor=None, and python -X faulthandler to see where it happens.")
    error = WorkerDiedError("\n".join(lines))
    error.indices = (task.index,)
    error.deaths = tuple(task.deaths)
    return error
