"""Blocked products as people write them by hand, and the in-memory kernels that bound them.

Hands to : products, large_pass

The rows are in memory for everybody here: the recipes keep them in one `RawArray`, of which an ndarray is
made. Slices have 2**27 elements, as the recipe has them, and buffers are filled again by ``out=``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtrmm

#: What the recipe calls the length of its slices, in elements.
SLICE_VALUES = 1 << 27
#: Rows of a block for the kernels; the fastest one is taken.
KERNEL_ROWS = (512, 2048, 8192, 32768)

Values = NDArray[np.float64]


def weighted_gram(x: Values, w: Values) -> Values:
    """``(X.T * W).dot(X)``, slice by slice, with one buffer for the weighted rows."""
    step = min(len(x), SLICE_VALUES // x.shape[1])
    total = np.zeros((x.shape[1], x.shape[1]))
    product = np.empty_like(total)
    weighted = np.empty((x.shape[1], step))
    for start in range(0, len(x), step):
        rows = x[start : start + step]
        part = weighted[:, : len(rows)]
        np.multiply(rows.T, w[start : start + step], out=part)
        total += np.dot(part, rows, out=product)
    return total


def quadratic_form(x: Values, q: Values) -> Values:
    """``np.sum(X.dot(Q) * X, axis=1)``, slice by slice, with one buffer for the product."""
    step = min(len(x), SLICE_VALUES // x.shape[1])
    found = np.empty(len(x))
    product = np.empty((step, x.shape[1]))
    for start in range(0, len(x), step):
        rows = x[start : start + step]
        part = product[: len(rows)]
        np.dot(rows, q, out=part)
        np.multiply(part, rows, out=part)
        part.sum(axis=1, out=found[start : start + step])
    return found


def syrk(z: Values, block_rows: int | None = None) -> Values:
    """``Z.T @ Z``, which NumPy gives to syrk; of all rows at once, or of blocks."""
    if block_rows is None:
        return z.T @ z
    total = np.zeros((z.shape[1], z.shape[1]))
    for start in range(0, len(z), block_rows):
        block = z[start : start + block_rows]
        total += block.T @ block
    return total


def triangular_form(x: Values, t: Values, block_rows: int) -> Values:
    """Row dots of X and X T, by SciPy's dtrmm, in blocks."""
    found = np.empty(len(x))
    for start in range(0, len(x), block_rows):
        rows = x[start : start + block_rows]
        # Column-major for BLAS: (X T).T = T.T X.T, with a lower triangle on the left.
        product = dtrmm(1.0, t.T, rows.T, lower=1)
        np.einsum("ij,ji->i", rows, product, out=found[start : start + block_rows])
    return found


def triangle_of(q: Values) -> Values:
    """Return T with the same form as Q, upper triangular and in row order."""
    return np.ascontiguousarray(np.triu(q + q.T, 1) + np.diag(np.diag(q)))
