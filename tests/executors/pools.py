"""Executors of every kind, started and warm, so that a test can see what it leaves behind itself."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import loky
import numpy as np

from outcore.executors.choosing import choose
from outcore.executors.protocol import Finished, Runner
from tests.executors import tasks

PATIENCE_S = 60.0  # more than anything here takes on a loaded machine; reached only if something hangs

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "ThreadPoolExecutor": lambda: ThreadPoolExecutor(2),
    "ProcessPoolExecutor": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
    "loky": lambda: loky.ProcessPoolExecutor(2, timeout=None),
}
OURS: dict[str, int | None] = {"2 threads": None, "2 processes": 2}


@contextmanager
def opened(kind: str) -> Iterator[Any]:
    """Give what ``executor=`` takes."""
    if kind in OURS:
        yield OURS[kind]
    elif kind == "dask":
        with cluster() as client:
            yield client
    else:
        with EXECUTORS[kind]() as executor:
            warm_up(executor)
            yield executor


@contextmanager
def cluster(**options: Any) -> Iterator[Any]:
    """A scheduler and two worker processes, reached over TCP."""
    from distributed import Client, LocalCluster

    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "protocol": "tcp://", **options}
    with LocalCluster(dashboard_address=None, **settings) as local, Client(local) as client:
        for _ in range(3):
            client.run(os.getpid)
            warm_up(client)
        yield client


def warm_up(executor: Any) -> None:
    """Have the executor start all of its workers, threads and connections."""
    with choose(executor) as runner:
        placed = runner.place({"x": np.ones(100_000)})
        for index in range(8):
            runner.submit(index, tasks.times, placed, 2.0)
        assert {done.index for done in everything(runner, 8)} == set(range(8))


def everything(runner: Runner, n: int) -> list[Finished]:
    """Collect `n` tasks."""
    return [collected(runner) for _ in range(n)]


def collected(runner: Runner) -> Finished:
    found = None
    waited = 0.0
    while found is None and waited < PATIENCE_S:
        found = runner.collect(5.0)
        waited += 5.0
    assert found is not None, "no task has ended"
    return found
