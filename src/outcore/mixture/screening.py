"""Log probabilities where only those of likely pairs of row and component have to be exact.

Reads from : mixture.densities, mixture.early_exit
Hands to   : mixture.expectation

Three ways to the responsibilities of a block, which are the same to rounding:

- all pairs in double precision;
- all in single precision, then those that are not *weak* in double precision;
- bounds in a few directions, then the pairs that are not *negligible* in double precision.

Which one is chosen depends on some rows of the block, so on the block alone.

Guarantees
----------
- *Negligible* is a responsibility r below 2**-63 of the component's weight. All such rows together make less
  than 2**-63 of the rows that the component stands for: 1/1000 of the last bit of its sums, so that moments
  of rows 30 deviations away do not change either.
- *Weak* is r below 2**-29 d (d <= 64) of the component's weight. Single precision has 29 bits less than
  double, so the error of such a share is, relative to the component's sums, at most d times one in the last
  bits of its squared distance, and of either sign: sums of many rows stay the same to 1e-13, as they do when
  the order of summation changes. The share itself is exact to 64 times the rounding of a squared distance.
- *Light* is r below 2**-16 of the component's weight, in a row that lies among the components: its moments
  are summed in single precision, with its exact share. The rounding of a product is 2**-24 of it, of either
  sign, so sums of many rows stay the same to 1e-12. In rows far from all components products are large even
  where r is not, and only weak shares are light.
- The weight is the one that the pass begins with. Of a component that loses all but a millionth of it in one
  iteration, which is less than a row as a rule, fewer digits stay the same.
- Rows that single precision cannot hold are computed in double precision, all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.statistic import Block
from outcore.executors.blas_threads import one_blas_thread
from outcore.linalg.dense import row_dots, trmm
from outcore.mixture.accumulation import rows_together
from outcore.mixture.densities import Components, piece_log_probabilities, piece_rows
from outcore.mixture.distances import pack_panels, packed_distances, panel_numbers
from outcore.mixture.early_exit import Projection, project

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

NEGLIGIBLE = 2.0**-63
#: Shares below this are light in rows of d features whose squared distance, halved, is at most that.
LIGHT, FAR_FEATURES, FAR = 2.0**-16, 4.0, 64.0
#: Rows of a block that are compared in all ways.
SAMPLE = 48
#: What single precision may lose of a distance, relative: in the sample, and in any row.
SAMPLE_ERROR, ERROR = 2.0**-19, 2.0**-16
#: Fewer features are done in double precision in no time.
FEWEST_FEATURES = 64
#: Deviations and their inverses that squares in single precision can hold, with responsibilities.
SINGLE_RANGE = 2.0**16
#: Deviations between the shift and the means that single precision takes; further apart, nothing is weak but
#: negligible.
SINGLE_NEAR = 12.0
#: Matrices in single precision are not worth more memory than that.
MOST_BYTES = 256 << 20
#: Time for a pair whose row was gathered, for one of all in single precision; a pair of all takes 1.
GATHERED, SINGLE = 1.35, 0.52


def weak_below(n_features: int) -> float:
    """Return the responsibility, relative to the weight of the component, below which a row is weak."""
    return 2.0**-29 * min(n_features, 64)


def light_below(components: Components, highest: Floats) -> Floats:
    """Return the responsibility, relative to the weight, below which moments are summed in single precision.

    `highest` has the largest logarithm of weight times density of each row, shape (n,); so has the result.
    """
    d = components.n_features
    among = highest >= components.log_norms.max() - FAR_FEATURES * d - FAR
    return np.where(among, LIGHT, weak_below(d))


@dataclass(frozen=True)
class Screen:
    """What is prepared once for all blocks.

    Attributes
    ----------
    projection : Projection or None
    singles : tuple of ndarray of float32
        Panels (`distances.pack_panels`); empty where single precision is not to be used.
    """

    projection: Projection | None
    singles: tuple[Singles, ...]

    @property
    def nbytes(self) -> int:
        """All arrays."""
        return sum(p.nbytes for p in self.singles) + (self.projection.nbytes if self.projection else 0)

    @property
    def used(self) -> bool:
        """Whether there is a choice."""
        return bool(self.singles) or self.projection is not None


def prepare(components: Components) -> Screen:
    """Prepare what the components allow; the result does not depend on the number of cores."""
    with one_blas_thread():
        return Screen(project(components), _singles(components))


def holds_singles(components: Components) -> bool:
    """Return whether single precision may be of use; the values of the matrices are looked at later."""
    k, d = components.n_components, components.n_features
    if components.covariance_type != "full" or k < 2 or d < FEWEST_FEATURES:
        return False
    return components.spread < SINGLE_NEAR and 4 * panel_numbers(k, d) < MOST_BYTES


def _singles(components: Components) -> tuple[Singles, ...]:
    if not holds_singles(components):
        return ()
    u = components.precisions_cholesky
    diagonals = np.diagonal(u, axis1=1, axis2=2)
    if not (max(u.max(), -u.min()) < SINGLE_RANGE and diagonals.min() > 1 / SINGLE_RANGE):
        return ()
    if components.panels:
        return tuple(p.astype(np.float32) for p in components.panels)
    return pack_panels(u, components.offsets, np.float32)


def choose(components: Components, screen: Screen, block: Block) -> str:
    """Return "double", "single" or "bounds": what is fastest for this block."""
    values = block.values
    if not screen.used or len(values) < 4 * SAMPLE:
        return "double"
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return _cheapest(components, screen, block)


def _cheapest(components: Components, screen: Screen, block: Block) -> str:
    values, k = block.values, components.n_components
    sample = block.scratch("sample", (SAMPLE * (values.shape[1] + 2 * k),))
    rows, exact, other = np.split(sample, [SAMPLE * values.shape[1], SAMPLE * (values.shape[1] + k)])
    rows, exact, other = rows.reshape(SAMPLE, -1), exact.reshape(k, -1), other.reshape(k, -1)
    np.take(values, np.arange(SAMPLE) * len(values) // SAMPLE, axis=0, out=rows, mode="clip")
    piece_log_probabilities(components, rows, block, exact)
    best = exact.max(axis=0)
    if not np.isfinite(best).all():
        return "double"
    costs = {"double": float(k)}
    lowest = _floor(components, NEGLIGIBLE)
    if screen.projection is not None:
        screen.projection.bounds(components, rows, block, other)
        left = np.count_nonzero(other >= best + lowest) / SAMPLE
        costs["bounds"] = screen.projection.flops / components.n_features**2 + GATHERED * max(left, 1.0)
    if screen.singles:
        _single(components, screen, single_rows(components, rows, block), block, other)
        close = exact >= best - 100.0
        # Relative to the squared distance; its square root's sum of products is what was rounded.
        away = np.abs(exact - components.log_norms[:, np.newaxis]) + 1.0
        if np.all(np.abs(other - exact)[close] <= SAMPLE_ERROR * away[close]):
            strong = np.count_nonzero(exact >= best + _floor(components, weak_below(components.n_features)))
            costs["single"] = SINGLE * k + GATHERED * strong / SAMPLE
    return min(costs, key=lambda way: costs[way])


def screened_log_probabilities(
    components: Components, screen: Screen, way: str, block: Block, out: Floats
) -> Singles | None:
    """Fill `out`, shape (K, n), for all rows of a block: exactly for likely pairs.

    Negligible pairs get minus infinity, or an exact number too; weak ones may get one in single precision.
    Returns the rows in single precision if that was the way.
    """
    values = block.values
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if way == "single":
            singles = single_rows(components, values, block)
            _each_piece(_single, components, screen, singles, block, out)
            best = out.max(axis=0)
            np.subtract(best, np.abs(best) * ERROR, out=best)
            weak = out < best + _floor(components, weak_below(components.n_features))
            for k, others in enumerate(weak):  # NaN is none of them, so it is looked at
                _exact(components, k, np.flatnonzero(~others), values, block, out[k])
            return singles
        _each_piece(_bounds, components, screen, values, block, out)
        # Few large steps: between two of them threads wait for each other.
        first = out.argmax(axis=0)
        by_component = first.argsort(kind="stable")
        ends = np.bincount(first, minlength=components.n_components).cumsum()
        for k, chosen in enumerate(np.split(by_component, ends[:-1])):
            _exact(components, k, chosen, values, block, out[k])
        lowest = _floor(components, NEGLIGIBLE)
        every = np.arange(len(values))
        unlikely = out < out[first, every] + lowest
        np.copyto(out, -np.inf, where=unlikely)
        unlikely[first, every] = True  # they are exact already
        for some in np.flatnonzero(~unlikely.all(axis=1)):
            k = int(some)
            _exact(components, k, np.flatnonzero(~unlikely[k]), values, block, out[k])
        return None


def _each_piece(
    way: Callable[[Components, Screen, NDArray[Any], Block, Floats], None],
    components: Components,
    screen: Screen,
    rows: NDArray[Any],
    block: Block,
    out: Floats,
) -> None:
    step = piece_rows(components, out.shape[1])
    for low in range(0, out.shape[1], step):
        way(components, screen, rows[low : low + step], block, out[:, low : low + step])


def _bounds(components: Components, screen: Screen, rows: Floats, block: Block, out: Floats) -> None:
    assert screen.projection is not None
    screen.projection.bounds(components, rows, block, out)


def _floor(components: Components, share: float) -> Floats:
    """Return how far below the best the logarithm of a pair must be for its share to be below `share`."""
    floors = math.log(share) + components.log_weights
    return np.maximum(floors, -700.0)[:, np.newaxis]


def single_rows(components: Components, rows: Floats, block: Block) -> Singles:
    """Return the rows, shifted, in single precision and behind a 1: shape (n, 1 + d)."""
    n, d = rows.shape
    led = block.scratch("single rows", (n, d + 1), np.float32)
    led[:, 0] = 1.0
    with np.errstate(over="ignore", under="ignore"):
        np.subtract(rows, components.shift, out=led[:, 1:], casting="same_kind")
    return led


def _single(components: Components, screen: Screen, rows: Singles, block: Block, out: Floats) -> None:
    found = block.scratch("single distances", out.shape, np.float32)
    packed_distances(screen.singles, rows, block, found)
    np.multiply(found, -0.5, out=out)
    np.add(out, components.log_norms[:, np.newaxis], out=out)


def _exact(
    components: Components, k: int, chosen: NDArray[np.intp], rows: Floats, block: Block, out: Floats
) -> None:
    step = rows_together(len(rows))
    for low in range(0, len(chosen), step):
        some = chosen[low : low + step]
        gathered = block.scratch("rows", (len(some), rows.shape[1]))
        np.take(rows, some, axis=0, out=gathered, mode="clip")
        np.subtract(gathered, components.means[k], out=gathered)
        trmm(gathered, components.precisions_cholesky[k])
        distances = block.scratch("distances", (len(some),))
        row_dots(gathered, gathered, distances)
        out[some] = components.log_norms[k] - 0.5 * distances
