"""Text to a finished .npy file, hot, the whole way: reading, parsing, converting, writing, renaming.

Against  : polars.read_csv, pandas.read_csv and numpy.loadtxt, each followed by numpy.save
Target   : at least 1.5 times polars and pandas, 2.3 times loadtxt, fsync apart
Repeat   : .venv-bench/bin/python -m benchmarks ingest
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import ingesters, limits, text_files
from benchmarks.measure import Turn, interleave
from benchmarks.report import Report, Table, beats, compare
from benchmarks.settings import Settings

PARSER = "limit: the parser alone, no rows made"
OURS, OURS_SYNC, POLARS_SYNC = "outcore.ingest", "outcore.ingest, with fsync", "polars, with fsync"
WAYS: dict[str, tuple[Callable[..., list[float]], bool]] = {
    OURS: (ingesters.outcore, False),
    "polars.read_csv": (ingesters.polars, False),
    "polars.read_csv, C order": (ingesters.polars_rows, False),
    "pandas.read_csv": (ingesters.pandas, False),
    "np.loadtxt": (ingesters.loadtxt, False),
    OURS_SYNC: (ingesters.outcore, True),
    POLARS_SYNC: (ingesters.polars, True),
    PARSER: (ingesters.parser_alone, False),
}
TARGETS = {"polars.read_csv": 1.5, "pandas.read_csv": 1.5, "np.loadtxt": 2.3}
ROWS = {"genomics": 12_000_000, "wide": 1_000_000}
QUICK_ROWS = {"genomics": 400_000, "wide": 30_000}


def run(settings: Settings) -> Report:
    """Ingest both texts in every way, in turns."""
    report = Report("text to .npy")
    with settings.workspace(4 << 30) as folder:
        for kind in ("genomics", "wide"):
            source = folder / f"{kind}.{'tsv' if kind == 'genomics' else 'csv'}"
            text_files.write(kind, source, (QUICK_ROWS if settings.quick else ROWS)[kind])
            size = source.stat().st_size
            report.setting.append(f"{source.name}: {size / 1e6:.0f} MB, in the page cache")
            peaks: dict[str, list[int]] = {}
            sums: set[tuple[float, float]] = set()
            turns: dict[str, Turn] = {
                name: partial(_turn, name, kind, source, peaks, sums)
                for name in WAYS
                if kind == "wide" or "C order" not in name  # structured rows have no other order
            }
            rates = interleave(turns, settings.repeats, "files/s", warm_up=True)
            report.tables += [compare(source.name, rates, OURS, size), _memory(peaks)]
            report.targets += [
                beats(rates, OURS, peer, wanted, f"{peer} + np.save, {kind}")
                for peer, wanted in TARGETS.items()
            ]
            source.unlink()
    return report


def _turn(
    name: str,
    kind: str,
    source: Path,
    peaks: dict[str, list[int]],
    sums: set[tuple[float, float]],
    seed: int,
) -> float:
    way, sync = WAYS[name]
    target = source.with_suffix(".npy")
    answer = limits.call(way, None, kind=kind, source=str(source), target=str(target), sync=sync)
    seconds, *made = answer.value
    peaks.setdefault(name, []).append(answer.peak_anonymous)
    if made:
        total, n_rows = made
        sums.add((round(total, 3), n_rows))
        if len(sums) > 1:
            raise AssertionError(f"the files differ: {sums}")
        target.unlink()
    shutil.rmtree(f"{target}.ingest", ignore_errors=True)
    return 1 / seconds


def _memory(peaks: dict[str, list[int]]) -> Table:
    rows = [[name, f"{max(found) / 1e6:.0f}"] for name, found in peaks.items()]
    return Table("peak anonymous memory", ["", "MB"], rows, figures={"peak_bytes": peaks})
