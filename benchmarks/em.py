"""Iterations of EM for a Gaussian mixture, full covariances, in memory, from the same start as scikit-learn.

Against  : scikit-learn's GaussianMixture, BLAS on all cores
Targets  : N = 200 000, d = 100, K = 10: 5 x with overlapping, 12 x with separated components;
           d = 300, K = 50, well separated: 20 x; from disk within a tenth of X: 0.8 of the speed in memory;
           means, covariances and lower bound equal within 1e-9
Repeat   : .venv-bench/bin/python -m benchmarks em

The time of an iteration is that of `1 + n` iterations less that of one, over n, so that checks of the input,
the start and the last E step do not count for anybody.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc
from benchmarks import cold
from benchmarks.measure import Turn, interleave
from benchmarks.report import Report, Table, Target, beats, compare
from benchmarks.settings import Settings

OURS, DISK, THEIRS = "outcore", "outcore, from disk", "scikit-learn"
EQUAL = 1e-9


class Job:
    """Rows around centres, and a start near the centres."""

    def __init__(self, n_rows: int, n_columns: int, k: int, deviation: float, more: int) -> None:
        rng = np.random.default_rng(5)
        centres = rng.normal(0, deviation, (k, n_columns))
        self.x = centres[rng.integers(k, size=n_rows)]
        for start in range(0, n_rows, 50_000):
            part = self.x[start : start + 50_000]
            part += rng.standard_normal(part.shape)
        self.k = k
        self.more = more
        self.fits: dict[str, float] = {}
        self.start = {
            "means_init": centres + rng.normal(0, 0.1, centres.shape),
            "weights_init": np.full(k, 1 / k),
            "precisions_init": np.repeat(np.eye(n_columns)[None], k, axis=0),
        }

    def our_seconds(self, fit: Callable[[int], Any]) -> float:
        """Time an iteration of outcore."""
        begin = time.perf_counter()
        fit(1)
        middle = time.perf_counter()
        fit(1 + self.more)
        end = time.perf_counter()
        self.fits[OURS] = end - middle
        return max(end - middle - (middle - begin), 1e-9) / self.more

    def their_seconds(self) -> float:
        """Time an iteration of scikit-learn."""
        stamps: list[float] = []
        begin = time.perf_counter()
        self.theirs(1 + self.more, stamps)
        self.fits[THEIRS] = time.perf_counter() - begin
        return (stamps[-1] - stamps[0]) / self.more

    def ours(self, x: Any, max_iter: int) -> Any:
        """Fit with outcore."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", oc.errors.ConvergenceWarning)
            return oc.GaussianMixture(self.k, tol=0, max_iter=max_iter, **self.start).fit(x)

    def theirs(self, max_iter: int, stamps: list[float] | None = None) -> Any:
        """Fit with scikit-learn; note when each M step ends."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        noted = [] if stamps is None else stamps

        class Stamped(GaussianMixture):
            def _m_step(self, *args: Any, **kwargs: Any) -> Any:
                found = super()._m_step(*args, **kwargs)
                noted.append(time.perf_counter())
                return found

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return Stamped(self.k, tol=0, max_iter=max_iter, **self.start).fit(self.x)


def run(settings: Settings) -> Report:
    """Three shapes in memory, one of them from disk too."""
    report = Report("EM iterations of a Gaussian mixture, full covariances, same start")
    less = 10 if settings.quick else 1
    shapes = [
        ("overlapping: N = 200 000, d = 100, K = 10, deviation 0.5", (200_000 // less, 100, 10, 0.5, 4), 5.0),
        ("separated: N = 200 000, d = 100, K = 10, deviation 2", (200_000 // less, 100, 10, 2.0, 4), 12.0),
        ("well separated: N = 100 000, d = 300, K = 50", (100_000 // less, 300, 50, 2.0, 2), 20.0),
    ]
    for title, shape, wanted in shapes:
        job = Job(*shape)
        turns: dict[str, Turn] = {
            OURS: lambda seed, job=job: 1 / job.our_seconds(partial(job.ours, job.x)),
            THEIRS: lambda seed, job=job: 1 / job.their_seconds(),
        }
        rates = interleave(turns, min(settings.repeats, 3 if shape[2] > 10 else 5), "iterations/s")
        table = compare(title, rates, OURS, job.x.nbytes)
        table.notes.append(
            f"whole fits of {1 + job.more} iterations, last turn: {job.fits[THEIRS] / job.fits[OURS]:.1f} ×"
        )
        report.tables.append(table)
        report.targets.append(beats(rates, OURS, THEIRS, wanted, f"scikit-learn, {title}"))
        report.tables.append(_differences(job))
        report.targets.append(
            Target("relative difference", EQUAL, max(report.tables[-1].figures.values()), at_most=True)
        )
    report.tables.append(_from_disk(settings, report, Job(200_000 // less, 100, 10, 2.0, 4)))
    return report


def _differences(job: Job) -> Table:
    """Compare the results of a few iterations."""
    ours, theirs = job.ours(job.x, 1 + job.more), job.theirs(1 + job.more)
    found = {
        name: float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
        for name, a, b in (
            ("means", ours.means_, theirs.means_),
            ("covariances", ours.covariances_, theirs.covariances_),
            ("lower bound", np.float64(ours.lower_bound_), np.float64(theirs.lower_bound_)),
        )
    }
    rows = [[name, f"{value:.1e}"] for name, value in found.items()]
    return Table("difference to scikit-learn", ["", "relative"], rows, figures=found)


def _from_disk(settings: Settings, report: Report, job: Job) -> Table:
    with settings.workspace(job.x.nbytes) as folder:
        path: Path = folder / "x.npy"
        np.save(path, job.x)
        budget = job.x.nbytes // 10
        cold.read_through(path)

        def from_disk(max_iter: int) -> Any:
            with oc.options(memory=budget):
                return job.ours(oc.open(path), max_iter)

        turns: dict[str, Turn] = {
            DISK: lambda seed: 1 / job.our_seconds(from_disk),
            OURS: lambda seed: 1 / job.our_seconds(partial(job.ours, job.x)),
        }
        rates = interleave(turns, settings.repeats, "iterations/s")
    report.targets.append(beats(rates, DISK, OURS, 0.8, "the same in memory, from disk within a tenth of X"))
    return compare(f"separated, from disk, hot, within {budget / 1e6:.0f} MB", rates, DISK, job.x.nbytes)
