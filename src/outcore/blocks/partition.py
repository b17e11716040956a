"""Which rows are worked on together: pure arithmetic.

Hands to   : blocks.planning, blocks.passing

Rows are read and used a *block* at a time, small enough for the cache. A *group* of blocks is one task: its
states are merged with those of the groups before it. Both depend on the data and on what is computed, never
on the workers: sums are rounded in the same places whoever forms them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from outcore.blocks.statistic import Cost

#: A block takes about so much as float64: half of what a core has of the last cache level on common machines,
#: and enough for the device to read in one go.
BLOCK_BYTES = 4 << 20
MIN_BLOCK_ROWS, MAX_BLOCK_ROWS = 256, 65536
#: What a small budget leaves at the least: below both, calls cost more than what they do.
LEAST_BLOCK_ROWS, LEAST_BLOCK_BYTES = 16, 1 << 20
#: Blocks that are made longer, for the sake of `MIN_BLOCK_ROWS` or of a statistic (``Cost.min_rows``), stay
#: below this.
LONG_BLOCK_BYTES = 32 << 20
#: Merging adds up whole states, which costs as much as some hundred rows: groups have many times that.
MIN_GROUP_ROWS = 8192
#: Rows for each part of a state, where each row concerns one part only.
PART_ROWS = 512
#: Larger states are merged in smaller groups: a group is held in memory where workers share the state.
LARGE_STATE_BYTES = 256 << 20
#: But there are this many groups, as long as each has so many rows, and always a multiple of this number.
EVEN, FEW_GROUP_ROWS = 4, 1024
#: Rows of a block are a multiple of this.
ROW_STEP = 64
#: Enough groups for many workers to end at about the same time.
MANY_GROUPS = 64


@dataclass(frozen=True)
class Partition:
    """Rows ``[0, n_rows)`` in groups of `group_rows`, in blocks of `block_rows`."""

    n_rows: int
    block_rows: int
    group_rows: int

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return -(-self.n_rows // self.group_rows)

    def group(self, index: int) -> tuple[int, int]:
        """Return the first row of a group, and the first one behind it."""
        start = index * self.group_rows
        return start, min(start + self.group_rows, self.n_rows)

    def blocks(self, index: int) -> Iterator[tuple[int, int]]:
        """Yield the first row of each block of a group, and the first one behind it."""
        low, high = self.group(index)
        for start in range(low, high, self.block_rows):
            yield start, min(start + self.block_rows, high)

    def smaller(self, row_bytes: int) -> Iterator[Partition]:
        """Yield partitions that take less and less memory, for budgets that this one breaks.

        Groups stay as they are first: shorter blocks alone change the rounding of sums inside a group only.
        """
        least = min(LEAST_BLOCK_ROWS, _power_of_two(LEAST_BLOCK_BYTES // max(row_bytes, 1)))
        rows = self.block_rows
        while rows > least:
            rows //= 2
            yield replace(self, block_rows=rows)
        rows = self.block_rows
        while rows >= least:
            if rows < self.group_rows:
                yield replace(self, block_rows=rows, group_rows=rows)
            rows //= 2


def divide(n_rows: int, row_bytes: int, cost: Cost) -> Partition:
    """Choose blocks and groups.

    Parameters
    ----------
    n_rows : int
    row_bytes : int
        Of a row as float64.
    cost : Cost
        Of all statistics together: the largest `min_rows` and `n_parts`, the sum of the states.

    Examples
    --------
    >>> divide(1_000_000, 7200, Cost())
    Partition(n_rows=1000000, block_rows=512, group_rows=15680)
    """
    row_bytes = max(row_bytes, 1)
    # Narrow rows fill a block slowly: some of them should still make many groups, or there is one task only.
    most = min(max(_power_of_two(n_rows // MANY_GROUPS), MIN_GROUP_ROWS), MAX_BLOCK_ROWS)
    fitting = min(_power_of_two(BLOCK_BYTES // row_bytes), most)
    longest = max(1, LONG_BLOCK_BYTES // row_bytes)
    block = max(fitting, min(max(cost.min_rows, MIN_BLOCK_ROWS), longest))
    if cost.state_bytes > LARGE_STATE_BYTES:
        group = max(MIN_GROUP_ROWS, block)
    else:
        group = max(MIN_GROUP_ROWS, PART_ROWS * cost.n_parts, -(-n_rows // MANY_GROUPS), block)
    group = min(group, max(FEW_GROUP_ROWS, -(-n_rows // EVEN)))
    # Groups of one length, and as many as two or four workers can share evenly.
    n_groups = -(-n_rows // group)
    if n_groups > 1:
        n_groups = -(-n_groups // EVEN) * EVEN
    group = _multiple(max(1, -(-n_rows // max(n_groups, 1))))
    block = min(_multiple(-(-group // max(1, -(-group // block)))), group)
    return Partition(n_rows, block, group)


def _multiple(number: int) -> int:
    """Round up to where rows are worked on in whole vectors; short blocks stay as they are."""
    return -(-number // ROW_STEP) * ROW_STEP if number > ROW_STEP else number


def _power_of_two(number: int) -> int:
    """Return the largest power of two up to `number`; 1 below that."""
    return 1 << max(number.bit_length() - 1, 0)
