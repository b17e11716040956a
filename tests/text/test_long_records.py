"""Very long records and very wide tables: the rows, and the memory they take, in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc

MB = 10**6
LONG = os.environ.get("OUTCORE_TESTS") == "long"

PROGRAM = """
import sys
import outcore as oc

x = oc.ingest(sys.argv[1], sys.argv[2], sys.argv[3] or None, memory=sys.argv[4], workers=2, progress=False)
print(x.shape, x.dtype)
"""


def ingest(cgroup: Callable[..., Any], source: Path, dtype: str, budget: int) -> tuple[str, int]:
    """Ingest under a limit; return the shape and dtype, and the peak beyond that of an empty table."""
    target = source.with_suffix(".npy")
    empty = source.with_name("empty.csv")
    empty.write_text("a,b\n1,2\n")
    peaks = []
    for path, kind in ((empty, "f8"), (source, dtype)):
        command = [sys.executable, "-c", PROGRAM, path, target, kind, str(budget)]
        run = cgroup(command, budget + 256 * MB, timeout_s=100)
        assert run.returncode == 0, run.stderr
        peaks.append(run.peak_anonymous)
        target.unlink() if path == empty else None
    return run.stdout.strip(), peaks[1] - peaks[0]


def long_field(path: Path, nbytes: int, quoted: bool) -> str:
    """Write two records with a long field, and two short ones; return the field."""
    line = 'some "text", with commas\n' if quoted else "some text without any of them "
    text = (line * (nbytes // len(line))).rstrip()
    escaped = text.replace('"', '""')
    path.write_text("n,t\n" + (f'1,"{escaped}"\n2,x\n' if quoted else f"1,{text}\n2,x\n") * 2)
    return text


#: What does not grow with a record weighs more in a small budget, so the record is a smaller part of it.
SIZES = [(12 * MB, 160 * MB), *([(64 * MB, 512 * MB)] if LONG else [])]


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(("nbytes", "budget"), SIZES)
def test_a_field_may_be_long(
    tmp_path: Path, cgroup: Callable[..., Any], nbytes: int, budget: int, quoted: bool, measured: bool
) -> None:
    text = long_field(tmp_path / "x.csv", nbytes, quoted)
    width = "" if measured else len(text)
    made, peak = ingest(cgroup, tmp_path / "x.csv", f"n:i4 t:S{width}", budget)
    assert made == f"(4,) [('n', '<i4'), ('t', 'S{len(text)}')]"
    assert peak <= budget
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert rows["n"].tolist() == [1, 2, 1, 2]
    assert rows["t"][0] == rows["t"][2] == text.encode()
    assert rows["t"][1] == b"x"


def test_rows_that_do_not_fit_are_refused_once_they_are_known(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n,t\n1," + "é" * (4 * MB) + "\n2,x\n")
    with pytest.raises(oc.errors.MemoryBudgetError, match=r"6 x one row 96\.\d MB\n.*truncate=True"):
        oc.ingest(tmp_path / "x.csv", tmp_path / "x.npy", "n:i4 t:U", memory="120MB", progress=False)
    assert not (tmp_path / "x.npy").exists()
    x = oc.ingest(
        tmp_path / "x.csv", tmp_path / "x.npy", "n:i4 t:U3", memory="120MB", truncate=True, progress=False
    )
    assert x["t"][:].tolist() == ["ééé", "x"]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("n_columns", [2000, 20_000])
def test_wide_tables(tmp_path: Path, cgroup: Callable[..., Any], n_columns: int, quoted: bool) -> None:
    n_rows = (40 if LONG else 8) * MB // (7 * n_columns)
    values = np.random.default_rng(0).random(n_columns).round(5)
    line = ",".join(f"{value:.5f}" for value in values)
    if quoted:
        line = f'"{line.partition(",")[0]}",{line.partition(",")[2]}'
    (tmp_path / "x.csv").write_text((line + "\n") * n_rows)
    made, peak = ingest(cgroup, tmp_path / "x.csv", "", 512 * MB)
    assert made == f"({n_rows}, {n_columns}) float64"
    assert peak <= 512 * MB
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.array_equal(rows[0], values)
    assert np.array_equal(rows[-1], values)


def test_a_record_that_is_too_long_says_how_much_there_is(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n,t\n1,x\n2," + "y" * (12 * MB) + "\n")
    with pytest.raises(oc.errors.IngestError, match=r"x\.csv:3  the record is longer than \d+ bytes"):
        oc.ingest(tmp_path / "x.csv", tmp_path / "x.npy", "n:i4 t:S9", memory="64MB", progress=False)


def test_more_columns_than_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(",".join("1" * 200_000) + "\n")
    program = [sys.executable, "-c", PROGRAM, tmp_path / "x.csv", tmp_path / "x.npy", "f4", "100MB"]
    run = subprocess.run(program, capture_output=True, text=True, check=False)
    assert "200000 columns 120.0 MB" in run.stderr
