"""Tasks in threads of this process: the default. NumPy, BLAS and reading let go of the interpreter's lock.

Hands to   : executors.choosing

Guarantees
- Threads are started with the first tasks, and have ended when `close` returns.
- Options (`outcore.options`) in force where a task is begun are in force in it, but for its executor.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import Context, copy_context
from typing import Any

from outcore.errors import ExecutorError
from outcore.executors.blas_threads import one_blas_thread
from outcore.executors.protocol import Finished, Runner
from outcore.settings import adopt, for_tasks


def task_context() -> Context:
    """Return a copy of the caller's context, with the options that hold in tasks."""
    context = copy_context()
    context.run(adopt, for_tasks())
    return context


class Threads(Runner):
    """`n_workers` threads, started for this runner."""

    shares_memory = True

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        self.name = f"{n_workers} thread{'s' if n_workers > 1 else ''}"
        self._tasks: queue.SimpleQueue[Callable[[], Finished] | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._limits = ExitStack()

    def place(self, obj: Any) -> Any:
        """Return the object itself."""
        return obj

    def submit(self, index: int, function: Callable[..., Any], placed: Any, *small: Any) -> None:
        """Queue the task, and start a thread if there are fewer than there may be."""
        if self._closed:
            raise ExecutorError(f"{self.name} were closed and take no work.\nChoose a new runner.")
        if not self._threads:
            self._limits.enter_context(one_blas_thread())
        if len(self._threads) < self.n_workers:
            self._start()
        context = task_context()
        self._tasks.put(lambda: context.run(run_task, index, function, placed, small))

    def collect(self, timeout_s: float) -> Finished | None:
        """Wait for a thread to put a result down."""
        try:
            return self._finished.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None

    def close(self) -> None:
        """Let the threads end."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        try:
            while self._threads:
                if self._threads[-1].ident is not None:
                    self._threads[-1].join()
                self._threads.pop()
        finally:  # Ctrl-C while a task runs: its thread ends with it
            self._limits.close()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"outcore-{len(self._threads)}")
        # Listed first: Ctrl-C can come when it runs already and `start` has not returned.
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no further one
            self._threads.pop()
            if not self._threads:
                self._limits.close()
                raise ExecutorError(
                    f"no thread can be started: {error}.\nRaise the limit (ulimit -u)."
                ) from error
            return

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            if not self._closed:
                self._finished.put(task())
            del task  # before the next wait: it holds what was placed


def run_task(index: int, function: Callable[..., Any], placed: Any, small: tuple[Any, ...]) -> Finished:
    """Run a task in this process."""
    try:
        with one_blas_thread():
            return Finished(index, function(placed, *small))
    except BaseException as error:  # raised again by the thread that collects
        return Finished(index, error=error)
