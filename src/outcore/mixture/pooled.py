"""Sums of a maximisation step for all components at once: products of rows with all responsibilities.

Hands to   : mixture.expectation

Guarantees
- Around the current means: sums are formed around one point near all components and moved there, or around
  each mean where no point is near (`densities.NEAR`).
- Results depend on the rows and responsibilities of the block and nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.statistic import Block
from outcore.linalg.dense import mirror, syrk
from outcore.mixture.accumulation import add_moments
from outcore.mixture.densities import Components, piece_rows

Floats = NDArray[np.float64]

#: Full covariances of so few features are summed as one product with all products of two features.
FEW_FEATURES = 16


def pools(components: Components) -> bool:
    """Return whether all components are summed at once."""
    if components.covariance_type != "full":
        return True
    return components.n_features <= FEW_FEATURES and components.near


def second_shape(components: Components) -> tuple[int, ...]:
    """Return the shape of the second moments."""
    k, d = components.n_components, components.n_features
    return {"full": (k, d, d), "tied": (d, d)}.get(components.covariance_type, (k, d))


def add_pooled(components: Components, shares: Floats, first: Floats, second: Floats, block: Block) -> None:
    """Add the moments of all components around their means.

    Parameters
    ----------
    components : Components
    shares : ndarray of shape (n, K)
        Responsibilities times weights.
    first, second : ndarray of shape (K, d) and `second_shape`
        Added to.
    block : Block
    """
    if not components.near:
        _add_each(components, shares, first, second, block)
        return
    k, d = components.n_components, components.n_features
    kind = components.covariance_type
    values = block.values
    weights = shares.sum(axis=0)
    sums = np.zeros((k, d))
    squares = np.zeros((k, d * (d + 1) // 2) if kind == "full" else second.shape)
    step = piece_rows(components, len(block))
    for low in range(0, len(values), step):
        some = shares[low : low + step]
        shifted = block.scratch("rows", (len(some), d))
        np.subtract(values[low : low + step], components.shift, out=shifted)
        sums += some.T @ shifted
        if kind == "full":
            squares += _products(shifted, some, block)
        elif kind == "tied":
            np.multiply(shifted, np.sqrt(some.sum(axis=1))[:, np.newaxis], out=shifted)
            syrk(shifted, squares, beta=1.0)
        else:
            np.multiply(shifted, shifted, out=shifted)
            squares += some.T @ shifted
    offsets = components.offsets
    moved = sums - weights[:, np.newaxis] * offsets
    first += moved
    if kind == "full":
        upper = np.triu_indices(d)
        for j in range(k):
            around = np.outer(offsets[j], sums[j]) + np.outer(moved[j], offsets[j])
            second[j][upper] += squares[j] - around[upper]
            mirror(second[j])
    elif kind == "tied":
        mirror(squares)
        second += squares - (offsets.T @ sums + moved.T @ offsets)
    else:
        second += squares - offsets * (sums + moved)


def _products(shifted: Floats, shares: Floats, block: Block) -> Floats:
    """Return the sums of products of every two features, (K, d * (d + 1) / 2)."""
    n, d = shifted.shape
    columns = np.ascontiguousarray(shifted.T)
    products = block.scratch("products of features", (d * (d + 1) // 2, n))
    at = 0
    for i in range(d):
        np.multiply(columns[i:], columns[i], out=products[at : at + d - i])
        at += d - i
    return np.asarray(shares.T @ products.T)


def _add_each(components: Components, shares: Floats, first: Floats, second: Floats, block: Block) -> None:
    for j, mean in enumerate(components.means):
        own = np.ascontiguousarray(shares[:, j])
        if components.covariance_type == "tied":
            add_moments(block.values, own, mean, first[j], second, block)
            continue
        chosen = np.flatnonzero(own)
        step = piece_rows(components, len(block))
        for low in range(0, len(chosen), step):
            some = chosen[low : low + step]
            z = block.scratch("rows", (len(some), len(mean)))
            np.take(block.values, some, axis=0, out=z, mode="clip")
            np.subtract(z, mean, out=z)
            first[j] += own[some] @ z
            np.multiply(z, z, out=z)
            second[j] += own[some] @ z
    if components.covariance_type == "tied":
        mirror(second)
