"""Parse files in worker processes, share the arrays, combine them: the code that a user would write.

Reads from : the weather files, and the array that was ingested from them
Hands to   : demo.sharing, one JSON object on standard output; demo.handing, the parser

Run as ``python -m outcore.demo.sharers TARGET INGESTED MEMORY WORKERS FILE...``.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from outcore.array.opening import open_array
from outcore.combination import combine
from outcore.demo.texts import MISSING
from outcore.dtypes import as_dtype
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import share

ROW = as_dtype(
    "origin:S3 year:i2 month:i1 day:i1 hour:i1 temp:f8 dewp:f8 humid:f8 wind_dir:f8 wind_speed:f8"
    " wind_gust:f8 precip:f8 pressure:f8 visib:f8 time_hour:S20"
)


def parse(path: str) -> NDArray[Any]:
    """Parse one file of the weather with NumPy."""
    with open(path, encoding="ascii") as file:
        next(file)  # the header
        return np.loadtxt(_with_nan(file), ROW, delimiter=",", ndmin=1)


def parse_and_share(path: str) -> SharedArray:
    """Parse one file: what a worker does. The result travels as a handle."""
    return share(parse(path))


def _with_nan(file: IO[str]) -> Iterator[str]:
    return (line.replace(f",{MISSING}", ",nan") for line in file)


def work(target: str, ingested: str, memory: int, workers: int, paths: list[str]) -> dict[str, Any]:
    """Parse, combine, read back and compare; return what was found."""
    names = [Path(path).stem for path in paths]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        arrays = dict(zip(names, pool.map(parse_and_share, paths), strict=True))
    made = combine(arrays, target, memory=memory, progress=False)
    shared_bytes = sum(array.nbytes for array in arrays.values())
    del arrays  # the file is what is compared
    rows, missing, differs = 0, dict.fromkeys(ROW.names or (), 0), set()
    expected = open_array(ingested)
    for name in names:
        block = made[name][:]
        other = expected[rows : rows + len(block)]
        for field in missing:
            values = block[field]
            if values.dtype.kind == "f":
                missing[field] += int(np.isnan(values).sum())
            if not same(values, other[field]):
                differs.add(field)
        rows += len(block)
    return {
        "files": len(paths),
        "rows": rows,
        "nbytes": shared_bytes,
        "missing": missing,
        "differs": sorted(differs),
    }


def same(values: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two columns hold the same; dates may be text in the first one, as `parse` leaves them.

    Examples
    --------
    >>> same(np.array([b"2013-01-01T06:00:00Z"]), np.array(["2013-01-01T06:00:00"], "M8[s]"))
    True
    """
    if other.dtype.kind == "M" and values.dtype.kind == "S":
        values = np.char.rstrip(values, b"Z").astype(other.dtype)
    return len(values) == len(other) and bool(
        np.array_equal(values, other, equal_nan=values.dtype.kind == "f")
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    print(json.dumps(work(given[0], given[1], int(given[2]), int(given[3]), given[4:])), flush=True)
