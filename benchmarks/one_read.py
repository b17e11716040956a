"""Twenty weighted Gram matrices and twenty quadratic forms at once: bytes that the device delivers.

Target   : at most 1.05 of the file
Repeat   : .venv-bench/bin/python -m benchmarks one_read

Cold, within a memory limit of a quarter of the file; bytes are the kernel's (read_bytes in /proc/self/io).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import outcore as oc
from benchmarks import cold, limits
from benchmarks.data import write_raw
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

COLUMNS, K = 300, 20


def run(settings: Settings) -> Report:
    """One pass."""
    limit = (128 << 20) if settings.quick else (512 << 20)
    n_rows = -(-4 * limit // (COLUMNS * 8))
    size = n_rows * COLUMNS * 8
    report = Report(f"{K} Gram matrices and {K} quadratic forms in one pass")
    report.setting = [f"{n_rows:,} x {COLUMNS} float64, {size / 1e9:.2f} GB; {limits.describe(limit)}"]
    with settings.workspace(size + n_rows * K * 16) as folder:
        path = folder / "x.bin"
        write_raw(path, n_rows, COLUMNS)
        np.save(folder / "w.npy", np.random.default_rng(1).random((n_rows, K)))
        read = limits.call(measure, limit, path=str(path), weights=str(folder / "w.npy")).value
        size += n_rows * K * 8  # the weights are read as well
    report.tables.append(
        Table("", ["", "GB", "of the files"], [["read", f"{read / 1e9:.3f}", f"{read / size:.3f}"]])
    )
    report.targets.append(Target("of the files", 1.05, read / size, at_most=True))
    return report


def measure(path: str, weights: str) -> int:
    """Make the pass; return bytes that came from the device."""
    from outcore.linalg import Gram, QuadraticForm

    cold.require(Path(path))
    cold.require(Path(weights))
    q = np.random.default_rng(2).standard_normal((K, COLUMNS, COLUMNS))
    before = cold.device_bytes()
    x = oc.open(path, dtype="f8", shape=(-1, COLUMNS))
    target = Path(path).with_name("forms.npy")
    oc.reduce_rows(x, [Gram(), QuadraticForm(q, out=str(target))], weights=oc.open(weights))
    return cold.device_bytes() - before
