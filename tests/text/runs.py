"""Files to ingest, and what a run leaves on the disk."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np

#: All that a run of `write_sources` needs to be told; the columns are text, category, date, numbers, truth.
DTYPE = "name:S kind:category day:M8[D] n:i4 x:f8 note:S ok:?"
HEADER = "name,kind,day,n,x,note,ok\n"


def write_sources(folder: Path, n_files: int = 4, n_rows: int = 2000, *, faults: bool = False) -> Path:
    """Write tables with quotes, newlines in them, blank lines, empty files, one gz file; return a pattern."""
    folder.mkdir(exist_ok=True)
    for i in range(n_files):
        text = HEADER + "".join(_lines(i, n_rows * (i + 1), faults=faults))
        path = folder / f"part{i}.csv"
        path.write_text(text, encoding="utf-8")
        if i == 1:
            (folder / "part1.csv.gz").write_bytes(gzip.compress(text.encode(), 1))
            path.unlink()
    (folder / f"part{n_files}.csv").write_text(HEADER)
    (folder / f"part{n_files + 1}.csv").write_text("")
    return folder / "part*"


def _lines(seed: int, n_rows: int, *, faults: bool) -> list[str]:
    rng = np.random.default_rng(seed)
    days = np.datetime64("2024-01-01") + rng.integers(0, 900, n_rows)
    rows = zip(rng.integers(0, 10**6, n_rows).tolist(), rng.normal(size=n_rows).tolist(), days, strict=True)
    lines = []
    for i, (n, x, day) in enumerate(rows):
        name = f'"a,{n}""\n{i}"' if i % 7 == 0 else f"a{n}"
        number = "many" if faults and i % 501 == 17 else n
        short = faults and i % 997 == 31
        note = "é" * (n % 5)
        lines.append(f"{name},k{n % 9},{day},{number},{x!r}" + ("\n" if short else f",{note},{i % 2}\n"))
        if i % 11 == 0:
            lines.append("\n")
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes, by its name relative to the folder."""
    paths = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def sources_list(target: Path) -> list[tuple[str, int, int]]:
    """Return name, first row and number of rows of each file, from the record of a flat target."""
    lines = (target.parent / f"{target.name}.ingest" / "sources.csv").read_text("utf-8").splitlines()
    assert lines[0] == "file,bytes,mtime_ns,first_row,rows"
    found = (line.rsplit(",", 4) for line in lines[1:])
    return [(os.path.basename(path), int(first), int(n)) for path, _, _, first, n in found]


def write(path: Path, text: str | bytes, mtime_s: int = 0) -> Path:
    """Write a file; its time is moved, so that two of them can be told apart whatever the clock's grain."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    if mtime_s:
        os.utime(path, (mtime_s, mtime_s))
    return path


def options(**more: Any) -> dict[str, Any]:
    """Return the arguments that go with `write_sources`."""
    return {"dtype": DTYPE, "progress": False, **more}
