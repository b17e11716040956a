"""From a covariance, or a triangular factor, to components.

Hands to   : decomposition.pca

Guarantees
- Components are the rows of an orthogonal matrix, by descending variance; of each the entry that is largest
  in absolute value is positive, as in scikit-learn.
- Of a covariance, two matrices as large are held at a time, the one that is given included.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, svd


def from_covariance(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return variances, shape (d,), and components, shape (d, d), of a covariance, which is overwritten.

    Variances below about 1e-16 of the largest one are lost in its rounding, and may be 0.
    """
    # The transpose lies as LAPACK wants it, so nothing is copied; "evr" works in less memory than "evd".
    variances, vectors = eigh(covariance.T, overwrite_a=True, check_finite=False, driver="evr")
    np.maximum(variances, 0, out=variances)
    return variances[::-1], _flipped(vectors.T[::-1])


def from_factor(factor: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return singular values, shape (d,), and components, shape (d, d), of a factor, which is overwritten."""
    n_columns = factor.shape[1]
    vectors, values, _ = svd(factor.T, overwrite_a=True, check_finite=False)
    # With fewer rows than columns the rest is 0.
    return np.append(values, np.zeros(n_columns - len(values))), _flipped(vectors.T)


def _flipped(components: NDArray[np.float64]) -> NDArray[np.float64]:
    for row in components:
        if row[np.abs(row).argmax()] < 0:
            row *= -1  # np.negative of NumPy 2.4.6 is wrong where values lie 64 bytes apart
    return components
