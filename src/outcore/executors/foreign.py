"""Tasks on an executor that the user gave: any `concurrent.futures.Executor`.

Reads from : executors.errand, which runs in its workers
Hands to   : executors.choosing

Guarantees
- The executor stays open. When `close` returns, none of our tasks runs or waits in it.
- Nothing is assumed of its workers: those on this machine are sent the address of large arrays, others the
  arrays themselves.
"""

from __future__ import annotations

import queue
import secrets
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import ExitStack
from typing import Any

from outcore.errors import ExecutorError, SegmentGoneError, WorkerDiedError
from outcore.executors.blas_threads import one_blas_thread
from outcore.executors.errand import Errand, Unreachable, machine, run
from outcore.executors.exits import how_they_ended
from outcore.executors.outcome import Failure
from outcore.executors.parcel import Parcel, Placed, pack
from outcore.executors.protocol import Finished, Runner
from outcore.executors.recent import recent
from outcore.executors.threads import run_task, task_context
from outcore.settings import for_tasks

#: How often the same task is sent again because its result was gone with the worker.
_TRIES = 3


def runner(executor: Executor, workers: int | None) -> Runner:
    """Return the runner for an executor.

    Raises
    ------
    ExecutorError
        It was shut down, or is broken.
    """
    # A subinterpreter's thread sees no objects of this one.
    if _is_shut_down(executor):
        raise ExecutorError(
            f"the {type(executor).__name__} was shut down, or broken by a worker that died.\n"
            "Keep it open until the work is done, or make a new one."
        )
    isolated = getattr(futures, "InterpreterPoolExecutor", ())
    if isinstance(executor, futures.ThreadPoolExecutor) and not isinstance(executor, isolated):
        return ThreadPool(executor, workers)
    return Foreign(executor, workers)


def _is_shut_down(executor: Any) -> bool:
    # No executor tells. Those that are made otherwise refuse the first task.
    flags = [getattr(executor, name, False) for name in ("_shutdown", "_shutdown_thread")]
    flags.append(getattr(getattr(executor, "_flags", None), "shutdown", False))  # loky
    return any(flag is True for flag in flags)


class _OnExecutor(Runner):
    """What runners on executors have in common: futures, in the order in which they end."""

    def __init__(self, executor: Any, workers: int | None) -> None:
        self._executor = executor
        # No executor says how many workers it has, but by attributes that all of them copy from one another.
        most = getattr(executor, "_max_workers", None) or getattr(executor, "num_workers", None)
        self.n_workers = workers or (most if isinstance(most, int) and most > 0 else 1)
        self._kind = type(executor).__name__
        plural = "s" if self.n_workers > 1 else ""
        self.name = f"{self._kind} with {self.n_workers} worker{plural}"
        self._futures: dict[int, Future[Any]] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def _begin(self, index: int, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            future = self._executor.submit(function, *arguments)
        except BrokenExecutor as error:
            raise ExecutorError(
                f"the {self._kind} is broken: {error}\nA worker of it has died before; make a new executor."
            ) from error
        except RuntimeError as error:
            raise ExecutorError(
                f"the {self._kind} takes no work: {error}.\n"
                "Make a new executor, or use threads: executor=None."
            ) from error
        self._futures[index] = future
        future.add_done_callback(lambda done: self._ended.put(index))

    def _next(self, timeout_s: float) -> tuple[int, Future[Any]] | None:
        try:
            index = self._ended.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None
        return index, self._futures.pop(index)

    def _empty(self) -> None:
        """Cancel what has not begun, and wait for the rest."""
        for future in self._futures.values():
            future.cancel()
        futures.wait(self._futures.values())
        self._futures.clear()


class ThreadPool(_OnExecutor):
    """A `concurrent.futures.ThreadPoolExecutor`."""

    shares_memory = True

    def __init__(self, executor: Executor, workers: int | None) -> None:
        super().__init__(executor, workers)
        self._limits = ExitStack()
        self._limited = False

    def place(self, obj: Any) -> Any:
        """Return the object itself."""
        return obj

    def submit(self, index: int, function: Callable[..., Any], placed: Any, *small: Any) -> None:
        """Give the task to the pool."""
        if not self._limited:
            self._limits.enter_context(one_blas_thread())
            self._limited = True
        self._begin(index, task_context().run, run_task, index, function, placed, small)

    def collect(self, timeout_s: float) -> Finished | None:
        """Wait for a thread of the pool."""
        found = self._next(timeout_s)
        if found is None:
            return None
        index, future = found
        try:
            finished: Finished = future.result()
        except (CancelledError, BrokenExecutor) as error:
            raise _cancelled(self._kind, index) from error
        return finished

    def close(self) -> None:
        """Wait for the tasks that run."""
        try:
            self._empty()
        finally:
            self._limits.close()
            self._limited = False


class Foreign(_OnExecutor):
    """Any other executor: its workers are processes, of this machine or of others."""

    shares_memory = False

    def __init__(self, executor: Any, workers: int | None) -> None:
        super().__init__(executor, workers)
        self._id = secrets.token_hex(8)
        self._tasks: dict[int, tuple[Callable[..., Any], Placed, tuple[Any, ...]]] = {}
        self._tries: dict[int, int] = {}
        self._placed: Placed | None = None
        self._number = 0
        self._processes: dict[int, Any] = {}

    def place(self, obj: Any) -> Any:
        """Put the arrays of `obj` into shared memory."""
        self._let_go()
        self._number += 1
        self._placed = Placed.of(obj, self._number)
        return self._placed

    def submit(self, index: int, function: Callable[..., Any], placed: Any, *small: Any) -> None:
        """Give the task to the executor."""
        errand = Errand(self._id, placed.number, machine(), function, small, for_tasks())
        parcel = placed.parcel.by_address() if placed.far is None else placed.far
        self._begin(index, run, errand, parcel)
        self._tasks[index] = function, placed, small
        self._processes.update(getattr(self._executor, "_processes", None) or {})

    def collect(self, timeout_s: float) -> Finished | None:
        """Wait for a task; send it again to a worker that could not reach our memory."""
        found = self._next(timeout_s)
        if found is None:
            return None
        index, future = found
        outcome = self._outcome(index, future)
        if outcome is None:
            return self._again(index)
        if isinstance(outcome, BaseException):
            return self._finished(index, error=outcome)
        if isinstance(outcome, Failure):
            return self._finished(index, error=outcome.error())
        if isinstance(outcome, Unreachable):
            placed = self._tasks[index][1]
            if placed.far is None:
                placed.far = self._far(pack(placed.obj, share=False))
            return self._again(index)
        try:
            value = outcome.open(writable=True)
        except SegmentGoneError:  # its worker has ended since
            return self._again(index)
        except Exception as error:  # whatever the class of a result does when it is loaded
            return self._finished(index, error=error)
        return self._finished(index, value)

    def close(self) -> None:
        """Wait for the tasks that run."""
        try:
            self._empty()
        finally:
            self._tasks.clear()
            self._tries.clear()
            self._processes.clear()
            self._let_go()
            recent.drop(self._id)

    # ---- for executors that are no executors ---------------------------------------------------

    def _outcome(self, index: int, future: Any) -> Any:
        """Return what the worker answered, an error of the task, or None if it has to be run again.

        Raises
        ------
        WorkerDiedError, ExecutorError
            The executor cannot be used any more.
        """
        try:
            return future.result()
        except BrokenExecutor as error:
            raise self._died(index, error) from error
        except CancelledError as error:
            raise _cancelled(self._kind, index) from error
        except Exception as error:  # of sending the task, or its result: whatever the executor raises
            return error

    def _far(self, parcel: Parcel) -> Any:
        """Return what workers on other machines are sent."""
        return parcel

    # ---- details -------------------------------------------------------------------------------

    def _again(self, index: int) -> Finished | None:
        function, placed, small = self._tasks[index]
        self._tries[index] = self._tries.get(index, 0) + 1
        if self._tries[index] > _TRIES:
            return self._finished(
                index,
                error=ExecutorError(
                    f"what task {index} returned was gone {_TRIES} times before it could be received.\n"
                    "The workers of the executor end too early; use an executor that keeps them."
                ),
            )
        self.submit(index, function, placed, *small)
        return None

    def _finished(self, index: int, value: Any = None, error: BaseException | None = None) -> Finished:
        del self._tasks[index]
        self._tries.pop(index, None)
        return Finished(index, value, error)

    def _died(self, index: int, error: BaseException) -> WorkerDiedError:
        """Say what is known of a broken pool: all tasks that it had have failed."""
        indices = tuple(sorted(self._tasks))
        tasks = f"task {index}" if len(indices) == 1 else f"one of the tasks {', '.join(map(str, indices))}"
        lines = [f"a worker process of the {self._kind} died at {tasks}: {str(error).splitlines()[0]}"]
        ends = how_they_ended(self._processes)
        lines += [f"  {end}" for end in ends]
        if any("SIGKILL" in end for end in ends) or "SIGKILL" in str(error):
            lines.append("SIGKILL comes from the system when memory is short: likely out of memory.")
        lines.append(
            "The executor cannot be used any more: make a new one, with fewer workers if memory was short;\n"
            f"executor={self.n_workers} starts processes that are replaced when they die."
        )
        died = WorkerDiedError("\n".join(lines))
        died.indices = indices
        return died

    def _let_go(self) -> None:
        if self._placed is not None:
            self._placed.let_go()
        self._placed = None


def _cancelled(kind: str, index: int) -> ExecutorError:
    return ExecutorError(
        f"the {kind} was shut down, or task {index} in it cancelled, before the work was done.\n"
        "Keep the executor open until then."
    )
