"""Scale rows, fit a mixture to them, write predictions: the code that a user would write.

Reads from : the matrix of `ingesting`
Hands to   : demo.mixing, one JSON object on standard output

Run as ``python -m outcore.demo.mixers MEMORY COMMAND ARGUMENTS``; the commands are the public functions.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from outcore import progress
from outcore.array.creating import create
from outcore.array.opening import open_array
from outcore.blocks.mapping import map_rows
from outcore.blocks.planning import plan
from outcore.demo.children import PROGRESS
from outcore.demo.ingesting import NUMBERS
from outcore.demo.mixing import COLUMNS, COMPONENTS, ITERATIONS, LEAST_ROWS
from outcore.errors import ConvergenceWarning
from outcore.mixture import checkpoint as checkpoints
from outcore.mixture.gaussian import GaussianMixture
from outcore.settings import options
from outcore.statistics import describe

#: Rows that are looked at at a time.
BLOCK_ROWS = 65_536
#: How long a fit that stands still waits; then nobody kills it, and it goes on.
PATIENCE_S = 60.0


def select(source: str, target: str) -> dict[str, Any]:
    """Write the flights that arrived late and have all their values; scale their columns in place."""
    flights = open_array(source)
    columns = [NUMBERS.index(name) for name in COLUMNS]
    delay = NUMBERS.index("arr_delay")
    with create(target, (None, len(columns)), "f8") as late:
        for start in range(0, len(flights), BLOCK_ROWS):
            block = flights[start : start + BLOCK_ROWS]
            keep = np.isfinite(block).all(axis=1) & (block[:, delay] > 0)
            late.append(block[keep][:, columns])
    answer: dict[str, Any] = {"shape": list(late.shape), "nbytes": late.nbytes}
    if len(late) < LEAST_ROWS:
        return answer
    found = describe(target)
    # Rows of one month only, as a small demo has them, have a constant column.
    mean, spread = found.mean, np.where(found.std > 0, found.std, 1.0)
    rows = open_array(target, mode="r+")
    map_rows(lambda block: (block - mean) / spread, rows, out=rows)
    planned = plan(_mixture("").fit, target)
    return answer | {
        "mean": mean.tolist(),
        "spread": spread.tolist(),
        "plan": planned.to_dict(),
        "text": str(planned),
    }


def fit(path: str, checkpoint: str, halt: str = "") -> dict[str, Any]:
    """Fit; tell what was found, with a digest of all parameters, and how often the rows were read.

    Parameters
    ----------
    path, checkpoint : str
        Without a checkpoint the latter is empty.
    halt : str
        After so many reads of the rows, half ones too, the fit stands still and waits to be killed.
    """
    nbytes = open_array(path).nbytes
    before, told = -1, 0

    def tell(done: int, total: int) -> None:
        nonlocal before, told
        if before < 0:  # a fit that goes on begins to count where it was
            before = math.ceil(done / nbytes) - 1
        print(json.dumps({PROGRESS: done - told, "reads": done / nbytes}), flush=True)
        told = done
        if halt and done >= float(halt) * nbytes:
            time.sleep(PATIENCE_S)

    with options(progress=tell):
        mixture = _fitted(path, checkpoint)
    digest = hashlib.sha256()
    for values in (mixture.weights_, mixture.means_, mixture.covariances_):
        digest.update(np.ascontiguousarray(values).data)
    return {
        "reads": told // nbytes - before,
        "iterations": mixture.n_iter_,
        "lower_bounds": mixture.lower_bounds_,
        "digest": digest.hexdigest(),
        "weights": mixture.weights_.tolist(),
        "means": mixture.means_.tolist(),
    }


def predict(path: str, checkpoint: str, labels: str, shares: str, precisions: str) -> dict[str, Any]:
    """Write the component of each row, the probabilities of all components, and their precision matrices.

    The mixture comes from the checkpoint: the same fit gives what it has found.
    """
    mixture = _fitted(path, checkpoint)
    found, probable = mixture.predict(path, out=labels), mixture.predict_proba(path, out=shares)
    np.save(precisions, mixture.precisions_)
    sizes, apart = np.zeros(COMPONENTS, np.int64), 0
    for start in range(0, len(found), BLOCK_ROWS):
        block = found[start : start + BLOCK_ROWS]
        sizes += np.bincount(block, minlength=COMPONENTS)
        apart += int((probable[start : start + BLOCK_ROWS].argmax(axis=1) != block).sum())
    return {"sizes": sizes.tolist(), "apart": apart}


def _mixture(checkpoint: str) -> GaussianMixture:
    return GaussianMixture(
        COMPONENTS,
        tol=0.0,  # all iterations are made, so that there is a middle in which to kill
        max_iter=ITERATIONS,
        random_state=0,
        checkpoint=checkpoint or None,
    )


def _fitted(path: str, checkpoint: str) -> GaussianMixture:
    # A few iterations show what there is to show.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return _mixture(checkpoint).fit(path)


def _hurry() -> None:
    """Note iterations and tell progress at once: what takes less than seconds is over before, otherwise."""
    checkpoints.EVERY_S = 0.0
    progress.REFRESH_S = 0.0


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {"select": select, "fit": fit, "predict": predict}

if __name__ == "__main__":
    memory, command, *arguments = sys.argv[1:]
    _hurry()
    with options(memory=int(memory)):
        answer = COMMANDS[command](*arguments)
    print(json.dumps(answer), flush=True)
