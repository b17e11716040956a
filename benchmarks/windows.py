"""Random windows (16, 2000) float64, cold, from an array four times as large as the memory allowed.

Against  : np.memmap and os.preadv in a loop, h5py's read_direct, zarr, tensorstore and blosc2
Limit    : fio, random reads of 256 kB, 32 in flight, on the same file
Targets  : .npy at least 0.9 of fio, 5 times h5py, 20 times the np.memmap loop;
           contiguous HDF5 at least 0.9 of .npy
Repeat   : .venv-bench/bin/python -m benchmarks windows

The libraries with formats of their own get the same work at a quarter of the size, array and limit alike,
with outcore beside them: their files would otherwise take another 24 GB of disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cold, data, fio, limits, peers
from benchmarks.measure import Rates, Turn, interleave
from benchmarks.readers import READERS
from benchmarks.report import Report, Table, beats, compare
from benchmarks.settings import Settings

LENGTH = 16
ROW_BYTES = data.ROW_VALUES * 8
WINDOW_BYTES = LENGTH * ROW_BYTES
OURS, FIO = "outcore .npy", "fio 256k, depth 32"
#: Slow contenders read so many times fewer windows a batch: what counts is the rate.
SHARE = {"np.memmap loop": 8, "zarr, sharded": 8, "blosc2, LZ4": 8, "h5py, chunks (16, 2000)": 8,
         "h5py read_direct": 4, "tensorstore, 64 in flight": 4}  # fmt: skip


def run(settings: Settings) -> Report:
    """Measure at full size, then the other formats at a quarter of it."""
    limit = (256 << 20) if settings.quick else (2 << 30)
    report = Report("random (16, 2000) float64 windows, cold")
    report.setting = ["in each batch no two windows overlap; the file is evicted before each batch"]
    rates, table = _flat(settings, limit)
    report.tables.append(table)
    report.targets += [
        beats(rates, OURS, FIO, 0.9),
        beats(rates, OURS, "h5py read_direct", 5.0, "h5py read_direct, contiguous"),
        beats(rates, OURS, "np.memmap loop", 20.0),
        beats(rates, "outcore HDF5", OURS, 0.9, f"{OURS}, for contiguous HDF5"),
    ]
    report.tables.append(_other_formats(settings, limit if settings.quick else limit // 4))
    return report


def _flat(settings: Settings, limit: int) -> tuple[Rates, Table]:
    n_rows = 4 * limit // ROW_BYTES
    with settings.workspace(2 * n_rows * ROW_BYTES) as folder:
        npy, h5 = folder / "x.npy", folder / "x.h5"
        data.write_npy(npy, n_rows)
        data.write_h5(h5, n_rows)
        files = {OURS: npy, "outcore HDF5": h5, "h5py read_direct": h5, "os.preadv loop": npy,
                 "np.memmap loop": npy}  # fmt: skip
        contenders = _contenders(files, n_rows, limit, settings)
        contenders[FIO] = partial(_fio, npy, 2 if settings.quick else 6)
        rates = interleave(contenders, settings.repeats, "windows/s")
    title = f"{n_rows * ROW_BYTES / 1e9:.1f} GB file, {limits.describe(limit)}"
    return rates, compare(title, rates, OURS, WINDOW_BYTES)


def _other_formats(settings: Settings, limit: int) -> Table:
    n_rows = 4 * limit // ROW_BYTES
    with settings.workspace(4 * n_rows * ROW_BYTES) as folder:
        npy = folder / "x.npy"
        data.write_npy(npy, n_rows)
        made: list[tuple[str, Path, Callable[[Path, int], bool]]] = [
            ("h5py, chunks (16, 2000)", folder / "x.h5", peers.write_h5_chunked),
            ("zarr, sharded", folder / "x.zarr", peers.write_zarr),
            ("tensorstore, 64 in flight", folder / "x.zarr", peers.write_zarr),
            ("blosc2, LZ4", folder / "x.b2nd", peers.write_blosc2),
        ]
        files, missing = {OURS: npy}, {}
        for name, path, write in made:
            if path.exists() or write(path, n_rows):
                files[name] = path
            else:
                missing[name] = "not installed: make bench installs it"
        rates = interleave(_contenders(files, n_rows, limit, settings), settings.repeats, "windows/s")
        rates.skipped |= missing
    title = f"other formats: {n_rows * ROW_BYTES / 1e9:.2f} GB file, {limits.describe(limit)}"
    return compare(title, rates, OURS, WINDOW_BYTES)


def _contenders(files: dict[str, Path], n_rows: int, limit: int, settings: Settings) -> dict[str, Turn]:
    # The result takes a quarter of the limit: it and its pages in the page cache fit side by side.
    batch = limit // 4 // WINDOW_BYTES
    seconds = 0.3 if settings.quick else 2.0
    return {
        name: partial(_turn, limit, reader=name, path=str(path), n_rows=n_rows,
                      batch=max(batch // SHARE.get(name, 1), 16), seconds=seconds)
        for name, path in files.items()
    }  # fmt: skip


def _turn(limit: int, seed: int, **what: Any) -> float:
    return float(limits.call(measure, limit, seed=seed, **what).value)


def _fio(path: Path, seconds: int, seed: int) -> float:
    return fio.random_read(path, 256 << 10, seconds=seconds) / WINDOW_BYTES


def measure(reader: str, path: str, n_rows: int, batch: int, seconds: float, seed: int) -> float:
    """Read batches until `seconds` were spent reading; return windows a second. Runs under the limit."""
    rng = np.random.default_rng(seed)
    # Ones, not empty: the pages are there before the clock runs.
    out = np.ones((batch, LENGTH, data.ROW_VALUES))
    with READERS[reader](Path(path)) as read:  # loads what is loaded on demand
        read(np.zeros(1, np.int64), out[:1])
    spent, count = 0.0, 0
    while spent < seconds:
        starts = data.draw_windows(rng, n_rows, LENGTH, batch)
        with READERS[reader](Path(path)) as read:
            cold.require(Path(path))
            begin = time.perf_counter()
            read(starts, out)
            spent += time.perf_counter() - begin
        data.check_windows(starts, out)
        count += batch
    return count / spent
