"""The most anonymous memory that an ingest holds, under a limit of the kernel, for texts of all shapes.

Target   : at most the budget, 512 MB, in a control group of 768 MB
Repeat   : .venv-bench/bin/python -m benchmarks ingest_memory
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc
from benchmarks import limits, text_files
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

BUDGET_BYTES, SPARE_BYTES = 512_000_000, 256_000_000


def ingested(source: str, target: str, how: dict[str, Any]) -> int:
    """Ingest within the budget; return the number of rows."""
    made = oc.ingest(source, target, memory=BUDGET_BYTES, progress=False, **how)
    return len(made)


def run(settings: Settings) -> Report:
    """Ingest one text of each shape."""
    report = Report("memory of an ingest")
    report.setting = [limits.describe(BUDGET_BYTES + SPARE_BYTES)]
    rows = []
    for name, (write, how) in TEXTS.items():
        with settings.workspace(6 << 30) as folder:
            source = folder / "x.csv"
            write(source, 20 if settings.quick else 1)
            size = source.stat().st_size
            target = folder / "x.npy"
            answer = limits.call(
                ingested, BUDGET_BYTES + SPARE_BYTES, source=str(source), target=str(target), how=how
            )
            shutil.rmtree(f"{target}.ingest")
        peak = answer.peak_anonymous
        rows.append([name, f"{size / 1e6:.0f}", f"{answer.value:,}", f"{peak / 1e6:.0f}"])
        report.targets.append(Target(f"peak of {name}", BUDGET_BYTES / 1e6, peak / 1e6, " MB", at_most=True))
    report.tables.append(Table("", ["", "MB of text", "rows", "peak MB"], rows))
    return report


def _genomics(path: Path, less: int) -> None:
    text_files.write("genomics", path, 12_000_000 // less)


def _measurements(path: Path, less: int) -> None:
    text_files.write("wide", path, 1_000_000 // less)


def _columns(path: Path, less: int) -> None:
    line = (",".join(f"{x:.4f}" for x in np.random.default_rng(1).random(20_000)) + "\n").encode()
    path.write_bytes(line * (3000 // less))


def _texts(path: Path, less: int) -> None:
    line = b'"a text, with a comma and ""quotes""",2024-01-31T12:30:59,,,,,,,"%s",1.5\n' % (b"x" * 100)
    path.write_bytes(line * (2_000_000 // less))


def _empty(path: Path, less: int) -> None:
    path.write_bytes((b"," * 200 + b"\n") * (1_000_000 // less))


def _long_record(path: Path, less: int) -> None:
    path.write_bytes(b'1,"%s"\n2,"y"\n' % (b"x" * (64_000_000 // less)))


TEXTS: dict[str, tuple[Callable[[Path, int], None], dict[str, Any]]] = {
    "genomics": (_genomics, {"dtype": "chr:S10 pos:i4 pct:f4 c:i4 t:i4", "delimiter": "\t"}),
    "61 columns of numbers": (_measurements, {}),
    "20 000 columns of numbers": (_columns, {"dtype": "f8", "header": False}),
    "texts, dates, empty cells": (_texts, {"header": False}),
    "201 empty cells a row": (_empty, {"dtype": "f8", "header": False}),
    "a text of 64 MB": (_long_record, {"dtype": "a:i4 b:S", "header": False}),
}
