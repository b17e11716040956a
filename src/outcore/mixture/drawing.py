"""Rows drawn from a mixture.

Hands to   : mixture.gaussian

Guarantees
- The same numbers are drawn in the same order as scikit-learn draws them.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore import budget
from outcore.errors import OptionError
from outcore.estimation.sampling import Random

Floats = NDArray[np.float64]


def draw(
    weights: Floats, means: Floats, covariances: Floats, covariance_type: str, n_samples: Any, rng: Random
) -> tuple[Floats, NDArray[np.int64]]:
    """Draw rows, ordered by component.

    Returns
    -------
    rows : ndarray of shape (n_samples, d)
    labels : ndarray of shape (n_samples,)

    Raises
    ------
    OptionError
        `n_samples` is not a whole number from 1 on.
    MemoryBudgetError
        The rows do not fit.
    """
    if isinstance(n_samples, bool) or not isinstance(n_samples, Integral) or n_samples < 1:
        raise OptionError(
            f"n_samples={n_samples!r} is not a whole number from 1 on.\nUse sample(100), for example."
        )
    n, d = int(n_samples), means.shape[1]
    budget.require(f"sample({n})", {"rows": 16 * n * d, "labels": 8 * n, "one covariance": 16 * d * d})
    counts = rng.multinomial(n, weights)
    rows = np.empty((n, d))
    low = 0
    for k, count in enumerate(counts):
        part = rows[low : low + count]
        if covariance_type in ("full", "tied"):
            covariance = covariances[k] if covariance_type == "full" else covariances
            part[...] = rng.multivariate_normal(means[k], covariance, int(count))
        else:
            part[...] = means[k] + rng.standard_normal(size=part.shape) * np.sqrt(covariances[k])
        low += count
    return rows, np.repeat(np.arange(len(counts)), counts)
