"""What a runner must be able to do: take tasks, and hand back what they returned, in any order.

Hands to   : blocks.passing, and the modules of this package that implement it

A task is ``function(placed, *small)``: `function` is a function of a module, `placed` is one object that all
tasks of a pass share (parameters, addresses of arrays), `small` are a few numbers. Data are never arguments:
tasks open arrays by their addresses.

Guarantees that every runner gives
- Tasks run with BLAS at one thread each; how many there were before is restored when the last task has ended.
- Assumes nothing of the workers but that they can import outcore: no initializer, no inherited state.
- `close` leaves no task running and no process, file or segment of its own behind; what was given by the user
  (an executor, a client) stays open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Finished:
    """A task that ended: its index, and what it returned or raised."""

    index: int
    value: Any = None
    error: BaseException | None = None


class Runner(ABC):
    """Runs tasks; used by one thread, as a context manager.

    Attributes
    ----------
    n_workers : int
        How many tasks run at the same time.
    shares_memory : bool
        Tasks see this process's objects: nothing is pickled, and results are the objects themselves.
    name : str
        For plans and errors, such as "2 threads".
    worker_bytes : int
        Memory that each worker takes before it has a task, where the runner starts it.
    """

    n_workers: int
    shares_memory: bool
    name: str
    worker_bytes: int = 0

    @abstractmethod
    def place(self, obj: Any) -> Any:
        """Make an object available to tasks; what is returned is given to `submit`.

        Where memory is not shared, large arrays in it travel once and not with each task. It stays available
        until the next call or until `close`.
        """

    @abstractmethod
    def submit(self, index: int, function: Callable[..., Any], placed: Any, *small: Any) -> None:
        """Begin a task, or queue it behind `n_workers` others.

        Raises
        ------
        ExecutorError
            The executor takes no work (any more); the text says what to do.
        """

    @abstractmethod
    def collect(self, timeout_s: float) -> Finished | None:
        """Wait for the next task that ends; None if none did within the time.

        The error of a task is returned, not raised. Raised is what makes the runner unusable
        (`WorkerDiedError`), with the indices of the tasks that it concerns.
        """

    @abstractmethod
    def close(self) -> None:
        """Drop tasks that have not begun, wait for the others, let go of everything; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
