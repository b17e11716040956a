"""Memory of a loader with all its processes, at its peak, for every number and kind of workers.

Target   : at most the budget
Repeat   : .venv-bench/bin/python -m benchmarks loader_memory

PSS of the process and of its workers (benchmarks.family), interpreters and libraries included, looked at
every few milliseconds. A transform makes a new array of each batch, as most do. What was there before the
loader was made is shown beside it.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks import cold, data, family, limits
from benchmarks.measure import Skip, say
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

BUDGET_BYTES = 1_000_000_000
#: Values in a row, 1 kB.
UNIT = 128
BATCH = 1024
#: Batches of single rows, which take long to read, and no more memory later on.
ENOUGH = 1000
WORKERS = ((0, "thread"), *((n, kind) for kind in ("thread", "process") for n in (1, 2, 4)))


def run(settings: Settings) -> Report:
    """One file; each kind of shuffle with all numbers of workers."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise Skip("the system does not tell the PSS of a process")
    less = 4 if settings.quick else 1
    n_rows, budget = 4_000_000 // less, BUDGET_BYTES // less
    report = Report("memory of a loader and all its processes")
    report.setting = [f"{n_rows * UNIT * 8 / 1e9:.1f} GB file, cold, batches of {BATCH} rows of 1 kB",
                      f"budget {budget / 1e6:.0f} MB"]  # fmt: skip
    rows, peaks = [], {}
    with settings.workspace(n_rows * UNIT * 8) as folder:
        path = folder / "x.bin"
        data.write_raw(path, n_rows, UNIT)
        for shuffle, (workers, kind) in product(("block", True), WORKERS):
            name = f"shuffle={shuffle!r}, {workers} x {kind}"
            say(name)
            what = {"path": str(path), "shuffle": shuffle, "workers": workers, "kind": kind, "budget": budget}
            (before, planned), peaks[name] = limits.watch(epoch, family.pss_bytes, **what)
            rows.append([
                name, f"{peaks[name] / 1e6:.0f}", f"{before / 1e6:.0f}", f"{planned / 1e6:.0f}",
                f"{peaks[name] / budget:.2f}",
            ])  # fmt: skip
        say("")
    header = ["", "peak PSS, MB", "before, MB", "planned, MB", "of the budget"]
    report.tables.append(Table("", header, rows, figures={"peak_bytes": peaks, "budget": budget}))
    worst = max(peaks, key=lambda name: peaks[name])
    report.targets.append(Target(f"of the budget ({worst})", 1.0, peaks[worst] / budget, at_most=True))
    return report


def epoch(path: str, shuffle: str | bool, workers: int, kind: str, budget: int) -> list[int]:
    """Go through an epoch; return the PSS before it and what the loader says it takes."""
    cold.require(Path(path))
    x = oc.open(path, dtype="f8", shape=(-1, UNIT))
    before = family.pss_bytes(os.getpid())
    loader = oc.Loader(
        x, BATCH, shuffle=shuffle, num_workers=workers, worker_type=kind, memory=budget, transform=doubled
    )
    total = 0.0
    for number, batch in enumerate(loader):
        total += float(batch[0, 0])
        if shuffle is True and number == ENOUGH:
            break
    if not total > 0:
        raise AssertionError("no rows came")
    return [before, loader.peak_bytes]


def doubled(batch: NDArray[np.float64], rng: Any) -> NDArray[np.float64]:
    """Return another array."""
    return batch * 2
