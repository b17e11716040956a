"""Transforms in worker processes, for those that hold the interpreter's lock.

Reads from : executors.processes, loader.offloading_slots, loader.offloading_task
Hands to   : loader.making

Guarantees
- A worker that dies is replaced, and its batch is made again, once, from the same rows with the same random
  numbers; if that dies too, `WorkerDiedError` names the batch. Nothing waits for a process that is gone.
- Transforms travel once to each worker; rows go there, and batches come back, through shared memory that is
  used again: the number of segments and descriptors does not grow with the number of batches.
- A batch that came back is the caller's alone, writable, in memory of this process.
- When `close` returns, in whichever thread, the workers are gone, and no thread is inside.

Each worker has a runner of its own (`Processes(1)`), lent to one thread at a time: runners are used by one
thread, and a thread wants the answer to its own batch. Workers end with their parent by watching the process,
not by a signal that the kernel ties to the thread that started them, so any thread may start one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import DTypeLike, NDArray

from outcore.errors import ExecutorError, WorkerDiedError
from outcore.executors.parcel import Placed
from outcore.executors.pickling import dumps
from outcore.executors.processes import Processes
from outcore.loader.buffers import Closed
from outcore.loader.lease import Leases
from outcore.loader.offloading_slots import Slots
from outcore.loader.offloading_task import described, taken, transformed
from outcore.storage.threads import run_threads

#: How often a thread that waits for a worker looks whether this was closed.
_LOOK_S = 0.1
#: Pages of program files, which workers share with each other and with whoever else runs the same.
_LIBRARIES_BYTES = 16 << 20


class Offloaded:
    """Applies transforms in `n_workers` processes; the first batches start them.

    Parameters
    ----------
    transforms : sequence of callable
        ``transform(batch, rng) -> batch``, applied one after the other. Arrays inside of them are shared by
        all workers, which can only read them.
    n_workers : int
        Up to so many threads call this at the same time.

    Raises
    ------
    ExecutorError
        A transform cannot be pickled.

    Notes
    -----
    Memory: see `overhead_bytes`. Large arrays inside of transforms are held once more, in shared memory.
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], n_workers: int) -> None:
        self._pid = os.getpid()
        self._slots = Slots()
        self._leases = Leases(keep=n_workers)
        # Its lock may be taken again by the same thread, if a garbage collection inside closes this.
        self._changed = threading.Condition()
        self._idle = [Processes(1) for _ in range(n_workers)]
        #: Runners that are lent or being closed, and the thread that has each.
        self._busy: dict[Processes, int] = {}
        self._closed = False
        self._placed: Placed | None = _placed(tuple(transforms))

    @staticmethod
    def overhead_bytes(n_workers: int, batch_bytes: int = 0) -> int:
        """Return the memory that all workers take, beside the batches that somebody has.

        Parameters
        ----------
        batch_bytes : int
            Of a batch, before or after the transforms, whichever is larger. Counted for each worker: the rows
            that it is given, its copy of them, what the transforms make of it, that once more in shared
            memory, and a place in this process that waits for it. What transforms need while they work is not
            known here, nor what the modules take that they import.
        """
        return _LIBRARIES_BYTES + n_workers * (Processes.worker_bytes + 5 * batch_bytes)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return memory for rows of a batch, values unspecified; `release` it when the batch was made."""
        return self._slots.empty(shape, dtype)

    def release(self, arrays: Iterable[Any]) -> None:
        """Take back arrays that `empty` returned; their memory is for other batches from now on."""
        self._slots.release(arrays)

    def __call__(self, batch: Any, key: tuple[int, int, int]) -> Any:
        """Have a batch made, and wait for it.

        Parameters
        ----------
        batch : ndarray, tuple or dict
            Of arrays from `empty`; others are copied. They are only read.
        key : tuple (seed, epoch, position)
            Of the random numbers.

        Returns
        -------
        object
            What the last transform returned, its arrays in memory of this process.

        Raises
        ------
        WorkerDiedError
            A worker died at this batch, and so did the next one.
        ExecutorError
            The system allows no further process, or this is a forked child.
        Closed
            `close` was called meanwhile.
        Exception
            Whatever a transform raises, with the worker's traceback as a note.
        """
        if os.getpid() != self._pid:
            raise ExecutorError(
                f"the worker processes belong to process {self._pid}, not to its child {os.getpid()}.\n"
                "Iterate over the loader in the child: it starts its own."
            )
        extra: list[Any] = []
        try:
            message = described(batch, self._slots, extra)
            with self._borrowed() as runner:
                answer, error = self._answer(runner, message, key)
                # Copied before the worker may use its memory for the next batch.
                made = None if error is not None else taken(answer, self._leases.empty)
            del answer
        finally:
            self._slots.release(extra)
        if error is not None:
            raise error
        return made

    def close(self) -> None:
        """End the workers; batches that are being made are given a moment to end. May be called twice."""
        if os.getpid() != self._pid:
            for runner in (*self._idle, *self._busy):
                runner.close()  # lets go of what the fork has inherited
            return
        me = threading.get_ident()
        with self._changed:
            self._closed = True
            own = [runner for runner, thread in self._busy.items() if thread == me]
            own += self._idle
            self._idle.clear()
            self._busy.update(dict.fromkeys(own, me))
            self._changed.notify_all()
        try:
            run_threads(len(own), lambda which: own[which].close(), len(own))
        finally:
            with self._changed:
                for runner in own:
                    self._busy.pop(runner, None)
                self._changed.notify_all()
                # The other threads look, close the runners that they have, and leave.
                while self._busy:
                    self._changed.wait()
            self._slots.close()
            placed, self._placed = self._placed, None
            if placed is not None:
                placed.let_go()

    # ---- inside of a call ----------------------------------------------------------------------

    def _answer(
        self, runner: Processes, message: Any, key: tuple[int, int, int]
    ) -> tuple[Any, BaseException | None]:
        try:
            runner.submit(key[2], transformed, self._placed, message, key)
            while (done := runner.collect(_LOOK_S)) is None:
                if self._closed:
                    raise Closed
        except WorkerDiedError as error:
            raise _died(error, key) from None
        except ExecutorError as error:  # of a transform it would have come as an answer
            raise ExecutorError(
                f"no worker process can be started for the transforms: {error.__cause__ or error}\n"
                'Raise the limit on processes or memory, or use threads: worker_type="thread".'
            ) from error
        return done.value, done.error

    @contextmanager
    def _borrowed(self) -> Iterator[Processes]:
        me = threading.get_ident()
        with self._changed:
            while not self._idle and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed
            # The one that came back last: where fewer threads call, fewer processes are started.
            runner = self._idle.pop()
            self._busy[runner] = me
        next_one = runner
        try:
            yield runner
        except BaseException:
            # It may still be at this batch, and its next answer would be that to this one.
            next_one = Processes(1)
            runner.close()
            raise
        finally:
            with self._changed:
                closed = self._closed
                if not closed:
                    del self._busy[runner]
                    self._idle.append(next_one)
                    self._changed.notify_all()
            if closed:
                runner.close()
                with self._changed:
                    self._busy.pop(runner, None)
                    self._changed.notify_all()


def _placed(transforms: tuple[Callable[..., Any], ...]) -> Placed:
    """Pack the transforms, once for all runners."""
    try:
        return Placed.of(transforms, 1)
    except ExecutorError as error:
        which, cause = _unpicklable(transforms, error)
        raise ExecutorError(
            f"the transform {which} cannot be sent to a worker process: {cause}\n"
            "Write it as a function at the top level of a module, or as an instance of a class there that"
            ' holds no open files or locks; or use threads: worker_type="thread".'
        ) from error


def _unpicklable(transforms: tuple[Callable[..., Any], ...], error: ExecutorError) -> tuple[str, str]:
    """Find the transform that is the reason."""
    name = "tuple"
    for transform in transforms:
        try:
            dumps(transform, [])
        except ExecutorError as found:
            error, name = found, getattr(transform, "__qualname__", None) or type(transform).__qualname__
            break
    cause = error.__cause__ or error
    return name, f"{type(cause).__name__}: {cause}"


def _died(error: WorkerDiedError, key: tuple[int, int, int]) -> WorkerDiedError:
    seed, epoch, position = key
    lines = [
        f"the worker process died that transformed the batch at position {position} of epoch {epoch} (seed"
        f" {seed}), and so did the one that made it again:",
        *(f"  {death}" for death in error.deaths),
    ]
    if any("SIGKILL" in death for death in error.deaths):
        lines.append(
            "SIGKILL comes from the system when memory is short: likely out of memory.\n"
            "Use num_workers=1 or a smaller batch_size; dmesg tells what the system did."
        )
    elif any("while it started" in death for death in error.deaths):
        lines.append("Standard error tells why it could not start.")
    else:
        lines.append('Use worker_type="thread" and python -X faulthandler to see where it happens.')
    named = WorkerDiedError("\n".join(lines))
    named.indices, named.deaths = (position,), error.deaths
    return named
