"""Squared distances of rows to the means of components, in the metric of each component's precision.

Hands to   : mixture.densities, mixture.early_exit, mixture.screening

Results are (K, n): a component's distances are contiguous, and everything that follows runs along rows.

Two ways, both measured on one thread in useful flops (d * d for a row and component):
- panels of columns of all components, of which the first need the first features only; the shift to each mean
  is one more row of the matrices: 46 GF/s for d = 100, 53 for d = 300;
- a triangular product in place and a dot product, one component at a time: 38, 48, and 54 for d = 900.
Panels of one component alone were rejected: 42 GF/s for d = 900.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.blocks.statistic import Block
from outcore.linalg.dense import row_dots, trmm

Floats = NDArray[np.float64]

#: Columns of a panel: a tenth of all, so that a twentieth of the products is with zeros.
NARROWEST, WIDEST = 10, 96
#: Products of one call stay in the cache of a core until they are squared: at most so many numbers.
PRODUCTS = 1 << 17
#: Smaller matrices are copied into panels, as long as these do not take more than that.
PACKED_BELOW, PACKED_BYTES = 400, 128 << 20


def panel_edges(n_features: int) -> list[tuple[int, int]]:
    """Return first column and the one behind the last, for each panel."""
    width = min(max(NARROWEST, -(-n_features // 10)), WIDEST)
    return [(low, min(low + width, n_features)) for low in range(0, n_features, width)]


def panel_numbers(n_components: int, n_features: int) -> int:
    """Return how many numbers the panels of all components hold."""
    return n_components * sum((high - low) * (high + 1) for low, high in panel_edges(n_features))


def product_numbers(n_components: int, n_features: int, n_rows: int) -> int:
    """Return an upper bound for the numbers of the buffer of `packed_distances`."""
    low, high = panel_edges(n_features)[0]
    width = high - low
    return min(n_components * width * n_rows, max(PRODUCTS, width * n_rows))


def pack_panels(upper: Floats, offsets: Floats, dtype: DTypeLike = np.float64) -> tuple[NDArray[Any], ...]:
    """Copy upper triangular matrices into panels, with the shift to each mean as their first row.

    Parameters
    ----------
    upper : ndarray of shape (K, d, d)
        Zero below the diagonal.
    offsets : ndarray of shape (K, d)
        Means, less what is taken off the rows.
    dtype : dtype
        float64 or float32.

    Returns
    -------
    tuple of ndarray of shape (K, width, 1 + columns)
        For products with rows that begin with 1.
    """
    moved = -np.matmul(offsets[:, np.newaxis, :], upper)[:, 0]
    panels = []
    for low, high in panel_edges(upper.shape[1]):
        panel = np.empty((len(upper), high - low, high + 1), dtype)
        panel[:, :, 0] = moved[:, low:high]
        panel[:, :, 1:] = upper[:, :high, low:high].transpose(0, 2, 1)
        panels.append(panel)
    return tuple(panels)


def packed_distances(
    panels: tuple[NDArray[Any], ...], rows: NDArray[Any], block: Block, out: NDArray[Any]
) -> None:
    """Fill `out`, shape (K, n), from panels and rows that begin with 1, shape (n, 1 + d)."""
    n_components, n = out.shape
    together = max(1, PRODUCTS // (panels[0].shape[1] * n))
    part = block.scratch("partial distances", out.shape, out.dtype)
    for i, panel in enumerate(panels):
        _, width, length = panel.shape
        sums = out if i == 0 else part
        for k in range(0, n_components, together):
            some = panel[k : k + together]
            y = block.scratch("products", (len(some), width, n), out.dtype)
            np.matmul(some.reshape(-1, length), rows[:, :length].T, out=y.reshape(-1, n))
            np.einsum("kwn,kwn->kn", y, y, out=sums[k : k + together])
        if i:
            np.add(out, part, out=out)


def centred_distances(upper: Floats, rows: Floats, out: Floats) -> None:
    """Fill `out`, shape (n,), from rows less the mean, which are overwritten."""
    trmm(rows, upper)
    row_dots(rows, rows, out)
