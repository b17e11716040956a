"""2 M rows of 256 float32, all of them in the page cache, in batches of 1024, `shuffle=True`.

Against  : a loop of np.take on one thread, whose order exists beforehand and which fills one buffer; torch's
           DataLoader row by row and with __getitems__, each with 0, 1 and 2 workers; grain
Targets  : at least 1.2 times the loop, 12 times torch row by row and twice its __getitems__, each with the
           number of workers that suits it best
Repeat   : .venv-bench/bin/python -m benchmarks loader_shuffle

Each turn is a fresh process; opening and importing are outside the clock. outcore, the loop and torch's
__getitems__ without workers go through an epoch before it starts, so that all pages are mapped, and then
through a whole one, from `iter` on, which draws the order; only the loop has its own beforehand. The first
epoch of outcore is shown too. The others take fewer batches, have their pages mapped beforehand as well, and
their clock starts when their first batch is there: starting workers and drawing the order is not in their
time. Whoever takes the batches reads one value of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

import outcore as oc
from benchmarks import batchers, cold, data, limits
from benchmarks.measure import Skip, Turn, interleave
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings

ROWS, COLUMNS, BATCH = 2_000_000, 256, 1024
ROW_BYTES = COLUMNS * 4
OURS, FIRST, LOOP = "outcore.Loader", "outcore.Loader, first epoch", "np.take loop, one thread"
BY_ROW = {f"torch by row, {workers} workers": workers for workers in (0, 1, 2)}
BY_BATCH = {f"torch __getitems__, {workers} workers": workers for workers in (0, 1, 2)}

#: Name -> the way, its options, and how many batches are enough of it (None: the whole epoch).
WAYS: dict[str, tuple[Callable[..., Iterable[Any]], dict[str, Any], int | None]] = {
    OURS: (batchers.outcore_loader, {}, None),
    FIRST: (batchers.outcore_loader, {}, None),
    LOOP: (batchers.take_loop, {}, None),
    'the same, mode="clip"': (batchers.take_loop, {"mode": "clip"}, None),
    **{name: (batchers.torch_by_row, {"workers": workers}, 300) for name, workers in BY_ROW.items()},
    **{
        name: (batchers.torch_by_batch, {"workers": workers}, 1500 if workers else None)
        for name, workers in BY_BATCH.items()
    },
    "grain by row": (batchers.grain_by_row, {}, 200),
    "grain, rows gathered in a map": (batchers.grain_by_batch, {}, 600),
    "the same, 2 threads": (batchers.grain_by_batch, {"threads": 2}, 600),
    "the same, 2 processes": (batchers.grain_by_batch, {"processes": 2}, 600),
}


def run(settings: Settings) -> Report:
    """One file in memory; everybody in turns."""
    n_rows = ROWS // (10 if settings.quick else 1)
    size = n_rows * ROW_BYTES
    report = Report(f"shuffled batches of {BATCH} of ({n_rows:,}, {COLUMNS}) float32, hot")
    report.setting = [f"{size / 1e9:.2f} GB file, wholly in the page cache",
                      batchers.versions("torch", "grain")]  # fmt: skip
    with settings.workspace(size) as folder:
        path = folder / "x.npy"
        with oc.create(path, (n_rows, COLUMNS), "f4") as array:
            for start, block in data.blocks(n_rows, COLUMNS):
                array[start : start + len(block)] = block.astype("f4")
        if (share := cold.read_through(path)) < 1:
            raise Skip(f"only {share:.0%} of the file stay in the page cache")
        limits.call(check, None, path=str(path))
        turns: dict[str, Turn] = {name: partial(_turn, name, str(path)) for name in WAYS}
        rates = interleave(turns, settings.repeats, "rows/s")
    report.tables.append(compare("", rates, OURS, ROW_BYTES))
    by_row, by_batch = rates.best(BY_ROW), rates.best(BY_BATCH)
    report.targets += [
        beats(rates, OURS, LOOP, 1.2),
        beats(rates, OURS, by_row, 12.0, f"{by_row}, its best number"),
        beats(rates, OURS, by_batch, 2.0, f"{by_batch}, its best number"),
    ]
    return report


def _turn(name: str, path: str, seed: int) -> float:
    return float(limits.call(measure, None, name=name, path=path, seed=seed).value)


def measure(name: str, path: str, seed: int) -> float:
    """Take batches; return rows a second."""
    way, options, enough = WAYS[name]
    batches = way(path, BATCH, seed, **options)
    total = n_rows = 0.0
    whole = enough is None
    if whole and name != FIRST:
        for batch in batches:
            total += float(batch[0, 0])
    begin = time.perf_counter() if whole else None
    for number, batch in enumerate(batches):
        if begin is None:
            begin = time.perf_counter()
            continue
        total += float(batch[0, 0])
        n_rows += len(batch)
        if number == enough:
            break
    assert begin is not None
    spent = time.perf_counter() - begin
    if not total > 0:
        raise AssertionError("no rows came")
    return n_rows / spent


def check(path: str) -> int:
    """Compare an epoch of ours with what was written: each row once. Returns the number of batches."""
    loader = oc.Loader(oc.open(path), BATCH, shuffle=True)
    n_batches = len(loader)
    numbers = np.concatenate([batch[:, 0].copy() for batch in loader])  # a view holds its whole batch
    if not np.array_equal(np.sort(numbers), np.arange(len(numbers), dtype=np.float32)):
        raise AssertionError("the batches do not hold each row once")
    if np.array_equal(np.sort(numbers), numbers):
        raise AssertionError("the rows were not shuffled")
    return n_batches
