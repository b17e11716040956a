"""Tasks on a Dask cluster, through the `distributed.Client` that the user gave.

Reads from : executors.errand, which runs in the workers
Hands to   : executors.choosing

Guarantees
- Nothing of Dask is imported here: who has a client has imported it.
- The scheduler sees addresses. Parameters of 64 kB or more are found in shared memory by workers of this
  machine, and are sent once to each worker of a cluster that has others.
- A worker that dies is Dask's business: it runs the task again elsewhere. If that goes on, the pass ends with
  `WorkerDiedError`.
- The client stays open. When `close` returns, none of our tasks runs on the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from typing import Any

from outcore.errors import ExecutorError, OptionError, WorkerDiedError
from outcore.executors.errand import drop
from outcore.executors.foreign import Foreign
from outcore.executors.parcel import SHARE_BYTES, Parcel

#: How often to look whether there are any workers left to wait for.
_LOOK_S = 1.0


class DaskClient(Foreign):
    """A `distributed.Client`.

    Raises
    ------
    ExecutorError
        It is closed, or cannot reach its scheduler.
    OptionError
        It was made with ``asynchronous=True``.
    """

    def __init__(self, client: Any, workers: int | None) -> None:
        if client.asynchronous:
            raise OptionError(
                "executor is a client with asynchronous=True, whose calls nobody awaits here.\n"
                "Use Client(address)."
            )
        self._client = client
        self._check()
        threads = client.nthreads()
        # Its futures fetch their results by themselves, side by side. Not pure: Dask would hash the
        # arguments, and hold the results of equal tasks for one another.
        super().__init__(client.get_executor(pure=False), workers or max(1, sum(threads.values())))
        self._kind = "Dask cluster"
        self.name = f"Dask cluster of {len(threads)} workers with {sum(threads.values())} threads"

    def submit(self, index: int, function: Callable[..., Any], placed: Any, *small: Any) -> None:
        """Send the task to the scheduler."""
        self._check()
        super().submit(index, function, placed, *small)

    def _empty(self) -> None:
        """Tell the workers to begin no more of our tasks, and wait for those that run."""
        left = set(self._futures.values())
        # Not cancelled: Dask then forgets a task that runs, and does not tell when it ends.
        if left and self._client.status == "running":
            self._client.run(drop, self._id, on_error="ignore")
        while left and self._client.status == "running" and self._client.nthreads():
            left = futures.wait(left, timeout=_LOOK_S).not_done
        for future in left:
            future.cancel()
        self._futures.clear()

    def _outcome(self, index: int, future: Any) -> Any:
        try:
            return future.result()
        except Exception as error:  # told apart by their names: their classes belong to Dask
            kind = type(error).__name__
            if kind == "KilledWorker":
                died = WorkerDiedError(
                    f"workers of the Dask cluster died again and again at task {index}:"
                    f" {str(error).splitlines()[0]}\n"
                    "The logs of the workers tell why; likely out of memory: start them with more memory,"
                    ' or give the pass a smaller budget, memory="1GB".'
                )
                died.indices = (index,)
                raise died from error
            if "Cancelled" in kind or self._client.status != "running":
                raise ExecutorError(
                    f"the Dask cluster dropped task {index}: {error}\n"
                    "Its scheduler was restarted, or the client closed; make a new client and run it again."
                ) from error
            return error

    def _far(self, parcel: Parcel) -> Any:
        """Send parameters once to each worker, if they are large."""
        if parcel.nbytes < SHARE_BYTES:
            return parcel
        return self._client.scatter(parcel, broadcast=True, hash=False)

    def _check(self) -> None:
        if self._client.status != "running":
            raise ExecutorError(
                f"the Dask client is not connected to a cluster (its status is {self._client.status!r}).\n"
                "Make a new one: Client(address)."
            )
