"""Chunked HDF5, gzip 4 + shuffle: the whole dataset, and random windows that share chunks.

Against  : h5py: read_direct and dset[:] for the whole; for windows read_direct in a loop, in the order
           asked for and in ascending order, which its cache of one chunk likes better
Targets  : at least 2.2 times h5py on two cores, with isal installed
Repeat   : .venv-bench/bin/python -m benchmarks chunked

(200 000, 200) float64 in chunks (500, 200), 320 MB: sums of rounded steps, as sensors and prices give.
Opening the file counts, for everybody. isal is an extra of the package; without it zlib decodes.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import cold, limits, machine
from benchmarks.measure import Rates, Skip, Turn, interleave, say
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings

COLUMNS, CHUNK_ROWS, LENGTH = 200, 500, 16
ROW_BYTES = COLUMNS * 8
WANTED = 2.2
ISAL, ISAL_NEW, ZLIB = "outcore, isal", "outcore, isal, X[:]", "outcore, zlib"
#: Contender -> which of READERS.
WHOLE = {"h5py read_direct": "direct", "h5py dset[:]": "new", ISAL: "out", ISAL_NEW: "new_ours", ZLIB: "out"}
WINDOWS = {"h5py loop": "loop", "h5py loop, ascending": "ascending", ISAL: "out", ZLIB: "out"}


def run(settings: Settings) -> Report:
    """Whole and in windows, hot; the whole also cold."""
    n_rows = 50_000 if settings.quick else 200_000
    n_windows = n_rows // 100
    report = Report(f"chunked HDF5, gzip 4 + shuffle, {machine.cores()} cores")
    with settings.workspace(n_rows * ROW_BYTES) as folder:
        path = folder / "x.h5"
        _write(path, n_rows)
        report.setting = [
            f"{n_rows * ROW_BYTES / 1e6:.0f} MB, {os.path.getsize(path) / 1e6:.0f} MB in the file"
        ]
        for temperature in ("hot", "cold"):
            rates = _rates(WHOLE, path, settings, whole=True, cold=temperature == "cold", n_windows=0)
            report.tables.append(compare(f"whole, {temperature}", rates, ISAL, n_rows * ROW_BYTES))
            if temperature == "hot":
                report.targets += [
                    beats(rates, ISAL, "h5py read_direct", WANTED, "h5py read_direct, whole"),
                    beats(rates, ISAL_NEW, "h5py dset[:]", WANTED, "h5py dset[:], whole, to a new array"),
                ]
        rates = _rates(WINDOWS, path, settings, whole=False, cold=False, n_windows=n_windows)
        title = f"{n_windows:,} windows (16, 200) that share {n_rows // CHUNK_ROWS} chunks, hot"
        report.tables.append(compare(title, rates, ISAL, n_windows * LENGTH * ROW_BYTES))
        report.targets += [
            beats(rates, ISAL, "h5py loop, ascending", WANTED, "the h5py loop in ascending order, windows")
        ]
    return report


def _write(path: Path, n_rows: int) -> None:
    import h5py

    rng = np.random.default_rng(0)
    last = np.zeros(COLUMNS)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "x", (n_rows, COLUMNS), "f8", chunks=(CHUNK_ROWS, COLUMNS), compression="gzip",
            compression_opts=4, shuffle=True,
        )  # fmt: skip
        for start in range(0, n_rows, CHUNK_ROWS):
            say(f"writing: {start / n_rows:.0%}")
            block = last + np.cumsum(
                rng.normal(size=(min(CHUNK_ROWS, n_rows - start), COLUMNS)).round(2), axis=0
            )
            dataset[start : start + len(block)] = block
            last = block[-1]


def _rates(
    names: dict[str, str], path: Path, settings: Settings, *, whole: bool, cold: bool, n_windows: int
) -> Rates:
    turns: dict[str, Turn] = {
        name: partial(
            _turn, path=str(path), reader=reader, isal=name.startswith(ISAL), whole=whole, cold_start=cold,
            n_windows=n_windows, seconds=0.2 if settings.quick else 1.0,
        )
        for name, reader in names.items()
    }  # fmt: skip
    return interleave(turns, settings.repeats, "reads/s")


def _turn(seed: int, **what: Any) -> float:
    # A process for each turn: which library decodes is settled when the package is imported.
    return float(limits.call(measure, None, seed=seed, **what).value)


def measure(
    path: str,
    reader: str,
    isal: bool,
    whole: bool,
    cold_start: bool,
    n_windows: int,
    seconds: float,
    seed: int,
) -> float:
    """Read everything again and again for `seconds`; return how often a second."""
    import h5py

    if reader in ("out", "new_ours"):
        _choose_decoder(isal)
    with h5py.File(path, "r") as file:
        n_rows = file["x"].shape[0]
    starts = np.random.default_rng(seed).integers(0, n_rows - LENGTH, n_windows or 1)
    out = np.ones((n_rows, COLUMNS)) if whole else np.ones((n_windows, LENGTH, COLUMNS))
    read = READERS[reader, whole]
    read(path, starts, out)  # loads what is loaded on demand, and warms the file
    spent, count = 0.0, 0
    while spent < seconds:
        if cold_start:
            cold.require(Path(path))
        begin = time.perf_counter()
        read(path, starts, out)
        spent += time.perf_counter() - begin
        count += 1
    return count / spent


def _choose_decoder(isal: bool) -> None:
    if not isal:
        sys.modules["isal"] = None  # type: ignore[assignment]  # makes its import fail, as if it were not there
        return
    try:
        import isal as found  # noqa: F401
    except ImportError as error:
        raise Skip('isal is not installed: pip install "outcore[fast]"') from error


def _whole_direct(path: str, starts: NDArray[np.int64], out: NDArray[Any]) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        file["x"].read_direct(out)


def _whole_new(path: str, starts: NDArray[np.int64], out: NDArray[Any]) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        file["x"][:]


def _whole_out(path: str, starts: NDArray[np.int64], out: NDArray[Any]) -> None:
    import outcore as oc

    with oc.open(f"{path}::/x") as array:
        array.windows([0], len(out), out=out[None])


def _whole_new_ours(path: str, starts: NDArray[np.int64], out: NDArray[Any]) -> None:
    import outcore as oc

    with oc.open(f"{path}::/x") as array:
        array[:]


def _loop(path: str, starts: NDArray[np.int64], out: NDArray[Any]) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        dataset = file["x"]
        for i, start in enumerate(starts.tolist()):
            dataset.read_direct(out, np.s_[start : start + LENGTH], np.s_[i])


def _ascending(path: str, starts: NDArray[np.int64], out: NDArray[Any]) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        dataset = file["x"]
        for i in np.argsort(starts).tolist():
            dataset.read_direct(out, np.s_[starts[i] : starts[i] + LENGTH], np.s_[i])


def _windows(path: str, starts: NDArray[np.int64], out: NDArray[Any]) -> None:
    import outcore as oc

    with oc.open(f"{path}::/x") as array:
        array.windows(starts, LENGTH, out=out)


#: (how, whether the whole dataset is read) -> the function; outcore is imported by ours alone.
READERS = {
    ("direct", True): _whole_direct, ("new", True): _whole_new, ("out", True): _whole_out,
    ("new_ours", True): _whole_new_ours, ("loop", False): _loop, ("ascending", False): _ascending,
    ("out", False): _windows,
}  # fmt: skip
