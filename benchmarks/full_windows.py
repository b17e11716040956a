"""The whole job: 10 000 windows (16, 2000) of a (2 000 000, 2000) float64 file, 32 GB, in 8 GB of memory.

Against  : the np.memmap loop on 500 windows of the same file, under the same limit
Limit    : fio, random reads of 256 kB, 32 in flight, on the same file
Target   : it completes; anonymous memory of the whole process at most the result (2.56 GB) + 64 MB
Repeat   : .venv-bench/bin/python -m benchmarks full_windows

Where the disk has no room for 32 GB, rows, windows and limit are halved until it has. The windows are
drawn as users draw them: at random, so that a few overlap.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc
from benchmarks import cold, data, fio, limits
from benchmarks.measure import EndedError, Rates, Skip, say
from benchmarks.readers import memmap_loop
from benchmarks.report import Report, Target, compare
from benchmarks.settings import Settings

N_ROWS, N_WINDOWS, LENGTH, LIMIT = 2_000_000, 10_000, 16, 8 << 30
ROW_BYTES = data.ROW_VALUES * 8
WINDOW_BYTES = LENGTH * ROW_BYTES
#: Anonymous memory besides the result that is allowed: the interpreter, NumPy, and our buffers.
BESIDES = 64e6
#: So many windows show the rate of the loop; the whole job would take it most of a minute or more.
LOOP_WINDOWS = 500


def run(settings: Settings) -> Report:
    """Write the file, do the job once, then the loop and fio."""
    part = 32 if settings.quick else 1
    while part < 64 and settings.free_bytes() < N_ROWS // part * ROW_BYTES:
        part *= 2
    n_rows, n_windows, limit = N_ROWS // part, N_WINDOWS // part, LIMIT // part
    with settings.workspace(n_rows * ROW_BYTES) as folder:
        path = folder / "x.npy"
        data.write_npy(path, n_rows)
        cold.require(path)
        say("the job")
        ran = limits.call(job, limit, path=str(path), n_windows=n_windows)
        rates = Rates("windows/s", {"outcore": [n_windows / ran.value["seconds"]]})
        say("the loop")
        _add(rates, "np.memmap loop", lambda: limits.call(loop, limit, path=str(path)).value)
        say("fio")
        _add(rates, "fio 256k, depth 32", lambda: fio.random_read(path, 256 << 10) / WINDOW_BYTES)
        say("")
    return _report(part, rates, ran, n_rows, n_windows, limit)


def _report(part: int, rates: Rates, ran: limits.Answer, n_rows: int, n_windows: int, limit: int) -> Report:
    result = n_windows * WINDOW_BYTES
    report = Report(f"the whole job: {n_windows:,} windows (16, 2000) of ({n_rows:,}, 2000) float64")
    report.setting = [f"{n_rows * ROW_BYTES / 1e9:.1f} GB file, cold, {limits.describe(limit)}"]
    if part > 1:
        report.setting.append(f"1/{part} of the job: 1/{part} of the rows, the windows and the limit")
    table = compare("", rates, "outcore", WINDOW_BYTES)
    table.notes += [
        f"completed in {ran.value['seconds']:.2f} s, the number of every row compared",
        f"anonymous memory at its peak {ran.peak_anonymous / 1e6:.0f} MB: result {result / 1e6:.0f} MB"
        f" + {(ran.peak_anonymous - result) / 1e6:.0f} MB,"
        f" of which {ran.value['before'] / 1e6:.0f} MB before the first window was read",
    ]
    table.figures |= {"seconds": ran.value["seconds"], "peak_anonymous": ran.peak_anonymous, "result": result,
                      "anonymous_before": ran.value["before"]}  # fmt: skip
    if loop_rate := rates.of.get("np.memmap loop"):
        table.notes.append(f"at its rate, the np.memmap loop needs {n_windows / loop_rate[0]:.0f} s for this")
    report.tables.append(table)
    report.targets.append(
        Target(
            "of anonymous memory besides the result, in the whole process", BESIDES / 1e6,
            (ran.peak_anonymous - result) / 1e6, " MB", at_most=True,
        )
    )  # fmt: skip
    return report


def job(path: str, n_windows: int) -> dict[str, float]:
    """Do what a user does. Runs under the limit."""
    array = oc.open(path)
    starts = np.random.default_rng().integers(0, len(array) - LENGTH, n_windows)
    before = limits.anonymous_bytes()
    begin = time.perf_counter()
    windows = array.windows(starts, LENGTH)
    seconds = time.perf_counter() - begin
    data.check_windows(starts, windows)
    return {"seconds": seconds, "before": before}


def loop(path: str) -> float:
    """Read fewer windows by the loop; return windows a second. Runs under the limit."""
    cold.require(Path(path))
    n_rows = np.load(path, mmap_mode="r").shape[0]
    starts = data.draw_windows(np.random.default_rng(), n_rows, LENGTH, LOOP_WINDOWS)
    out = np.ones((LOOP_WINDOWS, LENGTH, data.ROW_VALUES))
    with memmap_loop(Path(path)) as read:
        begin = time.perf_counter()
        read(starts, out)
        seconds = time.perf_counter() - begin
    data.check_windows(starts, out)
    return LOOP_WINDOWS / seconds


def _add(rates: Rates, name: str, measure: Any) -> None:
    try:
        rates.of[name] = [float(measure())]
    except (Skip, EndedError) as reason:
        rates.skipped[name] = str(reason).splitlines()[0]
