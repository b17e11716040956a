"""From ``executor=`` and ``workers=`` to a runner.

Reads from : the options in force
Hands to   : blocks.reducing
"""

from __future__ import annotations

import os
import sys
from typing import Any

from outcore.errors import OptionError
from outcore.executors.protocol import Runner
from outcore.executors.threads import Threads
from outcore.settings import current


def usable_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(executor: Any = None, workers: int | None = None) -> Runner:
    """Return a runner; nothing is started yet.

    Parameters
    ----------
    executor : None, int, concurrent.futures.Executor or dask.distributed.Client
        None takes the value of ``oc.options`` and, where that is not set, threads of this process. An int: so
        many worker processes.
    workers : int, optional
        How many threads or processes of our own; for an executor, how many tasks to keep running. By default
        the number of cores that this process may use, or of the executor's workers. Inside a task: 1.

    Raises
    ------
    OptionError
        Not an executor, or not a number of workers.
    ExecutorError
        An executor that was shut down.
    """
    if executor is None:
        executor = current().executor
    if workers is not None and not _counts(workers):
        raise OptionError(
            f"workers={workers!r} is not a number of workers.\nUse an int from 1 on, workers=4."
        )
    if executor is None:
        return Threads(workers or (1 if current().in_task else usable_cores()))
    # Modules of the others are loaded where they are used.
    if isinstance(executor, int):
        if not _counts(executor):
            raise OptionError(
                f"executor={executor!r} is not a number of worker processes.\n"
                "Use an int from 1 on, executor=4, or None for threads."
            )
        from outcore.executors.processes import Processes

        return Processes(workers or executor)
    futures = sys.modules.get("concurrent.futures")
    if futures is not None and isinstance(executor, futures.Executor):
        from outcore.executors import foreign

        return foreign.runner(executor, workers)
    # Who has a client has imported its module.
    distributed = sys.modules.get("distributed")
    if distributed is not None and isinstance(executor, distributed.Client):
        from outcore.executors.dask_client import DaskClient

        return DaskClient(executor, workers)
    raise OptionError(
        f"executor={executor!r} is no executor.\n"
        "Use None for threads, an int for so many worker processes, a concurrent.futures.Executor"
        " or a dask.distributed.Client."
    )


def _counts(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1
