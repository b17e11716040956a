"""Block shuffle of data that are sorted: how much more the mean of a batch varies than in a full shuffle.

Targets  : at most 1.15 times the variance of a full shuffle, at the default budget;
           what `Loader.shuffle_quality` predicts within 10 % of what is found
Repeat   : .venv-bench/bin/python -m benchmarks loader_quality

The orders are those of the loader, of arrays of realistic size; sample i has the value i, the worst case, so
no row has to be read. Variances are about the mean of all, over every full batch of several epochs. That the
orders are the loader's is looked at in its first batches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks.measure import say
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings
from outcore.loader.order import BlockShuffled, Order, Shuffled

BATCH = 256
#: Bytes of a row, and rows: 1 to 16 GB each.
ARRAYS = {100: 10_000_000, 1 << 10: 4_000_000, 4 << 10: 4_000_000, 16 << 10: 1_000_000}
#: The one of the target.
TARGET_ROW_BYTES = 1 << 10
EPOCHS = 8
#: Positions at a time.
STEP = 1024 * BATCH
#: Batches of the real loader that are compared with the order.
COMPARED = 40


def run(settings: Settings) -> Report:
    """Several arrays, several epochs."""
    epochs = 2 if settings.quick else EPOCHS
    report = Report(f"mean of a batch of {BATCH}, sorted data, default budget, {epochs} epochs")
    rows, figures = [], {}
    for row_bytes, all_rows in ARRAYS.items():
        n = all_rows // (4 if settings.quick else 1)
        quality, means = _predicted(settings, row_bytes, n)
        block, full = (_variance(orders) for orders in _orders(n, quality, epochs))
        figures[row_bytes] = (block / full, means)
        exact = n * n / 12 / BATCH * (1 - (BATCH - 1) / (n - 1))
        rows.append([
            f"{n:,} rows of {row_bytes} bytes", f"{quality.blocks_per_buffer:,} x {quality.block_size}",
            f"{block / full:.3f}", f"{block / exact:.3f}", f"{means:.3f}",
        ])  # fmt: skip
    header = ["", "blocks in a buffer", "of a full shuffle, simulated", "computed", "predicted"]
    report.tables.append(Table("variance of the mean of a batch", header, rows, figures={"ratios": figures}))
    found, predicted = figures[TARGET_ROW_BYTES]
    report.targets += [
        Target("of a full shuffle's variance, rows of 1 kB", 1.15, found, " ×", at_most=True),
        Target(
            "off, predicted variance, rows of 1 kB", 10, 100 * abs(predicted / found - 1), " %", at_most=True
        ),
    ]
    return report


def _predicted(settings: Settings, row_bytes: int, n: int) -> tuple[Any, float]:
    """Ask a loader of a file of holes what its shuffle is like, and look at its first batches."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        path = Path(folder) / "x.bin"
        with open(path, "wb") as file:
            file.truncate(n * row_bytes)
        x = oc.open(path, dtype="u1", shape=(n, row_bytes))
        quality = oc.Loader(x, BATCH).shuffle_quality()
        # A second array, in memory, tells which rows they are; blocks are given, as it makes rows longer.
        loader = oc.Loader((x, np.arange(n)), BATCH, block_size=quality.block_size)
        facts = loader.shuffle_quality()
        order = BlockShuffled(n, facts.block_size, facts.blocks_per_buffer, 0, 0)
        for number, (_, samples) in zip(range(COMPARED), loader, strict=False):
            first = number * BATCH
            if not np.array_equal(samples, order.samples(np.arange(first, first + BATCH))):
                raise AssertionError("the order of the loader is another one")
    return quality, quality.variance_ratio


def _orders(n: int, quality: Any, epochs: int) -> tuple[Iterator[Order], Iterator[Order]]:
    """Return the orders of several epochs: the loader's, and those of a full shuffle."""
    blocks = quality.block_size, quality.blocks_per_buffer
    return (
        (BlockShuffled(n, *blocks, 0, epoch) for epoch in range(epochs)),
        (Shuffled(n, 0, epoch) for epoch in range(epochs)),
    )


def _variance(orders: Iterator[Order]) -> float:
    """Return the variance of the means of all full batches, about the mean of all samples."""
    squares = [(means - (order.n - 1) / 2) ** 2 for order in orders for means in _means(order)]
    return float(np.mean(np.concatenate(squares)))


def _means(order: Order) -> Iterator[NDArray[np.float64]]:
    full = order.n // BATCH * BATCH
    for start in range(0, full, STEP):
        say(f"{type(order).__name__}: {start / full:.0%}")
        samples = order.samples(np.arange(start, min(start + STEP, full)))
        yield samples.reshape(-1, BATCH).mean(axis=1)
    say("")
