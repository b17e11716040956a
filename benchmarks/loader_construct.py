"""A loader of a billion rows: what making it takes, and the first batch.

Targets  : less than 50 ms; memory that does not grow with the number of rows
Repeat   : .venv-bench/bin/python -m benchmarks loader_construct

A file of holes, 4 GB by its size. Each figure is of fresh processes: `first` is the first loader that is
made there, importing what it needs, `next` the median of ten more; `allocated` is the peak while one is made
(tracemalloc), `held` what is held after the first batch, `grown` how much more anonymous memory the process
has then. One bit for each row would be 125 MB.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from typing import Any

import outcore as oc
from benchmarks import limits
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

ROWS, COLUMNS, BATCH = 1_000_000_000, 1, 1024
KINDS: dict[str, dict[str, Any]] = {
    'shuffle="block"': {"shuffle": "block"},
    "shuffle=True": {"shuffle": True},
    "shuffle=False": {"shuffle": False},
    'shuffle="block", windows of 16': {"shuffle": "block", "length": 16},
    "half of the rows, a range": {"shuffle": "block", "half": True},
}
#: Less than a bit a row.
MOST_BYTES = 100_000_000


def run(settings: Settings) -> Report:
    """Every kind in turns."""
    report = Report(f"a loader of {ROWS:,} rows")
    report.setting = [f"({ROWS:,}, {COLUMNS}) float32, a sparse file; batches of {BATCH}"]
    rows, figures = [], {}
    with settings.workspace(0) as folder:
        path = folder / "x.bin"
        with open(path, "wb") as file:
            file.truncate(ROWS * COLUMNS * 4)
        for name, kind in KINDS.items():
            seen = [limits.call(times, None, path=str(path), **kind).value for _ in range(settings.repeats)]
            first, later = (statistics.median(each) * 1e3 for each in zip(*seen, strict=True))
            first_batch = limits.call(first_batch_s, None, path=str(path), **kind).value
            made, held, grown = limits.call(memory, None, path=str(path), **kind).value
            figures[name] = {"times_s": seen, "first_batch_s": first_batch, "bytes": [made, held, grown]}
            rows.append([
                name, f"{first:.1f}", f"{later:.2f}", f"{first_batch * 1e3:.0f}", f"{made / 1e6:.2f}",
                f"{held / 1e6:.1f}", f"{grown / 1e6:.0f}",
            ])  # fmt: skip
            report.targets.append(Target(f"to make one, {name}", 50, later, " ms", at_most=True))
            # What a block shuffle holds after its first batch are its buffers, within its budget.
            what, size = ("after its first batch", grown) if kind["shuffle"] is True else ("to make it", made)
            report.targets.append(
                Target(f"of memory {what}, {name}", MOST_BYTES / 1e6, size / 1e6, " MB", at_most=True)
            )
    header = ["", "first, ms", "next, ms", "first batch, ms", "allocated, MB", "held, MB", "grown, MB"]
    notes = ["for its first batch a block shuffle reads its first buffer"]
    report.tables.append(Table("", header, rows, notes, figures))
    return report


def times(path: str, **kind: Any) -> list[float]:
    """Return the seconds of the first loader of a process, and of a later one."""
    x = oc.open(path, dtype="f4", shape=(ROWS, COLUMNS))
    spent = []
    for _ in range(11):
        begin = time.perf_counter()
        _made(x, **kind)
        spent.append(time.perf_counter() - begin)
    return [spent[0], statistics.median(spent[1:])]


def first_batch_s(path: str, **kind: Any) -> float:
    """Return the seconds from `iter` to the first batch."""
    loader = _made(oc.open(path, dtype="f4", shape=(ROWS, COLUMNS)), **kind)
    begin = time.perf_counter()
    batches = iter(loader)
    next(batches)
    spent = time.perf_counter() - begin
    batches.close()
    return spent


def memory(path: str, **kind: Any) -> list[int]:
    """Return the bytes that making a loader allocates, those held after a batch, and how the process grew."""
    x = oc.open(path, dtype="f4", shape=(ROWS, COLUMNS))
    _made(x, **kind)  # imports are no part of it
    before = limits.anonymous_bytes()
    tracemalloc.start()
    loader = _made(x, **kind)
    _, made = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    batches = iter(loader)
    next(batches)
    _, held = tracemalloc.get_traced_memory()
    grown = limits.anonymous_bytes() - before
    batches.close()
    return [made, held, grown]


def _made(x: Any, shuffle: str | bool, length: int = 0, half: bool = False) -> Any:
    window = oc.Window(length) if length else None
    return oc.Loader(x, BATCH, shuffle=shuffle, window=window, indices=range(0, ROWS, 2) if half else None)
