"""(2 000 000, 2500) float32, 20 GB: one Gram matrix and one quadratic form in one pass, within 2 GB.

Against  : the same statistics on rows of the same kind in memory, without a limit
Target   : completes, at 0.8 of the rate in memory
Repeat   : .venv-bench/bin/python -m benchmarks large_pass
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import outcore as oc
from benchmarks import cold, limits
from benchmarks.measure import say
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

ROWS, COLUMNS = 2_000_000, 2500
LIMIT_BYTES = 2_000_000_000
MEMORY_ROWS = 100_000
BLOCK_ROWS = 8192


def run(settings: Settings) -> Report:
    """Write the file, make the pass once; rows in memory before and after it."""
    n_rows = ROWS // (50 if settings.quick else 1)
    limit = LIMIT_BYTES // (4 if settings.quick else 1)
    size = n_rows * COLUMNS * 4
    report = Report(f"one pass over ({n_rows:,}, {COLUMNS}) float32: a Gram matrix and a quadratic form")
    report.setting = [f"{size / 1e9:.1f} GB; {limits.describe(limit)}"]
    memory_rows = min(n_rows, MEMORY_ROWS)
    with settings.workspace(size + n_rows * 8) as folder:
        path = folder / "x.bin"
        block = np.random.default_rng(1).standard_normal((BLOCK_ROWS, COLUMNS), dtype=np.float32)
        with oc.create(path, (n_rows, COLUMNS), "f4") as array:
            for start in range(0, n_rows, BLOCK_ROWS):
                say(f"writing: {start / n_rows:.0%}")
                array[start : start + BLOCK_ROWS] = block[: n_rows - start]
        say("")
        inside = [float(limits.call(in_memory, None, n_rows=memory_rows).value)]
        answer = limits.call(on_disk, limit, path=str(path), share=0.75)
        inside.append(float(limits.call(in_memory, None, n_rows=memory_rows).value))
    rate, memory_rate = float(answer.value), sum(inside) / 2
    report.tables.append(
        Table(
            "",
            ["", "rows/s", "peak GB"],
            [
                ["from disk, cold", f"{rate:,.0f}", f"{answer.peak_anonymous / 1e9:.2f}"],
                [f"in memory, {memory_rows:,} rows, mean of before and after", f"{memory_rate:,.0f}", ""],
            ],
        )
    )
    report.targets.append(Target("of the rate in memory", 0.8, rate / memory_rate))
    return report


def on_disk(path: str, share: float) -> float:
    """Make the pass over the file; return rows a second."""
    cold.require(Path(path))
    x = oc.open(path, dtype="f4", shape=(-1, COLUMNS))
    with oc.options(memory=share):
        return _rate(x, str(Path(path).with_name("forms.npy")))


def in_memory(n_rows: int) -> float:
    """Make the pass over an ndarray; return rows a second."""
    x = np.random.default_rng(1).standard_normal((n_rows, COLUMNS), dtype=np.float32)
    return _rate(x, None)


def _rate(x: object, out: str | None) -> float:
    from outcore.linalg import Gram, QuadraticForm

    q = np.random.default_rng(2).standard_normal((COLUMNS, COLUMNS))
    begin = time.perf_counter()
    gram, _ = oc.reduce_rows(x, [Gram(), QuadraticForm(q, out=out)])
    if not np.isfinite(gram).all():
        raise AssertionError("the Gram matrix is not finite")
    return len(x) / (time.perf_counter() - begin)
