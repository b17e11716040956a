"""The logarithm of weight times density, of every row and component of a mixture.

Reads from : mixture.distances
Hands to   : mixture.expectation, mixture.assigning

Guarantees
- Rows are shifted before anything is squared, so large means cost no digits: to one point among the
  components where these lie around it, to each component's own mean where they lie far apart.
- Results depend on the rows of the block and nothing else.
- Temporaries are buffers of the block's workspace.

``X @ U - mean @ U`` was rejected: with means of 1e6 and deviations of 1 it loses six digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.statistic import Block
from outcore.errors import ShapeError
from outcore.executors.blas_threads import one_blas_thread
from outcore.linalg.dense import row_dots, trmm
from outcore.mixture.distances import (
    PACKED_BELOW,
    PACKED_BYTES,
    centred_distances,
    pack_panels,
    packed_distances,
    panel_numbers,
    product_numbers,
)

Floats = NDArray[np.float64]

#: Components are near each other if one point is within so many deviations of them all. Distances from there
#: lose log2(NEAR) bits of the 53, their squares twice as many where they are multiplied out: 1e-11 remains.
NEAR = 256.0
#: Rows that are worked on together: products of a few hundred rows run at full speed, and stay in the cache.
#: Of a short block only a share, so that buffers for them stay small beside it.
FEWEST_ROWS, MOST_ROWS, SHORT_ROWS, SHARE = 1024, 4096, 512, 8


@dataclass(frozen=True)
class Components:
    """The components of a mixture, ready to be compared with rows.

    Attributes
    ----------
    covariance_type : {"full", "tied", "diag", "spherical"}
    log_weights : ndarray of shape (K,)
        Minus infinity for a component that nothing belongs to.
    means : ndarray of shape (K, d)
    precisions_cholesky : ndarray
        As scikit-learn's: upper triangular, zero below the diagonal, (K, d, d) or (d, d); one divided by the
        deviations, (K, d) or (K,).
    """

    covariance_type: str
    log_weights: Floats
    means: Floats
    precisions_cholesky: Floats
    #: What is taken off every row, and the means less that.
    shift: Floats = field(init=False, repr=False)
    offsets: Floats = field(init=False, repr=False)
    #: Logarithm of the density at each mean, times the weight.
    log_norms: Floats = field(init=False, repr=False)
    #: How many deviations of a component lie between its mean and `shift`, at most; and whether that is near.
    spread: float = field(init=False, repr=False)
    near: bool = field(init=False, repr=False)
    panels: tuple[Floats, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # One thread, so that the last bits do not depend on the number of cores.
        with one_blas_thread():
            self._derive()

    def _derive(self) -> None:
        _, d = self.means.shape
        weights = np.exp(self.log_weights)
        shift = weights @ self.means / weights.sum()
        offsets = self.means - shift
        u = self.precisions_cholesky
        diagonals = {"full": lambda: np.diagonal(u, axis1=1, axis2=2), "tied": lambda: np.diagonal(u)}
        diagonal = diagonals.get(self.covariance_type, lambda: u)()
        log_det = np.log(diagonal).sum(axis=-1) if self.covariance_type != "spherical" else d * np.log(u)
        self._set("shift", shift)
        self._set("offsets", offsets)
        self._set("log_norms", self.log_weights + log_det - 0.5 * d * math.log(2 * math.pi))
        spread = float(self._spread().max())
        self._set("spread", spread)
        self._set("near", spread < NEAR)
        small = d < PACKED_BELOW and 8 * panel_numbers(len(u), d) <= PACKED_BYTES
        packed = self.covariance_type == "full" and small and self.near
        self._set("panels", pack_panels(u, offsets) if packed else ())

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _spread(self) -> Floats:
        """Return how many deviations of each component lie between its mean and the shift, (K,)."""
        u = self.precisions_cholesky
        if self.covariance_type == "full":
            y = np.matmul(self.offsets[:, np.newaxis, :], u)[:, 0]
        elif self.covariance_type == "tied":
            y = self.offsets @ u
        else:
            y = self.offsets * (u if self.covariance_type == "diag" else u[:, np.newaxis])
        return np.asarray(np.sqrt(np.vecdot(y, y)))

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.means)

    @property
    def n_features(self) -> int:
        """Columns of the rows."""
        return len(self.shift)

    @property
    def nbytes(self) -> int:
        """All arrays."""
        arrays = (self.means, self.precisions_cholesky, self.offsets, *self.panels)
        return sum(a.nbytes for a in arrays)

    def check(self, values: Floats) -> None:
        """Refuse rows of another width."""
        if values.shape[1] != self.n_features:
            raise ShapeError(
                f"rows of {values.shape[1]} columns for means of {self.n_features}.\n"
                "Give X with as many columns as the mixture was fitted to."
            )


def piece_rows(components: Components, n_rows: int) -> int:
    """Return how many rows of a block of `n_rows` are worked on together."""
    wide = max(components.n_features, components.n_components)
    fitting = min(max(1 << ((1 << 17) // wide).bit_length() - 1, FEWEST_ROWS), MOST_ROWS)
    return min(fitting, max(n_rows // SHARE // 64 * 64, SHORT_ROWS))


def density_buffers(components: Components, n_rows: int) -> dict[str, int]:
    """Return upper bounds for the buffers of `log_probabilities`, in bytes.

    Parameters
    ----------
    components : Components
    n_rows : int
        Of a block.
    """
    k, d = components.n_components, components.n_features
    kind, near = components.covariance_type, components.near
    n = min(n_rows, piece_rows(components, n_rows))
    sizes = {"log probabilities": 8 * k * n, "rows": 8 * n * d}
    if components.panels:
        sizes |= {"products": 8 * product_numbers(k, d, n), "partial distances": 8 * k * n}
        sizes["rows"] += 8 * n
    elif kind == "tied":
        sizes |= {"norms": 8 * n} if near else {"away": 8 * n * d}
    elif kind != "full" and near:
        sizes |= {"scaled": 8 * k * n, "norms": 8 * n}
    return sizes


def scratch_bytes(components: Components, n_rows: int) -> int:
    """Return an upper bound for the temporaries of `log_probabilities` on a block of `n_rows` rows."""
    return sum(density_buffers(components, n_rows).values())


def log_probabilities(components: Components, block: Block, out: Floats) -> None:
    """Fill `out` with the logarithm of weight times density.

    Parameters
    ----------
    components : Components
    block : Block
        Of n rows.
    out : ndarray of shape (n, K)

    Raises
    ------
    ShapeError
        The rows have another width than the means.

    Notes
    -----
    Rows with NaN or infinity get NaN or minus infinity.
    """
    values = block.values
    components.check(values)
    step = piece_rows(components, len(values))
    for low in range(0, len(values), step):
        rows = values[low : low + step]
        found = block.scratch("log probabilities", (components.n_components, len(rows)))
        piece_log_probabilities(components, rows, block, found)
        out[low : low + step] = found.T


def piece_log_probabilities(components: Components, rows: Floats, block: Block, out: Floats) -> None:
    """Fill `out`, shape (K, n), for at most `piece_rows` rows of a block."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        _DISTANCES[components.covariance_type](components, rows, block, out)
        np.multiply(out, -0.5, out=out)
        np.add(out, components.log_norms[:, np.newaxis], out=out)


def _full(components: Components, rows: Floats, block: Block, out: Floats) -> None:
    n, d = rows.shape
    u = components.precisions_cholesky
    if components.panels:
        led = block.scratch("rows", (n, d + 1))
        led[:, 0] = 1.0
        np.subtract(rows, components.shift, out=led[:, 1:])
        packed_distances(components.panels, led, block, out)
        return
    shifted = block.scratch("rows", (n, d))
    for k in range(components.n_components):
        np.subtract(rows, components.means[k], out=shifted)
        centred_distances(u[k], shifted, out[k])


def _tied(components: Components, rows: Floats, block: Block, out: Floats) -> None:
    # One product for all components: distances between points that are white.
    u = components.precisions_cholesky
    white = block.scratch("rows", rows.shape)
    np.subtract(rows, components.shift, out=white)
    trmm(white, u)
    means = components.offsets @ u
    if not components.near:
        away = block.scratch("away", rows.shape)
        for k, mean in enumerate(means):
            np.subtract(white, mean, out=away)
            row_dots(away, away, out[k])
        return
    np.matmul(means, white.T, out=out)
    np.multiply(out, -2.0, out=out)
    np.add(out, np.vecdot(means, means)[:, np.newaxis], out=out)
    norms = block.scratch("norms", (len(rows),))
    row_dots(white, white, norms)
    np.add(out, norms, out=out)
    np.maximum(out, 0.0, out=out)


def _diagonal(components: Components, rows: Floats, block: Block, out: Floats) -> None:
    u = components.precisions_cholesky
    spherical = components.covariance_type == "spherical"
    shifted = block.scratch("rows", rows.shape)
    if not components.near:
        for k, mean in enumerate(components.means):
            np.subtract(rows, mean, out=shifted)
            np.multiply(shifted, u[k], out=shifted)
            row_dots(shifted, shifted, out[k])
        return
    np.subtract(rows, components.shift, out=shifted)
    precisions = u[:, np.newaxis] ** 2 if spherical else u**2
    offsets = components.offsets
    np.matmul(-2.0 * offsets * precisions, shifted.T, out=out)
    np.add(out, (offsets**2 * precisions).sum(axis=1)[:, np.newaxis], out=out)
    if spherical:
        norms = block.scratch("norms", (len(rows),))
        row_dots(shifted, shifted, norms)
        scaled = block.scratch("scaled", out.shape)
        np.multiply(precisions, norms, out=scaled)
    else:
        scaled = block.scratch("scaled", out.shape)
        np.multiply(shifted, shifted, out=shifted)
        np.matmul(precisions, shifted.T, out=scaled)
    np.add(out, scaled, out=out)
    np.maximum(out, 0.0, out=out)


_DISTANCES = {"full": _full, "tied": _tied, "diag": _diagonal, "spherical": _diagonal}
