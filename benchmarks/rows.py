"""Random rows of 16, 4 and 1 kB, cold, from an array four times as large as the memory allowed.

Against  : os.preadv in a loop, np.take on a memmap
Limit    : fio, random reads of the same size, 32 in flight, on the same file
Targets  : rows of 16 kB at least 0.6 of fio, rows of 4 kB at least 0.65
Repeat   : .venv-bench/bin/python -m benchmarks rows

Rows begin at multiples of their size, as the blocks of fio do. Rows of 1 kB have no target: the page
cache reads 4 kB for each.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks import cold, data, fio, limits
from benchmarks.measure import Turn, interleave
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings

#: Values in the smallest row, 1 kB; the first of them is its number, so rows of every size can be checked.
UNIT = 128
TARGETS = {16: 0.6, 4: 0.65, 1: None}
#: The loops read so many times fewer rows a batch; what counts is the rate.
SHARE = {"os.preadv loop": 4, "np.take on a memmap": 256}


def run(settings: Settings) -> Report:
    """One file, three shapes."""
    limit = (256 << 20) if settings.quick else (2 << 30)
    report = Report("random rows, cold")
    report.setting = [f"{4 * limit / 1e9:.1f} GB file, {limits.describe(limit)}",
                      "no row twice in a batch; the file is evicted before each batch"]  # fmt: skip
    with settings.workspace(4 * limit) as folder:
        path = folder / "x.bin"
        data.write_raw(path, 4 * limit // (UNIT * 8), UNIT)
        for kilobytes, wanted in TARGETS.items():
            limit_name = f"fio {kilobytes}k, depth 32"
            contenders = _contenders(path, kilobytes << 10, limit, settings)
            contenders[limit_name] = partial(_fio, path, kilobytes << 10, 2 if settings.quick else 6)
            rates = interleave(contenders, settings.repeats, "rows/s")
            report.tables.append(compare(f"rows of {kilobytes} kB", rates, "outcore take", kilobytes << 10))
            if wanted:
                report.targets.append(beats(rates, "outcore take", limit_name, wanted))
    return report


def _contenders(path: Path, row_bytes: int, limit: int, settings: Settings) -> dict[str, Turn]:
    # Few enough rows that hardly two are neighbours: an eighth of the limit, which is a 32nd of the file.
    batch = min(limit // 8 // row_bytes, 64_000)
    seconds = 0.3 if settings.quick else 2.0
    names = ("outcore take", "os.preadv loop", "np.take on a memmap")
    return {
        name: partial(_turn, limit, reader=name, path=str(path), row_bytes=row_bytes,
                      batch=max(batch // SHARE.get(name, 1), 16), seconds=seconds)
        for name in names
    }  # fmt: skip


def _turn(limit: int, seed: int, **what: Any) -> float:
    return float(limits.call(measure, limit, seed=seed, **what).value)


def _fio(path: Path, row_bytes: int, seconds: int, seed: int) -> float:
    return fio.random_read(path, row_bytes, seconds=seconds) / row_bytes


def measure(reader: str, path: str, row_bytes: int, batch: int, seconds: float, seed: int) -> float:
    """Read batches until `seconds` were spent reading; return rows a second. Runs under the limit."""
    rng = np.random.default_rng(seed)
    n_rows = os.path.getsize(path) // row_bytes
    out = np.ones((batch, row_bytes // 8))
    spent, count = 0.0, 0
    while spent < seconds:
        rows = rng.choice(n_rows, batch, replace=False)
        spent += READERS[reader](path, row_bytes, rows, out)
        if not np.array_equal(out[:, 0], rows * (row_bytes // 8 // UNIT)):
            raise AssertionError("these are not the rows that were asked for")
        count += batch
    return count / spent


def _take(path: str, row_bytes: int, rows: NDArray[np.int64], out: NDArray[Any]) -> float:
    with oc.open(path, dtype="f8", shape=(-1, row_bytes // 8)) as array:
        array.take(rows[:1])  # loads what is loaded on demand
        cold.require(Path(path))
        begin = time.perf_counter()
        array.take(rows, out=out)
        return time.perf_counter() - begin


def _preadv_loop(path: str, row_bytes: int, rows: NDArray[np.int64], out: NDArray[Any]) -> float:
    fd = os.open(path, os.O_RDONLY)
    try:
        cold.require(Path(path))
        begin = time.perf_counter()
        flat = memoryview(out.data).cast("B")
        for i, row in enumerate(rows.tolist()):
            if os.preadv(fd, [flat[i * row_bytes : (i + 1) * row_bytes]], row * row_bytes) != row_bytes:
                raise EOFError(path)
        return time.perf_counter() - begin
    finally:
        os.close(fd)


def _memmap_take(path: str, row_bytes: int, rows: NDArray[np.int64], out: NDArray[Any]) -> float:
    cold.require(Path(path))
    mapped = np.memmap(path, "f8", "r").reshape(-1, row_bytes // 8)
    begin = time.perf_counter()
    np.take(mapped, rows, axis=0, out=out, mode="clip")
    return time.perf_counter() - begin


READERS = {"outcore take": _take, "os.preadv loop": _preadv_loop, "np.take on a memmap": _memmap_take}
