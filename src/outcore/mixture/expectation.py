"""One pass of expectation-maximisation: responsibilities of all rows, and the sums that they weigh.

Reads from : mixture.screening, mixture.densities, mixture.accumulation, mixture.pooled
Hands to   : mixture.iterating

Guarantees
- Each row is looked at once; nothing of the size of all rows is held.
- Sums are around the means that the pass began with, so large means cost no digits.
- Pairs of row and component are skipped, or computed in single precision, only where the sums stay the same
  to rounding (mixture.screening).
- NaN and infinity in rows are errors that name the row.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block, Cost, Rows, Share, SplitStatistic
from outcore.errors import NonFiniteError, OptionError, ShapeError
from outcore.linalg.dense import mirror, zeros
from outcore.linalg.stacks import whole
from outcore.mixture.accumulation import add_light_moments, add_moments
from outcore.mixture.densities import (
    Components,
    piece_log_probabilities,
    piece_rows,
)
from outcore.mixture.footprint import expectation_buffers, prepared_bytes, temporary_bytes
from outcore.mixture.pooled import add_pooled, pools, second_shape
from outcore.mixture.screening import (
    NEGLIGIBLE,
    Screen,
    choose,
    light_below,
    prepare,
    screened_log_probabilities,
    single_rows,
)

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: A row concerns one component only where they are well separated; so many rows for each are fast together.
ROWS_PER_COMPONENT = 2048
#: Matrices that stay in the cache do not need more rows than this.
MOST_MIN_ROWS = 32768


@dataclass
class Sums:
    """What maximisation needs: sums over rows i, of row weight w and responsibility r.

    Attributes
    ----------
    log_likelihood : float
        Of w times the logarithm of the density.
    total_weight : float
        Of w.
    weights : ndarray of shape (K,)
        Of w r.
    first : ndarray of shape (K, d)
        Of w r (x - mean).
    second : ndarray
        Of w r (x - mean) (x - mean)^T: (K, d, d) for "full", (d, d) over all components for "tied", the
        diagonals (K, d) for "diag" and "spherical".
    """

    log_likelihood: float
    total_weight: float
    weights: Floats
    first: Floats
    second: Floats


@dataclass
class Moments:
    """The sums of one component, or of all: K is 1 or all of them.

    Attributes
    ----------
    likelihood : ndarray of shape (2,)
        Log-likelihood and total weight; in the first part only.
    weights, first, second : ndarray of shape (K,), (K, d), (K, d, d) and so on
    """

    likelihood: Floats
    weights: Floats
    first: Floats
    second: Floats


class Expectation(SplitStatistic[Moments, Sums]):
    """Responsibilities of the rows, summed up for maximisation.

    Parameters
    ----------
    components : Components

    Notes
    -----
    Row weights are of shape (n,) and not negative.

    Examples
    --------
    >>> from outcore.mixture.densities import Components
    >>> from outcore.mixture.expectation import Expectation
    >>> one = Components("diag", np.zeros(1), np.array([[2.0]]), np.ones((1, 1)))
    >>> sums = oc.reduce_rows(np.array([[1.0], [4.0]]), Expectation(one))
    >>> sums.weights, sums.first, sums.second
    (array([2.]), array([[1.]]), array([[5.]]))
    """

    def __init__(self, components: Components) -> None:
        self.components = components
        self.pooled = pools(components)
        self.n_parts = 1 if self.pooled else components.n_components
        self.table_columns = components.n_components + 1
        #: Without it, all pairs are computed in double precision.
        self.screen: Screen | None = None

    def bind(self, rows: Rows, share: Share) -> Self:
        """Check the shapes, and prepare what tells likely pairs from others."""
        _, d = self.components.means.shape
        if rows.row_shape != (d,):
            raise ShapeError(
                f"{rows.address} has rows of shape {rows.row_shape}; the means have {d} columns.\n"
                "Give X of shape (n_rows, n_features), with as many columns as the means."
            )
        if rows.weights_shape is not None and len(rows.weights_shape) != 1:
            raise ShapeError(
                f"weights have shape {rows.weights_shape}; a mixture takes one weight for each row.\n"
                f"Give weights of shape ({rows.n_rows},)."
            )
        bound = copy.copy(self)
        if share.making:
            bound.screen = prepare(self.components)
        return bound

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count states, parameters and temporaries; the flops are those of all pairs."""
        components = self.components
        k, d = components.n_components, components.n_features
        own, shape = self._part_shape()
        part = 8 * (2 + own * (1 + d) + prod(shape))
        n = min(block_rows, max(rows.n_rows, 1))
        buffers = sum(expectation_buffers(components, n).values())
        square = {"full": d * d, "tied": d * d / k + d}.get(components.covariance_type, 2 * d)
        wanted = min(ROWS_PER_COMPONENT * self.n_parts, MOST_MIN_ROWS)
        return Cost(
            state_bytes=part * self.n_parts,
            parameter_bytes=components.nbytes + prepared_bytes(components),
            block_bytes=buffers + temporary_bytes(components, n),
            flops=2.0 * rows.n_rows * k * square,
            min_rows=wanted,
            n_parts=self.n_parts,
            part_bytes=part,
            table_bytes=8 * n * self.table_columns,
        )

    def tabulate(self, block: Block, table: Floats) -> None:
        """Fill the table with responsibilities times weights, and log densities in the last column.

        Negligible responsibilities are 0; light ones, to be summed in single precision, have a minus sign.
        """
        self._tabulate(block, table)

    def _tabulate(self, block: Block, table: Floats) -> Singles | None:
        """Fill the table, and return the rows in single precision if they were needed."""
        components, screen = self.components, self.screen
        k, n = components.n_components, len(block)
        weights = self._checked_weights(block)
        way = "double" if screen is None else choose(components, screen, block)
        step = piece_rows(components, n)
        # What belongs to a component lies together: in the table itself, if that is laid out so.
        in_place = table.flags.f_contiguous and not self.pooled
        length = min(step, n) if self.pooled else n
        found = table.T[:-1] if in_place else block.scratch("log probabilities", (k, length))
        singles = None
        if screen is not None and way != "double":
            singles = screened_log_probabilities(components, screen, way, block, found)
        for low in range(0, n, step):
            high = min(low + step, n)
            piece = found[:, : high - low] if self.pooled else found[:, low:high]
            if way == "double":
                piece_log_probabilities(components, block.values[low:high], block, piece)
            self._normalise(piece, table[low:high, -1])
            if not in_place:
                table[low:high, :-1] = piece.T
            if weights is not None:
                table[low:high, :-1] *= weights[low:high, np.newaxis]
        # NaN or infinity in a row make its density one of them, whatever was skipped.
        if not np.isfinite(table[:, -1].sum()):
            self._explain(block, table[:, -1])
        return singles

    def _normalise(self, found: Floats, log_densities: Floats) -> None:
        """Turn log probabilities, shape (K, n), into responsibilities; fill `log_densities`, shape (n,)."""
        shares = np.exp(self.components.log_weights)[:, np.newaxis]
        with np.errstate(invalid="ignore", under="ignore"):
            highest = found.max(axis=0)
            np.subtract(found, highest, out=found)
            np.exp(found, out=found)
            total = found.sum(axis=0)
            np.divide(found, total, out=found)
            np.multiply(found, found >= NEGLIGIBLE * shares, out=found)
            if self.screen is not None and self.screen.singles:
                np.negative(found, out=found, where=found < light_below(self.components, highest) * shares)
            np.log(total, out=total)
            np.add(total, highest, out=log_densities)

    def _checked_weights(self, block: Block) -> Floats | None:
        if block.weights is None:
            return None
        weights = np.asarray(block.weights, np.float64)
        if not np.isfinite(weights.sum()):
            refuse_nonfinite(weights, block.start, "weights")
        if weights.min() < 0:
            at = int(np.argmax(weights < 0))
            raise OptionError(
                f"the weight of row {block.start + at} is {weights[at]:g}; weights are not negative.\n"
                "Use 0 for rows that are not to count."
            )
        return weights

    def _explain(self, block: Block, log_densities: Floats) -> None:
        refuse_nonfinite(block.values, block.start)
        bad = ~np.isfinite(log_densities)
        if not bad.any():
            return
        at = int(np.argmax(bad))
        largest = np.abs(block.values[at]).max()
        raise NonFiniteError(
            f"the density of row {block.start + at} is no number: it is so far from every component that its "
            f"squared distance overflows (its largest value is {largest:.3g}).\n"
            "Drop such rows, or scale the columns: X / X.std(axis=0)."
        )

    def zero(self) -> list[Moments]:
        """Return the sums of no rows; second moments are parts of one array, which becomes the result."""
        if self.pooled:
            return super().zero()
        d = self.components.n_features
        seconds = zeros((self.n_parts, d, d))
        return [
            Moments(np.zeros(2), np.zeros(1), np.zeros((1, d)), seconds[part : part + 1])
            for part in range(self.n_parts)
        ]

    def zero_part(self, part: int) -> Moments:
        """Return the sums of no rows."""
        k, shape = self._part_shape()
        d = self.components.n_features
        return Moments(np.zeros(2), np.zeros(k), np.zeros((k, d)), zeros(shape))

    def _part_shape(self) -> tuple[int, tuple[int, ...]]:
        """Return the components of a part, and the shape of its second moments."""
        d = self.components.n_features
        if self.pooled:
            return self.components.n_components, second_shape(self.components)
        return 1, (1, d, d)

    def update(self, state: list[Moments], block: Block) -> list[Moments]:
        """Take in a block; what the parts have in common is computed once."""
        if self.pooled:
            table = block.scratch("_table", (len(block), self.table_columns))
        else:
            table = block.scratch("_table", (self.table_columns, len(block))).T
        singles = self._tabulate(block, table)
        if singles is None:
            singles = self._single_rows(block, table[:, :-1])
        for part in range(self.n_parts):
            state[part] = self._add(part, state[part], block, table, singles)
        return state

    def update_part(self, part: int, state: Moments, block: Block, table: Floats) -> Moments:
        """Take a block into the sums of one component, or of all."""
        singles = self._single_rows(block, table[:, part : part + 1])
        return self._add(part, state, block, table, singles)

    def _single_rows(self, block: Block, shares: Floats) -> Singles | None:
        """Return the rows in single precision if some of them are light."""
        if self.screen is None or not self.screen.singles or not (shares < 0).any():
            return None
        return single_rows(self.components, block.values, block)

    def _add(
        self, part: int, state: Moments, block: Block, table: Floats, singles: Singles | None
    ) -> Moments:
        components = self.components
        if self.pooled:
            shares = table[:, :-1]
            state.weights += shares.sum(axis=0)
            add_pooled(components, shares, state.first, state.second, block)
        else:
            own = table[:, part]
            if not own.flags.c_contiguous:
                own = block.scratch("shares", (len(table),))
                np.copyto(own, table[:, part])
            first, second = state.first[0], state.second[0]
            add_moments(block.values, own, components.means[part], first, second, block)
            if singles is not None:
                offset = np.concatenate([[0.0], components.offsets[part]]).astype(np.float32)
                add_light_moments(singles, own, offset, first, second, block)
            state.weights[0] += np.abs(own).sum()
        if part == 0:
            log_densities = np.ascontiguousarray(table[:, -1])  # sums depend on how numbers lie
            if block.weights is None:
                state.likelihood += (log_densities.sum(), len(table))
            else:
                weights = np.asarray(block.weights, np.float64)
                state.likelihood += (np.dot(weights, log_densities), weights.sum())
        return state

    def merge_part(self, part: int, state: Moments, other: Moments) -> Moments:
        """Add up."""
        state.likelihood += other.likelihood
        state.weights += other.weights
        state.first += other.first
        state.second += other.second
        return state

    def finalize(self, state: list[Moments]) -> Sums:
        """Put the parts together; they are emptied, so that the second moments are held once."""
        likelihood = state[0].likelihood
        if self.pooled:
            only = state[0]
            return Sums(float(likelihood[0]), float(likelihood[1]), only.weights, only.first, only.second)
        components = self.components
        found = whole([part.second[0] for part in state])
        second = np.empty(second_shape(components)) if found is None else found
        weights, first = np.empty(components.n_components), np.empty(components.means.shape)
        for k, part in enumerate(state):
            weights[k], first[k] = part.weights[0], part.first[0]
            if found is None:
                second[k] = part.second[0]
                part.second = np.empty((0, 0, 0))  # given back at once
            mirror(second[k])
        return Sums(float(likelihood[0]), float(likelihood[1]), weights, first, second)
