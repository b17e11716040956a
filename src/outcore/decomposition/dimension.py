"""How many components are more than noise: Minka's estimate, ``n_components="mle"``.

Hands to   : decomposition.pca

T. P. Minka, Automatic choice of dimensionality for PCA, NIPS 2000. The same numbers as scikit-learn, with
sums over pairs of components formed at once.
"""

from __future__ import annotations

from math import lgamma, log, pi

import numpy as np
from numpy.typing import NDArray

#: Variances below this are none.
NOTHING = 1e-15


def likely_dimension(variances: NDArray[np.float64], n_rows: float) -> int:
    """Return the number of components with the greatest evidence, from 1 to ``len(variances) - 1``.

    Parameters
    ----------
    variances : ndarray of shape (d,)
        Descending.
    n_rows : float

    Examples
    --------
    >>> likely_dimension(np.array([100.0, 90.0, 1.01, 1.0, 0.99]), 1000)
    2
    """
    d = len(variances)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.log(np.abs(variances[:, np.newaxis] - variances))
        logs = np.log(variances)
    best, found = -np.inf, 0
    uniform = within = 0.0
    for rank in range(1, d):
        i = rank - 1
        uniform += lgamma((d - i) / 2) - log(pi) * (d - i) / 2
        # Pairs of components that are kept; that of `i` with those before it is new.
        within += float((2 * apart[:i, i] - logs[:i]).sum()) - i * float(logs[i])
        if variances[i] < NOTHING:
            continue
        noise = max(NOTHING, float(variances[rank:].sum()) / (d - rank))
        with np.errstate(divide="ignore", invalid="ignore"):
            across = float(apart[:rank, rank:].sum())
            across += (d - rank) * float(np.log(1 / noise - 1 / variances[:rank]).sum())
        free = d * rank - rank * (rank + 1) / 2
        evidence = (
            uniform
            - rank * log(2)
            - float(logs[:rank].sum()) * n_rows / 2
            - log(noise) * n_rows * (d - rank) / 2
            + log(2 * pi) * (free + rank) / 2
            - (within + across + free * log(n_rows)) / 2
            - rank * log(n_rows) / 2
        )
        # Equal variances cannot be told apart: no evidence for a cut between them.
        if np.isfinite(evidence) and evidence > best:
            best, found = evidence, rank
    return found
