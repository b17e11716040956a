"""EM on rows of 900 columns, eight components, diffuse responsibilities: the shape of the recipe.

Against  : scikit-learn's GaussianMixture on as many rows as it can hold in 6 GB
Targets  : 3 x its speed for an iteration; at most an eighth of its peak memory
Repeat   : .venv-bench/bin/python -m benchmarks em_recipe

Each fit runs in a process of its own. scikit-learn has its rows in memory; outcore reads them from a file,
hot, as its users have them.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc
from benchmarks import cold, limits
from benchmarks.measure import interleave
from benchmarks.report import Report, Table, Target, beats, compare
from benchmarks.settings import Settings

COLUMNS, K = 900, 8
LIMIT_BYTES = 6_000_000_000
#: X, its copy, and two temporaries of its size: what scikit-learn was seen to take.
ROWS = 150_000
#: For outcore, besides what the interpreter takes.
BUDGET_BYTES = 500_000_000
OURS, THEIRS = "outcore, from disk", "scikit-learn"


def run(settings: Settings) -> Report:
    """Write the rows, then one fit after the other."""
    n_rows = ROWS // (20 if settings.quick else 1)
    size = n_rows * COLUMNS * 8
    report = Report(f"EM, N = {n_rows:,}, d = {COLUMNS}, K = {K}, diffuse responsibilities")
    report.setting = [f"X {size / 1e9:.2f} GB; scikit-learn: {limits.describe(LIMIT_BYTES)}"]
    peaks: dict[str, int] = {}

    def turn(who: str, path: Path, seed: int) -> float:
        answer = limits.call(measure, LIMIT_BYTES if who == THEIRS else None, who=who, path=str(path))
        peaks[who] = max(peaks.get(who, 0), answer.peak_anonymous)
        return 1 / float(answer.value)

    with settings.workspace(size) as folder:
        path = folder / "x.npy"
        rng = np.random.default_rng(3)
        with oc.create(path, (n_rows, COLUMNS), "f8") as array:
            for start in range(0, n_rows, 10_000):
                array[start : start + 10_000] = rng.standard_normal((min(10_000, n_rows - start), COLUMNS))
        cold.read_through(path)
        turns = {who: partial(turn, who, path) for who in (OURS, THEIRS)}
        rates = interleave(turns, settings.turns or 2, "iterations/s")
    report.tables.append(compare("", rates, OURS, size))
    report.targets.append(beats(rates, OURS, THEIRS, 3.0, THEIRS))
    if THEIRS in peaks:
        rows = [[who, f"{peak / 1e9:.2f}"] for who, peak in peaks.items()]
        report.tables.append(Table("most anonymous memory, interpreter included", ["", "GB"], rows))
        report.targets.append(
            Target("of scikit-learn's peak memory", 1 / 8, peaks[OURS] / peaks[THEIRS], at_most=True)
        )
    return report


def measure(who: str, path: str) -> float:
    """Fit; return the seconds of an iteration."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(4)
    start = {
        "means_init": rng.normal(0, 0.02, (K, COLUMNS)),
        "weights_init": np.full(K, 1 / K),
        "precisions_init": np.repeat(np.eye(COLUMNS)[None], K, axis=0),
    }
    if who == THEIRS:
        return _their_seconds(np.load(path), start)
    x = oc.open(path)
    stamps = [time.perf_counter()]
    with oc.options(memory=BUDGET_BYTES):
        for max_iter in (1, 2):
            oc.GaussianMixture(K, tol=0, max_iter=max_iter, **start).fit(x)
            stamps.append(time.perf_counter())
    first, both = stamps[1] - stamps[0], stamps[2] - stamps[1]
    return both - first


def _their_seconds(x: Any, start: dict[str, Any]) -> float:
    """Return the time between the ends of two M steps."""
    from sklearn.mixture import GaussianMixture

    stamps: list[float] = []

    class Stamped(GaussianMixture):
        def _m_step(self, *args: Any, **kwargs: Any) -> Any:
            found = super()._m_step(*args, **kwargs)
            stamps.append(time.perf_counter())
            return found

    Stamped(K, tol=0, max_iter=2, **start).fit(x)
    return stamps[1] - stamps[0]
