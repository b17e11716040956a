"""Executors of every kind, started and warm, so that a test can see what it leaves behind itself."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import loky
import numpy as np
from distributed import Client

from outcore.executors.choosing import choose
from outcore.executors.protocol import Finished, Runner
from tests.executors import tasks

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0  # more than anything here takes on a loaded machine; reached only if something hangs

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "ThreadPoolExecutor": lambda: ThreadPoolExecutor(2),
    "ProcessPoolExecutor": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
    "loky": lambda: loky.ProcessPoolExecutor(2, timeout=None),
}
OURS: dict[str, int | None] = {"2 threads": None, "2 processes": 2}


@contextmanager
def started(kind: str) -> Iterator[Any]:
    """Give what ``executor=`` takes, warm; for Dask, the address of the scheduler."""
    if kind in OURS:
        yield OURS[kind]
    elif kind == "dask":
        with scheduler() as address:
            yield address
    else:
        with EXECUTORS[kind]() as executor:
            warm_up(executor)
            yield executor


@contextmanager
def connected(pool: Any) -> Iterator[Any]:
    """Give what ``executor=`` takes."""
    if isinstance(pool, str):
        with Client(pool, set_as_default=False) as client:
            yield client
    else:
        yield pool


@contextmanager
def scheduler(**config: Any) -> Iterator[str]:
    """Start a Dask scheduler with two worker processes; give its address."""
    command = [sys.executable, "-m", "tests.executors.cluster", json.dumps(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            address = program.stdout.readline().strip()
            with connected(address) as client:
                warm_up(client)  # starts threads of Dask that stay
            yield address
        finally:
            program.stdin.close()
            program.wait(PATIENCE_S)


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
    deadline = time.monotonic() + PATIENCE_S
    while found is None and time.monotonic() < deadline:
        found = runner.collect(5.0)
    assert found is not None, "no task has ended"
    return found
