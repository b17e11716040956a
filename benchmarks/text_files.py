"""The texts that are ingested: a genomics table with a column of names, and a wide table of measurements.

Hands to : ingest, ingest_memory, ingest_gzip, ingest_stream
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.measure import say

#: chromosome, position, per cent methylated, count, total: 29 bytes a row as text, 26 as values.
GENOMICS = [("chr", "S10"), ("pos", "<i4"), ("pct", "<f4"), ("c", "<i4"), ("t", "<i4")]
WIDE_COLUMNS = 61
BLOCK_ROWS = {"genomics": 1_000_000, "wide": 100_000}
_CHROMOSOMES = np.array([f"chr{i}" for i in (*range(1, 23), "X", "Y")])


def write(kind: str, path: Path, n_rows: int) -> None:
    """Write `n_rows` of "genomics" (tabs, no header) or "wide" (commas, header)."""
    with open(path, "wb") as file:
        for done, frame in _frames(kind, n_rows):
            say(f"writing {path.name}: {done / n_rows:.0%}")
            header = kind == "wide" and not done
            frame.write_csv(file, include_header=header, separator="\t" if kind == "genomics" else ",")
    say("")


def _frames(kind: str, n_rows: int) -> Iterator[tuple[int, pl.DataFrame]]:
    rng = np.random.default_rng(1)
    for start in range(0, n_rows, BLOCK_ROWS[kind]):
        n = min(BLOCK_ROWS[kind], n_rows - start)
        yield start, _genomics(rng, n) if kind == "genomics" else _wide(rng, n)


def _genomics(rng: np.random.Generator, n: int) -> pl.DataFrame:
    total = rng.integers(1, 200, n, np.int32)
    count = (rng.random(n) * (total + 1)).astype(np.int32)
    return pl.DataFrame(
        {
            "chr": _CHROMOSOMES[np.sort(rng.integers(0, len(_CHROMOSOMES), n))],
            "pos": np.sort(rng.integers(0, 250_000_000, n, np.int32)),
            "pct": (100 * count / total).round(4).astype(np.float32),
            "c": count,
            "t": total,
        }
    )


def _wide(rng: np.random.Generator, n: int) -> pl.DataFrame:
    values = rng.normal(size=(WIDE_COLUMNS, n)).round(5)
    return pl.DataFrame({f"x{i}": values[i] for i in range(WIDE_COLUMNS)})
