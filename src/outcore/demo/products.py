"""Weighted Gram matrices and quadratic forms of all rows, with outcore and as people write them by hand.

Reads from : the rows, weights and matrices that `mixers` wrote
Hands to   : demo.mixing, one JSON object on standard output

Only the work is timed. By hand: a slice of a memory map at a time, buffers that are filled again, one loop
over the rows for the Gram matrices and one for the forms.

Run as ``python -m outcore.demo.products WHO MEMORY X WEIGHTS MATRICES GRAMS FORMS``, or as
``... compare MEMORY GRAMS FORMS GRAMS FORMS``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from outcore.array.opening import open_array
from outcore.blocks.planning import plan
from outcore.blocks.reducing import reduce_rows
from outcore.blocks.statistic import Statistic
from outcore.linalg.forms import QuadraticForm
from outcore.linalg.grams import Gram, gram
from outcore.settings import options

#: Rows that are compared at a time.
BLOCK_ROWS = 65_536


def with_outcore(x: str, weights: str, matrices: str, grams: str, forms: str) -> dict[str, Any]:
    """Compute all of it in one read of the rows."""
    statistics: list[Statistic[Any, Any]] = [Gram(), QuadraticForm(np.load(matrices), out=forms)]
    planned = plan(reduce_rows, x, statistics, weights=weights)
    gram(np.ones((1, 1)))  # SciPy's BLAS is loaded when it is first used, NumPy's has been
    start_s = time.perf_counter()
    found, _ = reduce_rows(x, statistics, weights=weights)
    seconds = time.perf_counter() - start_s
    np.save(grams, found)
    return {"seconds": seconds, "plan": planned.to_dict(), "text": str(planned)}


def with_memmap(
    x: str, weights: str, matrices: str, grams: str, forms: str, *, memory: int
) -> dict[str, Any]:
    """Compute ``(X.T * w).dot(X)``, then ``np.sum(X.dot(Q) * X, axis=1)``, slice by slice."""
    X, W, Q = np.load(x, mmap_mode="r"), np.load(weights, mmap_mode="r"), np.load(matrices)
    (n, d), k = X.shape, len(Q)
    # A quarter of the budget: the buffers are as large.
    step = max(1, min(n, memory // 4 // (d * 8)))
    start_s = time.perf_counter()
    total, product, weighted = np.zeros((k, d, d)), np.empty((d, d)), np.empty((d, step))
    for start in range(0, n, step):
        rows = X[start : start + step]
        part = weighted[:, : len(rows)]
        for j in range(k):
            np.multiply(rows.T, W[start : start + step, j], out=part)
            total[j] += np.dot(part, rows, out=product)
    del weighted
    found, multiplied = open_memmap(forms, "w+", np.float64, (n, k)), np.empty((step, d))
    for start in range(0, n, step):
        rows = X[start : start + step]
        part = multiplied[: len(rows)]
        for j in range(k):
            np.dot(rows, Q[j], out=part)
            np.multiply(part, rows, out=part)
            np.sum(part, axis=1, out=found[start : start + step, j])
    seconds = time.perf_counter() - start_s
    found.flush()
    np.save(grams, total)
    return {"seconds": seconds}


def compare(grams: str, forms: str, other_grams: str, other_forms: str) -> dict[str, float]:
    """Return how far the results are apart at most, as shares of their size."""
    matrices, others = np.load(grams), np.load(other_grams)
    # An entry is no larger than the root of its row's diagonal entry times its column's.
    roots = np.sqrt(np.einsum("kii->ki", others))
    sizes = np.maximum(roots[:, :, np.newaxis] * roots[:, np.newaxis, :], np.finfo(np.float64).tiny)
    found, expected = open_array(forms), open_array(other_forms)
    largest = 0.0
    for start in range(0, len(expected), BLOCK_ROWS):
        block, other = found[start : start + BLOCK_ROWS], expected[start : start + BLOCK_ROWS]
        # NaN is the maximum wherever there is one, of arrays; of numbers it need not be.
        largest = float(np.maximum(largest, (np.abs(block - other) / np.maximum(other, 1.0)).max()))
    return {"grams": float((np.abs(matrices - others) / sizes).max()), "forms": largest}


def work(who: str, memory: int, paths: list[str]) -> dict[str, Any]:
    """Do what the command line says."""
    if who == "np.memmap":
        return with_memmap(*paths, memory=memory)
    with options(memory=memory):
        return compare(*paths) if who == "compare" else with_outcore(*paths)


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], int(sys.argv[2]), sys.argv[3:])), flush=True)
