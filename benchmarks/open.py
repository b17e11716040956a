"""Opening a file of 32 GB, and what travels when the array is pickled.

Against  : np.load(mmap_mode="r"); h5py.File(...)["x"] for HDF5
Targets  : oc.open below 5 ms; a pickle below 1 kB
Repeat   : .venv-bench/bin/python -m benchmarks open

The files are holes (a header and nothing): opening reads no rows. A memmap has no small pickle: it
pickles as all of its 32 GB.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import outcore as oc
from benchmarks.measure import Rates, Turn, interleave
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

SHAPE = (2_000_000, 2000)
CALLS = 50


def run(settings: Settings) -> Report:
    """Open each file again and again, after a first time that loads the modules."""
    report = Report("opening a file of 32 GB")
    with settings.workspace(1 << 20) as folder:
        npy, h5 = folder / "x.npy", folder / "x.h5"
        _write_npy(npy)
        _write_h5(h5)
        turns: dict[str, Turn] = {
            "oc.open, .npy": partial(_turn, lambda: oc.open(npy)),
            'np.load(mmap_mode="r")': partial(_turn, lambda: np.load(npy, mmap_mode="r")),
            "oc.open, HDF5": partial(_turn, lambda: oc.open(f"{h5}::/x")),
            'h5py.File(...)["x"]': partial(_turn, partial(_open_h5py, h5)),
        }
        rates = interleave(turns, settings.repeats, "opens/s", warm_up=True)
        sizes = {name: len(pickle.dumps(oc.open(address))) for name, address in
                 (("oc.open, .npy", npy), ("oc.open, HDF5", f"{h5}::/x"))}  # fmt: skip
    report.tables.append(_table(rates, sizes))
    for name in sizes:
        slowest = 1e3 / min(rates.of[name])
        report.targets.append(Target(f"a call: {name}, slowest turn", 5, slowest, " ms", at_most=True))
        report.targets.append(Target(f"in a pickle: {name}", 1000, sizes[name], " bytes", at_most=True))
    return report


def _turn(call: Callable[[], object], seed: int) -> float:
    begin = time.perf_counter()
    for _ in range(CALLS):
        call()
    return CALLS / (time.perf_counter() - begin)


def _table(rates: Rates, sizes: dict[str, int]) -> Table:
    rows = [[name, f"{1e3 / rates.median(name):.3f}", f"{sizes[name]}" if name in sizes else ""]
            for name in rates.of]  # fmt: skip
    return Table(
        "", ["", "ms a call", "bytes pickled"], rows, figures={"unit": rates.unit, "rates": rates.of,
        "pickle_bytes": sizes},
    )  # fmt: skip


def _open_h5py(path: Path) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        _ = file["x"].shape


def _write_npy(path: Path) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": SHAPE})
        file.truncate(file.tell() + SHAPE[0] * SHAPE[1] * 8)


def _write_h5(path: Path) -> None:
    import h5py

    options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    options.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # the place in the file is settled now ...
    options.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # ... and nothing is written there
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(SHAPE)
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, options)
