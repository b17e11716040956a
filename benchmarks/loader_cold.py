"""Epochs of cold arrays four times as large as the memory allowed: block shuffle, and every order possible.

Limit    : fio on the same file: reads of 1 MB from one end to the other, 16 in flight, and random reads of
           16 kB, 32 in flight
Targets  : block shuffle, rows of 1 kB: at least 0.7 of fio's sequential rate;
           `shuffle=True`, rows of 16 kB: at least 0.55 of its random rate
Repeat   : .venv-bench/bin/python -m benchmarks loader_cold

A turn is a whole epoch in a fresh process and control group, from `iter` to the end: the first buffer, which
nobody shuffles while it is read, counts. The file is evicted before, and the number of every row is compared.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

import outcore as oc
from benchmarks import cold, data, fio, limits
from benchmarks.measure import Turn, interleave
from benchmarks.report import Report, Table, beats, compare
from benchmarks.settings import Settings

#: Values in the smallest row, 1 kB; the first of them is its number, so rows of every size can be checked.
UNIT = 128
#: Bytes of a batch, whatever the rows.
BATCH_BYTES = 1 << 20
BLOCK, TRUE = "outcore, block shuffle", "outcore, shuffle=True"
SEQUENTIAL, RANDOM = "fio sequential 1M, depth 16", "fio random 16k, depth 32"
#: Name -> bytes of a row, what is asked for, the limit, and the share of it that must be reached.
WORK: dict[str, tuple[int, str | bool, str, float]] = {
    BLOCK: (1 << 10, "block", SEQUENTIAL, 0.7),
    TRUE: (16 << 10, True, RANDOM, 0.55),
}


def run(settings: Settings) -> Report:
    """One file, two shapes of it."""
    limit = settings.cold_limit_bytes
    seconds = 2 if settings.quick else 6
    report = Report("epochs of a loader, cold")
    budget = settings.loader_budget
    report.setting = [
        f"{4 * limit / 1e9:.1f} GB file, {limits.describe(limit)}",
        f"batches of {BATCH_BYTES >> 20} MB; the file is evicted before each epoch; the loader's budget: "
        + (f"{budget / 1e6:.0f} MB" if budget else "its default"),
    ]
    peaks: dict[str, int] = {}

    def turn(name: str, path: Path, seed: int) -> float:
        row_bytes, shuffle, _, _ = WORK[name]
        answer = limits.call(
            epoch, limit, path=str(path), row_bytes=row_bytes, shuffle=shuffle, budget=budget,
            seed=seed,
        )  # fmt: skip
        peaks[name] = max(peaks.get(name, 0), answer.peak_anonymous)
        return float(answer.value) / 1e6

    with settings.workspace(4 * limit) as folder:
        path = folder / "x.bin"
        data.write_raw(path, 4 * limit // (UNIT * 8), UNIT)
        fios: dict[str, Turn] = {
            SEQUENTIAL: lambda seed: fio.sequential_read(path, seconds=seconds) / 1e6,
            RANDOM: lambda seed: fio.random_read(path, 16 << 10, seconds=seconds) / 1e6,
        }
        for name, (_, _, peer, wanted) in WORK.items():
            turns: dict[str, Turn] = {name: partial(turn, name, path), peer: fios[peer]}
            rates = interleave(turns, settings.repeats, "MB/s")
            title = f"rows of {WORK[name][0] >> 10} kB"
            report.tables.append(compare(title, rates, name, 1e6))
            report.targets.append(beats(rates, name, peer, wanted, f"{peer}, for {name}, {title}"))
    rows = [[name, f"{peak / 1e6:.0f}"] for name, peak in peaks.items()]
    report.tables.append(Table("most anonymous memory, interpreter included", ["", "MB"], rows))
    return report


def epoch(path: str, row_bytes: int, shuffle: str | bool, budget: int | None, seed: int) -> float:
    """Go through an epoch; return bytes of batches a second. Runs under the limit."""
    x = oc.open(path, dtype="f8", shape=(-1, row_bytes // 8))
    loader = oc.Loader(x, BATCH_BYTES // row_bytes, shuffle=shuffle, memory=budget, seed=seed)
    numbers = np.ones(len(x))
    cold.require(Path(path))
    done = 0
    begin = time.perf_counter()
    for batch in loader:
        numbers[done : done + len(batch)] = batch[:, 0]
        done += len(batch)
    spent = time.perf_counter() - begin
    numbers.sort()
    if done != len(x) or not np.array_equal(numbers, np.arange(done) * (row_bytes // 8 // UNIT)):
        raise AssertionError("the batches do not hold each row once")
    return x.nbytes / spent
