"""One weighted Gram matrix and one quadratic form of rows on disk, against the kernels and the recipe in
memory.

Against  : Z.T @ Z and dtrmm with row dots on rows in memory, at their best block; the recipe's blocked
           (X.T * W).dot(X) and np.sum(X.dot(Q) * X, axis=1) on rows in memory; dask.array on the file
Targets  : gram 0.85 of syrk and 1.6 x the recipe; quadratic_form 0.85 of dtrmm and 1.4 x the recipe
Repeat   : .venv-bench/bin/python -m benchmarks products

outcore reads the file, cold, within a memory limit of a quarter of it; Dask, which would be killed there,
within four times that. The others have their rows in memory, no limit, and both cores for BLAS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc
from benchmarks import cold, limits, recipes
from benchmarks.data import blocks
from benchmarks.measure import Rates, Turn, interleave
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings

COLUMNS = 900
ROW_BYTES = COLUMNS * 8
#: How many times outcore's limit Dask gets.
DASK_LIMIT = 4
#: Rows that the contenders in memory work on.
MEMORY_ROWS = 80_000
GRAM, FORM = "outcore gram(X, w)", "outcore quadratic_form(X, Q)"
SYRK, TRMM = "in memory: Z.T @ Z, best block", "in memory: dtrmm + row dots, best block"
SYRK_WHOLE = "in memory: Z.T @ Z at once"
RECIPE_GRAM, RECIPE_FORM = "recipe, in memory: (X.T*W).dot(X)", "recipe, in memory: sum(X.dot(Q)*X)"
DASK_GRAM, DASK_FORM = "dask.array (X.T*w) @ X", "dask.array ((X @ Q) * X).sum(1)"


def run(settings: Settings) -> Report:
    """Write the file, then let everybody take turns."""
    limit = (256 << 20) if settings.quick else (1 << 30)
    n_rows = -(-4 * limit // ROW_BYTES)
    size = n_rows * ROW_BYTES
    report = Report("one weighted Gram matrix, one quadratic form: d = 900, float64")
    report.setting = [
        f"{n_rows:,} rows, {size / 1e9:.1f} GB; {limits.describe(limit)}",
        f"in memory: {MEMORY_ROWS:,} rows, no limit",
    ]
    with settings.workspace(size + n_rows * 8) as folder:
        path = folder / "x.npy"
        with oc.create(path, (n_rows, COLUMNS), "f8") as array:
            for start, block in blocks(n_rows, COLUMNS):
                block[:, 0] /= n_rows
                array[start : start + len(block)] = block
        np.save(folder / "w.npy", np.random.default_rng(1).random(n_rows))
        np.save(folder / "small.npy", np.ones((1000, COLUMNS)))
        np.save(folder / "small_w.npy", np.ones(1000))
        rows = min(n_rows, MEMORY_ROWS // (8 if settings.quick else 1))
        on_disk = partial(_limited, limit, folder)
        x = np.load(path, mmap_mode="r")[:rows].copy()
        # Dask ends under the limit that outcore has.
        more = partial(_limited, DASK_LIMIT * limit, folder)
        gram = interleave(
            {GRAM: partial(on_disk, "gram"), **_gram_peers(x), DASK_GRAM: partial(more, "dask_gram")},
            settings.repeats,
            "rows/s",
        )
        form = interleave(
            {FORM: partial(on_disk, "form"), **_form_peers(x), DASK_FORM: partial(more, "dask_form")},
            settings.repeats,
            "rows/s",
        )
    report.tables = [compare("gram", gram, GRAM, ROW_BYTES), compare("quadratic form", form, FORM, ROW_BYTES)]
    report.targets = [
        *_targets(gram, GRAM, (SYRK, 0.85), (RECIPE_GRAM, 1.6)),
        *_targets(form, FORM, (TRMM, 0.85), (RECIPE_FORM, 1.4)),
    ]
    return report


def _targets(rates: Rates, ours: str, *wanted: tuple[str, float]) -> list[Any]:
    return [beats(rates, ours, peer, least, f"{ours.split()[1]} to {peer}") for peer, least in wanted]


# ---- on disk, in a process of its own ------------------------------------------------------------------


def _limited(limit: int, folder: Path, work: str, seed: int) -> float:
    return float(limits.call(measure, limit, work=work, folder=str(folder)).value)


def measure(work: str, folder: str) -> float:
    """Do the work once, cold; return rows a second."""
    path = Path(folder) / "x.npy"
    WORKS[work](Path(folder) / "small.npy", Path(folder) / "small_w.npy")  # libraries are loaded and started
    cold.require(path)
    begin = time.perf_counter()
    n_rows = WORKS[work](path, Path(folder) / "w.npy")
    return n_rows / (time.perf_counter() - begin)


def _q() -> Any:
    return np.random.default_rng(2).standard_normal((COLUMNS, COLUMNS))


def _outcore_gram(path: Path, weights: Path) -> int:
    x = oc.open(path)
    oc.gram(x, oc.open(weights))
    return len(x)


def _outcore_form(path: Path, weights: Path) -> int:
    x = oc.open(path)
    return len(oc.quadratic_form(x, _q()))


def _dask_gram(path: Path, weights: Path) -> int:
    import dask.array as da

    x = da.from_array(np.load(path, mmap_mode="r"), chunks=(8192, COLUMNS))
    w = da.from_array(np.load(weights), chunks=8192)
    ((x.T * w) @ x).compute()
    return len(x)


def _dask_form(path: Path, weights: Path) -> int:
    import dask.array as da

    x = da.from_array(np.load(path, mmap_mode="r"), chunks=(8192, COLUMNS))
    return len(((x @ _q()) * x).sum(axis=1).compute())


WORKS: dict[str, Callable[[Path, Path], int]] = {
    "gram": _outcore_gram,
    "form": _outcore_form,
    "dask_gram": _dask_gram,
    "dask_form": _dask_form,
}


# ---- in memory, here -----------------------------------------------------------------------------------


def _gram_peers(x: Any) -> dict[str, Turn]:
    w = np.random.default_rng(1).random(len(x))
    return {
        SYRK: partial(_best, [partial(recipes.syrk, x, n) for n in recipes.KERNEL_ROWS], len(x)),
        SYRK_WHOLE: partial(_best, [partial(recipes.syrk, x)], len(x)),
        RECIPE_GRAM: partial(_best, [partial(recipes.weighted_gram, x, w)], len(x)),
    }


def _form_peers(x: Any) -> dict[str, Turn]:
    q = _q()
    t = recipes.triangle_of(q)
    return {
        TRMM: partial(
            _best, [partial(recipes.triangular_form, x, t, n) for n in recipes.KERNEL_ROWS], len(x)
        ),
        RECIPE_FORM: partial(_best, [partial(recipes.quadratic_form, x, q)], len(x)),
    }


def _best(works: list[Callable[[], object]], n_rows: int, seed: int) -> float:
    """Return the rate of the fastest variant."""
    rates = []
    for work in works:
        begin = time.perf_counter()
        work()
        rates.append(n_rows / (time.perf_counter() - begin))
    return max(rates)
