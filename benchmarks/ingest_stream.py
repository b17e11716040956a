"""Twenty gigabytes of text through a pipe into .npy, in a control group of one gigabyte.

Against  : the same from half a gigabyte
Target   : at least 0.8 of the small one's throughput
Repeat   : .venv-bench/bin/python -m benchmarks ingest_stream --turns 1
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import outcore as oc
from benchmarks import limits, text_files
from benchmarks.measure import interleave
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings
from benchmarks.text_files import GENOMICS

LIMIT_BYTES = 1_000_000_000
SMALL_BYTES, LARGE_BYTES = 500_000_000, 20_000_000_000
#: Repeats a block of text on standard output: its path, and how often.
REPEATER = """
import sys
block = open(sys.argv[1], "rb").read()
for _ in range(int(sys.argv[2])):
    sys.stdout.buffer.write(block)
"""


def streamed(block: str, times: int, target: str) -> list[float]:
    """Ingest a block of text `times` times, from a pipe; return seconds and rows."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-S", "-c", REPEATER, block, str(times)], stdout=subprocess.PIPE
    ) as repeater:
        made = oc.ingest(
            repeater.stdout, target, GENOMICS, delimiter="\t", header=False, memory="512MB", progress=False
        )
    return [time.perf_counter() - start, float(len(made))]


def run(settings: Settings) -> Report:
    """Ingest both amounts."""
    small, large = (SMALL_BYTES, LARGE_BYTES) if not settings.quick else (30_000_000, 300_000_000)
    report = Report("a stream of text to .npy")
    report.setting = [limits.describe(LIMIT_BYTES), "budget 512 MB; text from a pipe, rows synced at the end"]
    with settings.workspace(large) as folder:
        block = folder / "block.tsv"
        text_files.write("genomics", block, 500_000)
        size = block.stat().st_size
        names = {f"{total / 1e9:g} GB": total // size for total in (small, large)}
        turns = {name: partial(_turn, block, times, folder / "x.npy") for name, times in names.items()}
        rates = interleave(turns, settings.turns or 1, "blocks/s")
        first, last = names
        report.tables.append(compare("", rates, last, size))
        report.targets.append(beats(rates, last, first, 0.8, f"the throughput from {first}"))
    return report


def _turn(block: Path, times: int, target: Path, seed: int) -> float:
    answer = limits.call(streamed, LIMIT_BYTES, block=str(block), times=times, target=str(target))
    seconds, n_rows = answer.value
    if n_rows != 500_000 * times:
        raise AssertionError(f"{n_rows} rows came of {500_000 * times} records")
    target.unlink()
    shutil.rmtree(f"{target}.ingest")
    return times / float(seconds)
