"""Windows of 16 rows at stride 1, cold, block shuffle: bytes that are read for each byte of a window.

Target   : at most 0.15
Repeat   : .venv-bench/bin/python -m benchmarks loader_windows

Neighbouring windows share 15 of their 16 rows. A whole epoch, cold at its start, within a memory limit as
large as the file. Bytes are counted by the loader (`Loader.stats`) and beside it by the kernel: what the
device delivered for this process. One turn, as no time is taken.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import outcore as oc
from benchmarks import cold, data, limits
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

LENGTH, BATCH = 16, 256
#: Values in a row, 1 kB.
UNIT = 128
#: Without blocks each window is read on its own: enough is seen in so many batches.
ENOUGH = {"block": None, "False": None, "True": 1000}


def run(settings: Settings) -> Report:
    """One epoch of each kind of shuffle."""
    limit = settings.cold_limit_bytes
    report = Report(f"bytes read for windows of {LENGTH} rows of 1 kB at stride 1")
    report.setting = [f"{limit / 1e9:.1f} GB file, cold, {limits.describe(limit)}"]
    rows, found = [], {}
    with settings.workspace(limit) as folder:
        path = folder / "x.bin"
        data.write_raw(path, limit // (UNIT * 8), UNIT)
        for name, enough in ENOUGH.items():
            read, device, delivered = limits.call(
                count, limit, path=str(path), shuffle=name, budget=settings.loader_budget, enough=enough
            ).value
            found[name] = read / delivered, device / delivered
            rows.append([
                f"shuffle={name}", f"{delivered / 1e9:.1f}", f"{read / 1e9:.2f}", f"{read / delivered:.3f}",
                f"{device / 1e9:.2f}", f"{device / delivered:.3f}",
            ])  # fmt: skip
    header = ["", "GB of windows", "GB read", "of it", "GB from the device", "of it"]
    report.tables.append(Table("", header, rows, figures={"shares": found}))
    report.targets += [
        Target("of the windows' bytes, block shuffle, by the loader", 0.15, found["block"][0], at_most=True),
        Target("of the windows' bytes, block shuffle, by the kernel", 0.15, found["block"][1], at_most=True),
    ]
    return report


def count(path: str, shuffle: str, budget: int | None, enough: int | None) -> list[int]:
    """Take batches; return bytes read, bytes from the device and bytes of windows. Runs under the limit."""
    x = oc.open(path, dtype="f8", shape=(-1, UNIT))
    kind = {"True": True, "False": False}.get(shuffle, shuffle)
    loader = oc.Loader(x, BATCH, shuffle=kind, memory=budget, window=oc.Window(LENGTH))
    cold.require(Path(path))
    before = cold.device_bytes()
    for number, batch in enumerate(loader):
        first = batch[:, 0, 0]
        if not np.array_equal(batch[:, :, 0], first[:, None] + np.arange(LENGTH)):
            raise AssertionError("these are no windows")
        if number + 1 == enough:
            break
    stats = loader.stats()
    return [stats.bytes_read, cold.device_bytes() - before, stats.bytes_delivered]
