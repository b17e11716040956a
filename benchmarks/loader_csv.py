"""Training from cleaned CSV files of 1 000 rows and 61 columns: the second epoch.

Against  : the recipe, a `keras.utils.Sequence` whose item i is file i: `pandas.read_csv`, `fillna(0)`,
           columns into x and y, one-hot labels; two worker processes, batches pulled as `fit` pulls them
Target   : at least 20 times as fast
Repeat   : .venv-bench/bin/python -m benchmarks loader_csv

outcore parses the files once, with `oc.ingest`; that is part of its first epoch, which is shown too. Texts
and what is made of them are in the page cache. A batch is as many rows as a file has: for outcore out of all
files, for the recipe those of one. The values are added up and compared.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import outcore as oc
from benchmarks import batchers, limits
from benchmarks.measure import Rates, interleave, need, say
from benchmarks.report import Report, beats, compare
from benchmarks.settings import Settings

FILES, FILE_ROWS, COLUMNS, CLASSES = 500, 1000, 61, 2
#: Missing values: one in so many.
MISSING = 50
WORKERS = 2
OURS, THEIRS = "outcore, ingested once", "the recipe's Sequence, 2 processes"


def run(settings: Settings) -> Report:
    """Write the files, then both in turns."""
    n_files = FILES // (10 if settings.quick else 1)
    report = Report(f"training from {n_files} CSV files of {FILE_ROWS:,} rows, {COLUMNS} columns")
    firsts = Rates("epochs/s")
    with settings.workspace(n_files * FILE_ROWS * COLUMNS * 20) as folder:
        texts = folder / "train"
        size = write(texts, n_files)
        report.setting = [f"{size / 1e6:.0f} MB of text; {batchers.versions('keras', 'pandas')}"]
        sums: dict[str, list[float]] = {}

        def turn(name: str, seed: int) -> float:
            way = {OURS: ours, THEIRS: recipe}[name]
            first, second, *found = limits.call(way, None, folder=str(texts)).value
            sums[name] = found
            firsts.of.setdefault(name, []).append(1 / first)
            return 1 / float(second)

        rates = interleave(
            {name: partial(turn, name) for name in (OURS, THEIRS)}, settings.repeats, "epochs/s"
        )
    if len(sums) == 2 and not np.allclose(sums[OURS], sums[THEIRS], rtol=1e-6):
        raise AssertionError(f"the batches differ: {sums}")
    report.tables += [
        compare("second epoch; GB/s are of text", rates, OURS, size),
        compare("first epoch, outcore's ingest in it", firsts, OURS, size),
    ]
    report.targets.append(beats(rates, OURS, THEIRS, 20.0, f"{THEIRS}, second epoch"))
    return report


def write(folder: Path, n_files: int) -> int:
    """Write the files: a label, and 60 numbers some of which are missing. Returns their bytes."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for i in range(n_files):
        say(f"writing: {i / n_files:.0%}")
        values = rng.normal(size=(COLUMNS - 1, FILE_ROWS)).round(5)
        values[rng.random(values.shape) < 1 / MISSING] = np.nan
        columns = {f"x{j}": pl.Series(column).fill_nan(None) for j, column in enumerate(values)}
        columns["cleared"] = pl.Series(rng.integers(0, CLASSES, FILE_ROWS))
        pl.DataFrame(columns).write_csv(folder / f"split_data_{i + 1:05d}.csv")
    say("")
    return sum(file.stat().st_size for file in folder.iterdir())


def ours(folder: str) -> list[float]:
    """Ingest, then two epochs."""
    transforms = oc.transforms
    target = Path(folder).with_name("train.npy")
    begin = time.perf_counter()
    rows = oc.ingest(f"{folder}/*.csv", str(target), dtype="f4", progress=False)
    loader = oc.Loader(
        rows, FILE_ROWS,
        transform=[transforms.select(slice(0, -1), -1), transforms.fillna(0), transforms.one_hot(CLASSES)],
    )  # fmt: skip
    found = _two_epochs(lambda: loader, begin)
    target.unlink()
    shutil.rmtree(f"{target}.ingest", ignore_errors=True)
    return found


def recipe(folder: str) -> list[float]:
    """Two epochs of what `fit` does with a Sequence."""
    # The backend is imported by Keras; it does nothing here.
    os.environ["KERAS_BACKEND"] = "torch"
    keras = need("keras")
    adapters = need("keras.src.trainers.data_adapters.py_dataset_adapter")

    class CSVSequence(keras.utils.Sequence):
        """One file a batch."""

        def __init__(self, folder: str, **how: Any) -> None:
            super().__init__(**how)
            self.files = sorted(Path(folder).iterdir())

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, i: int) -> Any:
            import pandas as pd

            frame = pd.read_csv(self.files[i]).fillna(0)
            y = frame.pop("cleared").to_numpy()
            return frame.to_numpy("float32"), np.eye(CLASSES, dtype=np.float32)[y]

    need("pandas")  # before its processes are forked
    sequence = CSVSequence(folder, workers=WORKERS, use_multiprocessing=True, max_queue_size=WORKERS * 10)
    adapter = adapters.PyDatasetAdapter(sequence)

    def epoch() -> Iterable[Any]:
        adapter.on_epoch_begin()
        yield from adapter.get_numpy_iterator()
        adapter.on_epoch_end()

    return _two_epochs(epoch, time.perf_counter())


def _two_epochs(epoch: Any, begin: float) -> list[float]:
    """Return the seconds of both, and sums over the second: of x, of the classes, and of the rows."""
    for x, _ in epoch():
        float(x[0, 0])
    first = time.perf_counter()
    sums = np.zeros(2 + CLASSES)
    for x, y in epoch():
        sums += [x[:, 0].sum(dtype="f8"), *y.sum(axis=0), len(x)]
    return [first - begin, time.perf_counter() - first, *sums.tolist()]
