"""Blocks written one after the other to a .npy file, until they are on the device.

Against  : file.write of the same bytes + fsync; numpy's own open_memmap + flush, for comparison
Target   : at least 0.9 of file.write + fsync
Repeat   : .venv-bench/bin/python -m benchmarks write
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks.data import ROW_VALUES
from benchmarks.measure import Turn, interleave
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings

BLOCK_ROWS = 1000  # 16 MB
PLAIN, ASSIGN, APPEND = "file.write + fsync", "outcore Y[a:b] = block", "outcore Y.append(block)"


def run(settings: Settings) -> Report:
    """Write the same file again and again; nothing is left of the last one when the next is begun."""
    n_rows = 16_000 if settings.quick else 128_000
    size = n_rows * ROW_VALUES * 8
    block = np.random.default_rng().random((BLOCK_ROWS, ROW_VALUES))
    report = Report("sequential writing to .npy")
    report.setting = [
        f"{size / 1e9:.2f} GB in blocks of {block.nbytes / 1e6:.0f} MB, to the device each time"
    ]
    with settings.workspace(size) as folder:
        ways = {ASSIGN: _assign, APPEND: _append, PLAIN: _plain, "np.lib.format.open_memmap": _memmap}
        turns: dict[str, Turn] = {
            name: partial(_turn, way, folder / "x.npy", n_rows, block) for name, way in ways.items()
        }
        rates = interleave(turns, settings.repeats, "files/s")
    report.tables.append(compare("", rates, ASSIGN, size))
    report.targets += [
        beats(rates, ASSIGN, PLAIN, 0.9, f"{PLAIN}, by Y[a:b] = block"),
        beats(rates, APPEND, PLAIN, 0.9, f"{PLAIN}, by Y.append(block)"),
    ]
    return report


Way = Callable[[Path, int, NDArray[Any]], None]


def _turn(way: Way, path: Path, n_rows: int, block: NDArray[Any], seed: int) -> float:
    begin = time.perf_counter()
    way(path, n_rows, block)
    seconds = time.perf_counter() - begin
    written = np.load(path, mmap_mode="r")
    if written.shape != (n_rows, ROW_VALUES) or not np.array_equal(written[-len(block) :], block):
        raise AssertionError("the file does not hold what was written")
    del written
    path.unlink()
    return 1 / seconds


def _assign(path: Path, n_rows: int, block: NDArray[Any]) -> None:
    with oc.create(path, (n_rows, ROW_VALUES), block.dtype) as array:
        for start in range(0, n_rows, len(block)):
            array[start : start + len(block)] = block


def _append(path: Path, n_rows: int, block: NDArray[Any]) -> None:
    with oc.create(path, (None, ROW_VALUES), block.dtype) as array:
        for _ in range(0, n_rows, len(block)):
            array.append(block)


def _plain(path: Path, n_rows: int, block: NDArray[Any]) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": block.dtype.str, "fortran_order": False, "shape": (n_rows, ROW_VALUES)}
        )
        for _ in range(0, n_rows, len(block)):
            file.write(block.data)
        file.flush()
        os.fsync(file.fileno())


def _memmap(path: Path, n_rows: int, block: NDArray[Any]) -> None:
    array = np.lib.format.open_memmap(path, "w+", block.dtype, (n_rows, ROW_VALUES))
    for start in range(0, n_rows, len(block)):
        array[start : start + len(block)] = block
    array.flush()
