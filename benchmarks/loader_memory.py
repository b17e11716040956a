"""Memory of a loader with all its processes, at its peak, for every number and kind of workers.

Target   : at most the budget
Repeat   : .venv-bench/bin/python -m benchmarks loader_memory

PSS of the process and of its workers (benchmarks.family), interpreters and libraries included, looked at
every few milliseconds. A transform makes a new array of each batch, as most do. Beside it: the same without
the pages of mapped files, which are the page cache's, and which the kernel takes back where memory is short;
what was there before the loader was made; and what the loader says that it takes (`Loader.peak_bytes`).
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
    # Four worker processes alone take 200 MB.
    n_rows, budget = 4_000_000 // less, BUDGET_BYTES // (2 if settings.quick else 1)
    report = Report("memory of a loader and all its processes")
    report.setting = [f"{n_rows * UNIT * 8 / 1e9:.1f} GB file, cold, batches of {BATCH} rows of 1 kB",
                      f"budget {budget / 1e6:.0f} MB"]  # fmt: skip
    rows: list[list[str]] = []
    peaks: dict[str, family.Memory] = {}
    with settings.workspace(n_rows * UNIT * 8) as folder:
        path = folder / "x.bin"
        data.write_raw(path, n_rows, UNIT)
        for shuffle, (workers, kind) in product(("block", True), WORKERS):
            name = f"shuffle={shuffle!r}, {workers} x {kind}"
            say(name)
            peak = family.Peak()
            what = {"path": str(path), "shuffle": shuffle, "workers": workers, "kind": kind, "budget": budget}
            (before, planned), _ = limits.watch(epoch, peak, **what)
            peaks[name] = peak.memory
            sizes = peak.memory.pss, peak.memory.without_files, before, planned
            rows.append([name, *(f"{size / 1e6:.0f}" for size in sizes)])
        say("")
    header = ["", "peak PSS, MB", "without files", "before, MB", "planned, MB"]
    report.tables.append(Table("", header, rows, figures={"peak_bytes": peaks, "budget": budget}))
    for which, text in enumerate(("PSS", "PSS without the pages of mapped files")):
        worst = max(peaks, key=lambda name: peaks[name][which])
        share = peaks[worst][which] / budget
        report.targets.append(Target(f"of the budget: {text} ({worst})", 1.0, share, at_most=True))
    return report


def epoch(path: str, shuffle: str | bool, workers: int, kind: str, budget: int) -> list[int]:
    """Go through an epoch; return the memory before it and what the loader says it takes."""
    cold.require(Path(path))
    x = oc.open(path, dtype="f8", shape=(-1, UNIT))
    before = family.memory(os.getpid()).without_files
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
