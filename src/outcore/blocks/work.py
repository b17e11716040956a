"""What tasks do: the functions that run in the workers.

Reads from : blocks.source
Hands to   : blocks.passing

Guarantees
- A task reads rows by their address, in blocks, into buffers that are used again.
- A task may be run again: it changes nothing but its own result, and rows of targets to the same values.
- An error carries the rows that were worked on as a note.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.ahead import Ahead
from outcore.blocks.partition import Partition
from outcore.blocks.source import Source
from outcore.blocks.statistic import Block, SplitStatistic, Statistic, Workspace
from outcore.errors import OutcoreError

#: The device is told of so many blocks before they are read.
AHEAD_BLOCKS = 2


@dataclass
class Held:
    """One group of rows in memory that all workers see, for sharing the work by parts.

    `rows`, `values` and `weights` are None where they need not be held: the source is in memory itself, or
    rows are float64 already.
    """

    rows: NDArray[Any] | None
    values: NDArray[np.float64] | None
    weights: NDArray[Any] | None
    tables: list[NDArray[np.float64] | None]


@dataclass
class Work:
    """What all tasks of a pass share: addresses and parameters."""

    source: Source
    weights: Source | None
    statistics: Sequence[Statistic[Any, Any]]
    partition: Partition
    #: What errors call the rows.
    address: str = "X"
    held: Held | None = None
    #: Whether rows are read past the page cache.
    direct: bool = False
    #: Groups behind this one need not be worked on any more, none below 0; only seen by workers of the same
    #: process.
    last_wanted: int = sys.maxsize
    spare: list[Workspace] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"spare": []}

    def borrow(self) -> Workspace:
        """Take buffers that another task is done with, or new ones."""
        try:
            return self.spare.pop()
        except IndexError:
            return Workspace()


@contextmanager
def _noting(work: Work, low: int, high: int) -> Iterator[None]:
    """Name the rows in an error; errors of ours name the very row."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, OutcoreError):
            error.add_note(f"while working on rows {low} to {high - 1} of {work.address}")
        raise


def run_group(work: Work, index: int) -> list[Any]:
    """Take in all blocks of a group; return a state for each statistic."""
    workspace = work.borrow()
    begin, end = work.partition.group(index)
    with _noting(work, begin, end):
        states = [statistic.zero() for statistic in work.statistics]
    blocks = list(work.partition.blocks(index))
    weights_of = None if work.weights is None else _cached(work, work.weights, blocks, workspace)
    with _rows_of(work, blocks, workspace) as rows_of:
        for low, high in blocks:
            if index > work.last_wanted:
                break
            with _noting(work, low, high):
                rows, weights = next(rows_of), None if weights_of is None else next(weights_of)
                block = Block(low, rows, weights, workspace)
                for i, statistic in enumerate(work.statistics):
                    states[i] = statistic.update(states[i], block)
    work.spare.append(workspace)
    return states


@contextmanager
def _rows_of(
    work: Work, blocks: list[tuple[int, int]], workspace: Workspace
) -> Iterator[Iterator[NDArray[Any]]]:
    """Yield the rows of each block in turn."""
    if work.direct:
        with Ahead(work.source, blocks, workspace) as ahead:
            yield iter(ahead)
    else:
        yield _cached(work, work.source, blocks, workspace)


def _cached(
    work: Work, source: Source, blocks: list[tuple[int, int]], workspace: Workspace
) -> Iterator[NDArray[Any]]:
    """Yield what is read through the page cache, with the blocks behind it announced once each."""
    end = blocks[-1][1]
    announced = 0
    for low, high in blocks:
        rows = source.read(low, high, workspace)
        wanted = min(high + AHEAD_BLOCKS * work.partition.block_rows, end)
        source.announce(max(announced, high), wanted)
        announced = wanted
        yield rows


def fill_blocks(work: Work, index: int, start: int, stop: int) -> None:
    """Read some blocks into the memory that is held, and tabulate them."""
    held = work.held
    assert held is not None
    begin, _ = work.partition.group(index)
    with _noting(work, start, stop):
        if held.rows is not None:
            work.source.read_into(start, held.rows[start - begin : stop - begin])
        if held.weights is not None and work.weights is not None:
            work.weights.read_into(start, held.weights[start - begin : stop - begin])
    workspace = work.borrow()
    for low in range(start, stop, work.partition.block_rows):
        high = min(low + work.partition.block_rows, stop)
        part = slice(low - begin, high - begin)
        with _noting(work, low, high):
            block = _held_block(work, held, begin, low, high, workspace)
            if held.values is not None:
                block.convert(held.values[part])
            for statistic, table in zip(work.statistics, held.tables, strict=True):
                if table is not None:
                    cast("SplitStatistic[Any, Any]", statistic).tabulate(block, table[part])
    work.spare.append(workspace)


def sum_part(work: Work, index: int, which: int, part: int) -> Any:
    """Sum one part of the state of one statistic over the group that is held."""
    held = work.held
    assert held is not None
    workspace = work.borrow()
    statistic = work.statistics[which]
    begin, end = work.partition.group(index)
    with _noting(work, begin, end):
        state = statistic.zero_part(part) if isinstance(statistic, SplitStatistic) else statistic.zero()
    table = held.tables[which]
    for low, high in work.partition.blocks(index):
        if index > work.last_wanted:
            break
        with _noting(work, low, high):
            block = _held_block(work, held, begin, low, high, workspace)
            if held.values is not None:
                block.give_values(held.values[low - begin : high - begin])
            if isinstance(statistic, SplitStatistic):
                columns = np.empty((high - low, 0)) if table is None else table[low - begin : high - begin]
                state = statistic.update_part(part, state, block, columns)
            else:
                state = statistic.update(state, block)
    work.spare.append(workspace)
    return state


def _held_block(work: Work, held: Held, begin: int, low: int, high: int, workspace: Workspace) -> Block:
    part = slice(low - begin, high - begin)
    rows = _read_only(held.rows[part]) if held.rows is not None else work.source.read(low, high, workspace)
    weights = None
    if held.weights is not None:
        weights = _read_only(held.weights[part])
    elif work.weights is not None:
        weights = work.weights.read(low, high, workspace)
    return Block(low, rows, weights, workspace)


def _read_only(rows: NDArray[Any]) -> NDArray[Any]:
    rows.flags.writeable = False
    return rows
