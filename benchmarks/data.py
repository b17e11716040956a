"""The files that are read: random values, and in them the number of each row, so that reads can be checked.

Hands to : every benchmark that reads

Random values, because storage behind the machine may compress, and because a file of zeros can be a
file of holes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks.measure import say

BLOCK_BYTES = 32 << 20
ROW_VALUES = 2000


def blocks(
    n_rows: int, row_values: int = ROW_VALUES, *, step: int = 0
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Give (first row, rows), `step` rows at a time: random, but the first value of a row is its number."""
    rng = np.random.default_rng()
    step = step or BLOCK_BYTES // (row_values * 8) // 16 * 16  # whole chunks of 16 rows
    block = rng.random((min(step, n_rows), row_values))
    for start in range(0, n_rows, step):
        say(f"writing: {start / n_rows:.0%}")
        count = min(step, n_rows - start)
        block[:count, 0] = np.arange(start, start + count)
        yield start, block[:count]
    say("")


def write_npy(path: Path, n_rows: int) -> None:
    """Write a .npy file of (n_rows, 2000) float64."""
    with oc.create(path, (n_rows, ROW_VALUES), "f8") as array:
        for start, block in blocks(n_rows):
            array[start : start + len(block)] = block


def write_raw(path: Path, n_rows: int, row_values: int) -> None:
    """Write a file without a header, so that rows of a power of two lie on page boundaries."""
    with oc.create(path, (n_rows, row_values), "f8") as array:
        for start, block in blocks(n_rows, row_values):
            array[start : start + len(block)] = block


def write_h5(path: Path, n_rows: int, **options: Any) -> None:
    """Write the dataset "x" with h5py: contiguous, unless the options say otherwise."""
    import h5py

    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (n_rows, ROW_VALUES), "f8", **options)
        for start, block in blocks(n_rows):
            dataset[start : start + len(block)] = block


def draw_windows(rng: np.random.Generator, n_rows: int, length: int, count: int) -> NDArray[np.int64]:
    """Draw starts of windows that do not overlap, in random order.

    So nobody can read fewer bytes than asked for. The starts are not multiples of `length` either, which
    would suit chunks of that many rows and nothing else.
    """
    slots = rng.choice(n_rows // length - 1, count, replace=False)
    return slots.astype(np.int64) * length + rng.integers(1, length)


def check_windows(starts: NDArray[np.int64], windows: NDArray[Any]) -> None:
    """Compare what was read with what was written: the number of every row."""
    expected = starts[:, None] + np.arange(windows.shape[1])
    if not np.array_equal(windows[:, :, 0], expected):
        raise AssertionError("the windows do not hold the rows that were asked for")
