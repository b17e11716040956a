"""What a fitted mixture says of each row: which component, with what probability, how likely it is at all.

Reads from : mixture.densities
Hands to   : mixture.gaussian

Guarantees
- Rows with NaN or infinity are refused, and named.
- `LogLikelihood` holds nothing of the size of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.finite import refuse_nonfinite
from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, Statistic
from outcore.mixture.densities import Components, log_probabilities, scratch_bytes

Floats = NDArray[np.float64]
Kind = Literal["labels", "shares", "log_densities"]


@dataclass(frozen=True, eq=False)
class Assignment(Statistic[None, Any]):
    """Puts a result for each row into a target; its state is empty.

    Attributes
    ----------
    components : Components
    kind : {"labels", "shares", "log_densities"}
        The most probable component, int64; the probability of each component; the logarithm of the density.
    out : object
        As the user gave it.
    target : RowTarget, optional
        Set by `bind`.
    """

    components: Components
    kind: Kind
    out: Any = None
    target: RowTarget | None = None

    def bind(self, rows: Rows, share: Share) -> Assignment:
        """Make the target."""
        row_shape = (self.components.n_components,) if self.kind == "shares" else ()
        dtype = np.int64 if self.kind == "labels" else np.float64
        return replace(self, out=None, target=share.target(self.out, row_shape, dtype))

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the table of the block and what a row of it becomes."""
        return _cost(self.components, rows, block_rows)

    def zero(self) -> None:
        """Return nothing."""

    def update(self, state: None, block: Block) -> None:
        """Write the results of the block."""
        assert self.target is not None
        table, most = _tabulate(self.components, block)
        if self.kind == "labels":
            self.target.write(block.start, table.argmax(axis=1))
            return
        sums = _shift(table, most, block)
        if self.kind == "log_densities":
            self.target.write(block.start, most + sums)
        else:
            table -= sums[:, np.newaxis]
            self.target.write(block.start, np.exp(table, out=table))

    def merge(self, state: None, other: None) -> None:
        """Return nothing."""

    def finalize(self, state: None) -> Any:
        """Return all rows."""
        assert self.target is not None
        return self.target.whole()


@dataclass(frozen=True, eq=False)
class LogLikelihood(Statistic[float, float]):
    """The sum over all rows of the logarithm of the density."""

    components: Components

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Count the table of the block."""
        return _cost(self.components, rows, block_rows)

    def zero(self) -> float:
        """Return nothing."""
        return 0.0

    def update(self, state: float, block: Block) -> float:
        """Add the rows of the block."""
        table, most = _tabulate(self.components, block)
        return state + float((most + _shift(table, most, block)).sum())

    def merge(self, state: float, other: float) -> float:
        """Add."""
        return state + other


def _tabulate(components: Components, block: Block) -> tuple[Floats, Floats]:
    """Return the logarithms of weight times density, and the largest of each row."""
    table = block.scratch("probabilities", (len(block), components.n_components))
    log_probabilities(components, block, table)
    most = table.max(axis=1)
    if not np.isfinite(most).all():
        refuse_nonfinite(block.values, block.start)
        most[~np.isfinite(most)] = 0.0  # numbers, but so far away that their squares overflow
    return table, most


def _shift(table: Floats, most: Floats, block: Block) -> Floats:
    """Take the largest value of each row off it; return the logarithm of the sum of the exponentials then."""
    table -= most[:, np.newaxis]
    exponentials = block.scratch("exponentials", table.shape)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(table, out=exponentials).sum(axis=1)))


def _cost(components: Components, rows: Rows, block_rows: int) -> Cost:
    k, d = components.n_components, components.n_features
    products = {"full": k * d * d, "tied": d * d + k * d}.get(components.covariance_type, 2 * k * d)
    return Cost(
        parameter_bytes=components.nbytes,
        # Two tables, and a few numbers for each row.
        block_bytes=scratch_bytes(components, block_rows) + 16 * block_rows * (k + 2),
        flops=float(rows.n_rows) * products,
    )
