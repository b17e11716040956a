"""Pairs of row and component whose responsibility is negligible, found without computing their density.

Reads from : mixture.distances
Hands to   : mixture.screening

The distance of a row to a mean, in the metric of a precision ``U @ U.T``, is the length of
``y = (x - mean) @ U``, and no shorter than the projection of y onto any directions. Chosen are those that
tell the components apart: images of the differences between the means. With A (d, q) for all components, and
``U**-1 @ A = V @ R`` (V orthonormal, R upper triangular), ``y @ V = (x - mean) @ A @ R**-1``: one product
of the rows with A for all components, and a small triangular one for each. The length of that bounds the
density from above. Rounding of A and R matters no more than that of U in the distance itself: the error of
``A @ R**-1`` is one in the last bits of U.

The first columns of U bound it too, and need no directions. They were rejected: they see as much of a
distance as there are features among the first ones, so a third of all (of 100, with 10 components) had to be
multiplied where nine directions tell more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from outcore.blocks.statistic import Block
from outcore.mixture.densities import Components
from outcore.mixture.distances import pack_panels, packed_distances

Floats = NDArray[np.float64]

#: More directions cost more than they save: the squares of so many are a part of those of the features.
MOST_DIRECTIONS = 32
#: Fewer features than that are compared at once.
FEWEST_FEATURES = 32
#: Rounding in the bound, relative and absolute; both are generous, and cost nothing.
SLACK = 1e-6


@dataclass(frozen=True)
class Projection:
    """Directions in which components differ.

    Attributes
    ----------
    directions : ndarray of shape (d, q)
    panels : tuple of ndarray
        See `distances.pack_panels`.
    """

    directions: Floats
    panels: tuple[Floats, ...]

    @property
    def nbytes(self) -> int:
        """All arrays."""
        return self.directions.nbytes + sum(p.nbytes for p in self.panels)

    @property
    def flops(self) -> int:
        """Of one row, for all components."""
        return 2 * self.directions.size + 2 * sum(p.size for p in self.panels)

    def bounds(self, components: Components, rows: Floats, block: Block, out: Floats) -> None:
        """Fill `out`, shape (K, n), with bounds from above of the logarithm of weight times density."""
        n = len(rows)
        shifted = block.scratch("rows", rows.shape)
        np.subtract(rows, components.shift, out=shifted)
        led = block.scratch("projected", (n, self.directions.shape[1] + 1))
        led[:, 0] = 1.0
        np.matmul(shifted, self.directions, out=led[:, 1:])
        packed_distances(self.panels, led, block, out)
        np.multiply(out, -0.5 * (1 - SLACK), out=out)
        np.add(out, (components.log_norms + SLACK)[:, np.newaxis], out=out)


def projects(components: Components) -> bool:
    """Return whether components may be told apart by fewer numbers than there are features."""
    k, d = components.n_components, components.n_features
    return components.covariance_type == "full" and k >= 3 and d >= FEWEST_FEATURES and components.near


def project(components: Components) -> Projection | None:
    """Choose directions; None where there is nothing to gain, or nothing that rounding leaves."""
    if not projects(components):
        return None
    k, d = components.n_components, components.n_features
    weights = np.exp(components.log_weights)
    u = components.precisions_cholesky
    # The mean precision times the differences of means: what separates components of equal covariance best.
    aims = np.zeros((d, k))
    for share, upper in zip(weights, u, strict=True):
        aims += share * (upper @ (upper.T @ components.offsets.T))
    # Of those, the directions in which the means lie furthest apart.
    left, strength, _ = np.linalg.svd(aims * np.sqrt(weights), full_matrices=False)
    q = min(int(np.count_nonzero(strength > 1e-6 * strength[0])), MOST_DIRECTIONS)
    if q == 0:
        return None
    directions = np.ascontiguousarray(left[:, :q])
    triangles = np.empty((k, q, q))
    for j in range(k):
        r = np.linalg.qr(solve_triangular(u[j], directions, check_finite=False), mode="r")
        if not np.isfinite(r).all() or np.abs(np.diagonal(r)).min() < 1e-12 * np.abs(r).max():
            return None
        triangles[j] = np.linalg.inv(r)
    return Projection(directions, pack_panels(np.triu(triangles), components.offsets @ directions))
