"""The ways from text to a finished .npy file that are compared: one function a contender.

Hands to : ingest, ingest_memory, ingest_gzip

Each runs in a process of its own and returns the seconds from the call to the finished file, and the sum of
its last column, by which the files are compared. Importing the libraries is outside the time taken.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks.text_files import GENOMICS, WIDE_COLUMNS
from outcore.text import file_run
from outcore.text.room import CHUNK_BYTES, make_room

assert file_run  # imported beforehand, as the others' libraries are


def outcore(kind: str, source: str, target: str, sync: bool, memory: str | None = None) -> list[float]:
    """`outcore.ingest`; it syncs the file before it gets its name, which the others do not."""
    how: dict[str, Any] = {"dtype": GENOMICS, "delimiter": "\t", "header": False}
    if kind == "wide":
        how = {"dtype": "f8", "delimiter": ",", "header": True}

    def work() -> None:
        oc.ingest(source, target, memory=memory, progress=False, **how)

    return _timed(work, target, sync)


def polars(kind: str, source: str, target: str, sync: bool, order: str = "fortran") -> list[float]:
    import polars as pl

    def work() -> NDArray[Any]:
        if kind == "wide":
            return pl.read_csv(source).to_numpy(order=order)
        names = [name for name, _ in GENOMICS]
        types = [pl.String, pl.Int32, pl.Float32, pl.Int32, pl.Int32]
        frame = pl.read_csv(
            source, separator="\t", has_header=False, schema=dict(zip(names, types, strict=True))
        )
        rows = np.empty(len(frame), GENOMICS)
        for name in names:
            rows[name] = frame[name].to_numpy()
        return rows

    return _timed(work, target, sync)


def polars_rows(kind: str, source: str, target: str, sync: bool) -> list[float]:
    """As Polars, but with the values of a row one after the other in the file, as the others have them."""
    return polars(kind, source, target, sync, order="c")


def parser_alone(kind: str, source: str, target: str, sync: bool) -> list[float]:
    """Parse the text with Polars in chunks, as `outcore.ingest` does, and nothing else: no rows, no file."""
    import polars as pl

    types: list[Any] = [pl.Float64] * WIDE_COLUMNS
    if kind == "genomics":
        types = [pl.String, pl.Int32, pl.Float32, pl.Int32, pl.Int32]
    schema = {f"column_{i + 1}": dtype for i, dtype in enumerate(types)}
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                data = file.read(CHUNK_BYTES)
                data += file.readline()
            if not data:
                return
            pl.read_csv(
                data, has_header=False, schema=schema, separator="\t" if kind == "genomics" else ",",
                quote_char=None, infer_schema=False,
            )  # fmt: skip

    start = time.perf_counter()
    with open(source, "rb") as file:
        if kind == "wide":
            file.readline()
        threads = [threading.Thread(target=work) for _ in range(make_room(None, None).n_workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [time.perf_counter() - start]


def pandas(kind: str, source: str, target: str, sync: bool) -> list[float]:
    import pandas as pd

    def work() -> NDArray[Any]:
        if kind == "wide":
            return pd.read_csv(source).to_numpy()
        names = [name for name, _ in GENOMICS]
        types = {name: dtype for name, dtype in GENOMICS if name != "chr"}
        frame = pd.read_csv(source, sep="\t", names=names, dtype=types)
        rows = np.empty(len(frame), GENOMICS)
        for name in names:
            rows[name] = frame[name].to_numpy()
        return rows

    return _timed(work, target, sync)


def loadtxt(kind: str, source: str, target: str, sync: bool) -> list[float]:
    if kind == "wide":
        return _timed(lambda: np.loadtxt(source, delimiter=",", skiprows=1), target, sync)
    return _timed(lambda: np.loadtxt(source, GENOMICS, delimiter="\t"), target, sync)


def _timed(work: Callable[[], NDArray[Any] | None], target: str, sync: bool) -> list[float]:
    """Time the work and, where it returns an array, `numpy.save`."""
    fsync = os.fsync
    if not sync:
        os.fsync = lambda fd: None
    os.sync()  # what others wrote is no part of this turn
    start = time.perf_counter()
    rows = work()
    if rows is not None:
        part = Path(target).with_suffix(".part")
        with open(part, "wb") as file:
            np.save(file, rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    seconds = time.perf_counter() - start
    os.fsync = fsync
    del rows
    made = np.load(target, mmap_mode="r")
    last = made[GENOMICS[-1][0]] if made.dtype.names else made[:, -1]
    return [seconds, float(np.sum(last, dtype=np.float64)), float(len(made))]
