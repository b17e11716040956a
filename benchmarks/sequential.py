"""A file read from one end to the other in blocks, cold, under a memory limit.

Against  : readinto of the same blocks, np.memmap
Limit    : fio, sequential reads of 1 MB, 16 in flight, on the same file
Target   : none; this is what a pass over all rows can hope for
Repeat   : .venv-bench/bin/python -m benchmarks sequential
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

import outcore as oc
from benchmarks import cold, data, fio, limits
from benchmarks.measure import Turn, interleave
from benchmarks.report import Report, compare
from benchmarks.settings import Settings

BLOCK_ROWS = 2000  # 32 MB
ROW_BYTES = data.ROW_VALUES * 8
OURS, OURS_OUT = "outcore X[a:b]", "outcore windows(out=)"
READINTO, MEMMAP = "file.readinto, one buffer", "np.array(memmap[a:b])"


def run(settings: Settings) -> Report:
    """Read a file of four times the limit, again and again."""
    limit = (256 << 20) if settings.quick else (1 << 30)
    n_rows = 4 * limit // ROW_BYTES
    size = n_rows * ROW_BYTES
    report = Report("sequential reading, cold")
    report.setting = [f"{size / 1e9:.1f} GB file, {limits.describe(limit)}"]
    with settings.workspace(size) as folder:
        path = folder / "x.npy"
        data.write_npy(path, n_rows)
        turns: dict[str, Turn] = {name: partial(_turn, limit, name, path) for name in READERS}
        turns["fio 1M, depth 16"] = partial(_fio, path, size, 2 if settings.quick else 6)
        rates = interleave(turns, settings.repeats, "files/s")
    report.tables.append(compare("", rates, OURS, size))
    return report


def _turn(limit: int, reader: str, path: Path, seed: int) -> float:
    return 1 / float(limits.call(measure, limit, reader=reader, path=str(path)).value)


def _fio(path: Path, size: int, seconds: int, seed: int) -> float:
    return fio.sequential_read(path, seconds=seconds) / size


def measure(reader: str, path: str) -> float:
    """Read all blocks once; return seconds. Runs under the limit."""
    cold.require(Path(path))
    begin = time.perf_counter()
    n_rows = READERS[reader](path)
    seconds = time.perf_counter() - begin
    if n_rows != np.load(path, mmap_mode="r").shape[0]:
        raise AssertionError("not every row was read")
    return seconds


def _outcore(path: str) -> int:
    count = 0
    with oc.open(path) as array:
        for start in range(0, len(array), BLOCK_ROWS):
            count += len(array[start : start + BLOCK_ROWS])
    return count


def _outcore_out(path: str) -> int:
    block = np.empty((BLOCK_ROWS, data.ROW_VALUES))
    count = 0
    with oc.open(path) as array:
        for start in range(0, len(array), BLOCK_ROWS):
            rows = min(BLOCK_ROWS, len(array) - start)
            array.windows([start], rows, out=block[None, :rows])
            count += rows
    return count


def _readinto(path: str) -> int:
    block = np.empty((BLOCK_ROWS, data.ROW_VALUES))
    count = 0
    with open(path, "rb", buffering=0) as file:
        file.seek(np.load(path, mmap_mode="r").offset)
        while got := file.readinto(block.data):
            count += got
    return count // ROW_BYTES


def _memmap(path: str) -> int:
    mapped = np.load(path, mmap_mode="r")
    return sum(
        len(np.array(mapped[start : start + BLOCK_ROWS])) for start in range(0, len(mapped), BLOCK_ROWS)
    )


READERS = {OURS: _outcore, OURS_OUT: _outcore_out, READINTO: _readinto, MEMMAP: _memmap}
