"""Random rows and windows of 1 kB to 256 kB, all of them in the page cache.

Against  : np.take on a memmap, with its default mode and with mode="clip"; for windows, the memmap loop
Targets  : no slower than either, at every size
Repeat   : .venv-bench/bin/python -m benchmarks hot

Everybody fills an array that is given (out=). A call returns 64 MB, and in a second round 1 MB, as a
loader asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks import cold, data
from benchmarks.measure import Rates, Skip, Turn, interleave
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

UNIT = 128  # values in 1 kB
KILOBYTES = (1, 4, 16, 64, 256)
LENGTH = 16
OURS = "outcore"
#: What one turn reads, whatever a call returns.
TURN_BYTES = 64 << 20

#: Reads what the row numbers say into the array given.
Call = Callable[[NDArray[np.int64], NDArray[Any]], object]


def run(settings: Settings) -> Report:
    """One file in memory, several shapes."""
    size = (256 << 20) if settings.quick else (1 << 30)
    repeats = settings.many_repeats
    report = Report("random rows and windows, hot")
    report.setting = [f"{size / 1e9:.1f} GB file, wholly in the page cache; {repeats} turns"]
    with settings.workspace(size) as folder:
        path = folder / "x.bin"
        data.write_raw(path, size // (UNIT * 8), UNIT)
        if (share := cold.read_through(path)) < 1:
            raise Skip(f"only {share:.0%} of the file stay in the page cache")
        for work, peers, measure in (
            ("take", ("np.take", 'np.take(mode="clip")'), _take),
            ("windows of 16 rows", ("memmap loop",), _windows),
        ):
            for call_bytes in (TURN_BYTES, 1 << 20):
                found = {kb: measure(path, kb << 10, call_bytes, repeats) for kb in KILOBYTES}
                report.tables.append(_table(f"{work}, {call_bytes >> 20} MB a call", found, peers))
                report.targets += [
                    _worst(f"{work}, {call_bytes >> 20} MB a call", found, peer) for peer in peers
                ]
    return report


def _take(path: Path, row_bytes: int, call_bytes: int, repeats: int) -> Rates:
    n_rows = path.stat().st_size // row_bytes
    out = np.ones((call_bytes // row_bytes, row_bytes // 8))
    mapped = np.memmap(path, "f8", "r").reshape(-1, row_bytes // 8)
    with oc.open(path, dtype="f8", shape=(-1, row_bytes // 8)) as array:
        calls: dict[str, Call] = {
            OURS: lambda rows, out: array.take(rows, out=out),
            "np.take": lambda rows, out: np.take(mapped, rows, axis=0, out=out),
            'np.take(mode="clip")': lambda rows, out: np.take(mapped, rows, axis=0, out=out, mode="clip"),
        }
        return interleave(_turns(calls, mapped, n_rows, out), repeats, "GB/s", warm_up=True)


def _windows(path: Path, window_bytes: int, call_bytes: int, repeats: int) -> Rates:
    row_bytes = window_bytes // LENGTH
    starts = path.stat().st_size // row_bytes - LENGTH
    out = np.ones((call_bytes // window_bytes, LENGTH, row_bytes // 8))
    mapped = np.memmap(path, "f8", "r").reshape(-1, row_bytes // 8)

    def loop(begins: NDArray[np.int64], out: NDArray[Any]) -> None:
        for i, start in enumerate(begins.tolist()):
            out[i] = mapped[start : start + LENGTH]

    with oc.open(path, dtype="f8", shape=(-1, row_bytes // 8)) as array:
        calls: dict[str, Call] = {
            OURS: lambda begins, out: array.windows(begins, LENGTH, out=out),
            "memmap loop": loop,
        }
        return interleave(_turns(calls, mapped, starts, out), repeats, "GB/s", warm_up=True)


def _turns(calls: dict[str, Call], mapped: NDArray[Any], upto: int, out: NDArray[Any]) -> dict[str, Turn]:
    return {name: partial(_turn, call, mapped, upto, out) for name, call in calls.items()}


def _turn(call: Call, mapped: NDArray[Any], upto: int, out: NDArray[Any], seed: int) -> float:
    rng = np.random.default_rng(seed)
    batches = [rng.integers(0, upto, len(out)) for _ in range(TURN_BYTES // out.nbytes)]
    begin = time.perf_counter()
    for numbers in batches:
        call(numbers, out)
    seconds = time.perf_counter() - begin
    for number, got in zip(batches[-1][:8], out, strict=False):
        if not np.array_equal(got, mapped[number] if out.ndim == 2 else mapped[number : number + LENGTH]):
            raise AssertionError("these are not the rows that were asked for")
    return TURN_BYTES / seconds / 1e9


def _table(title: str, found: dict[int, Rates], peers: tuple[str, ...]) -> Table:
    header = ["", f"{OURS} GB/s"]
    for peer in peers:
        header += [f"{peer} GB/s", f"{OURS} is × this"]
    rows = []
    for kilobytes, rates in found.items():
        row = [f"{kilobytes} kB", f"{rates.median(OURS):.2f}"]
        for peer in peers:
            row += [f"{rates.median(peer):.2f}", str(rates.ratio(OURS, peer))]
        rows.append(row)
    figures = {"unit": "GB/s", "ours": OURS, "rates": {f"{kb} kB": rates.of for kb, rates in found.items()}}
    return Table(title, header, rows, figures=figures)


def _worst(what: str, found: dict[int, Rates], peer: str) -> Target:
    ratios = {kb: ratio.median for kb, rates in found.items() if (ratio := rates.ratio(OURS, peer))}
    at = min(ratios, key=lambda kb: ratios[kb])
    return Target(f"{peer}: {what}, at the worst size ({at} kB)", 1.0, ratios[at], " ×")
