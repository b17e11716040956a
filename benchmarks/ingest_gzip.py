"""A gzip file to .npy, against gunzip piped into the same ingest.

Against  : ``gzip -dc file | outcore ingest -``
Target   : at least 1.0 times that
Repeat   : .venv-bench/bin/python -m benchmarks ingest_gzip
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import outcore as oc
from benchmarks import ingesters, limits, text_files
from benchmarks.ingest import QUICK_ROWS, ROWS
from benchmarks.measure import Skip, interleave
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings
from benchmarks.text_files import GENOMICS

OURS, PIPED = "outcore.ingest(x.gz)", "gzip -dc | outcore.ingest"


def piped(kind: str, source: str, target: str, sync: bool) -> list[float]:
    """Let gzip decompress into a pipe that is ingested."""
    start = time.perf_counter()
    with subprocess.Popen(["gzip", "-dc", source], stdout=subprocess.PIPE) as gzip:
        oc.ingest(gzip.stdout, target, GENOMICS, delimiter="\t", header=False)
    return [time.perf_counter() - start]


def run(settings: Settings) -> Report:
    """Ingest the genomics text, compressed."""
    if shutil.which("gzip") is None:
        raise Skip("there is no gzip command here")
    report = Report("gzip text to .npy")
    with settings.workspace(2 << 30) as folder:
        source = folder / "genomics.tsv"
        text_files.write("genomics", source, (QUICK_ROWS if settings.quick else ROWS)["genomics"])
        size = source.stat().st_size
        subprocess.run(["gzip", "-6", str(source)], check=True)
        source = folder / "genomics.tsv.gz"
        report.setting = [f"{size / 1e6:.0f} MB of text, {source.stat().st_size / 1e6:.0f} MB compressed"]
        turns = {name: partial(_turn, way, source) for name, way in WAYS.items()}
        rates = interleave(turns, settings.repeats, "files/s", warm_up=True)
        report.tables.append(compare("", rates, OURS, size))
        report.targets.append(beats(rates, OURS, PIPED, 1.0))
    return report


WAYS = {OURS: ingesters.outcore, PIPED: piped}


def _turn(way: Callable[..., list[float]], source: Path, seed: int) -> float:
    target = source.with_name("x.npy")
    answer = limits.call(
        way,
        None,
        kind="genomics",
        source=str(source),
        target=str(target),
        sync=True,
    )
    target.unlink()
    shutil.rmtree(f"{target}.ingest", ignore_errors=True)
    return 1 / float(answer.value[0])
