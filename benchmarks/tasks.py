"""What a block costs beside its work: an empty one, on threads, worker processes and a Dask cluster.

Targets  : 50 µs on threads, 1 ms on processes, 5 ms on Dask
Repeat   : .venv-bench/bin/python -m benchmarks tasks

Two workers each; the time of a pass of many groups less that of a pass of one, over the groups. Workers are
up before the clock runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import outcore as oc
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings
from outcore.blocks.reducing import session

#: Groups have at least so many rows, so this many rows make this many empty tasks.
GROUP_ROWS, GROUPS = 65536, 64
LIMITS_MS = {"threads": 0.05, "processes": 1.0, "dask": 5.0}


class Empty(oc.Statistic[None, None]):
    """Does nothing with its blocks."""

    def zero(self) -> None:
        """Return nothing."""

    def update(self, state: None, block: Any) -> None:
        """Do nothing."""

    def merge(self, state: None, other: None) -> None:
        """Do nothing."""


def run(settings: Settings) -> Report:
    """Several passes on each kind of workers."""
    report = Report("an empty block, two workers")
    x = oc.share(np.zeros((GROUPS * GROUP_ROWS, 1), np.int8))
    rows = []
    for name, wanted in LIMITS_MS.items():
        with _executor(name) as executor, session(executor, workers=2):
            oc.reduce_rows(x, Empty())
            each = [_task_s(x) for _ in range(settings.many_repeats)]
        median = statistics.median(each) * 1e3
        rows.append([name, f"{median:.3f}"])
        report.targets.append(Target(f"an empty block on {name}", wanted, median, " ms", at_most=True))
    report.tables.append(Table("", ["", "ms a block"], rows))
    return report


def _task_s(x: Any) -> float:
    begin = time.perf_counter()
    oc.reduce_rows(x[:GROUP_ROWS], Empty())
    middle = time.perf_counter()
    oc.reduce_rows(x, Empty())
    return (time.perf_counter() - middle - (middle - begin)) / (GROUPS - 1)


@contextmanager
def _executor(name: str) -> Iterator[Any]:
    if name == "threads":
        yield None
    elif name == "processes":
        yield 2
    else:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, protocol="tcp://", dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
