"""Statistics for the tests of passes; here, so that worker processes can import them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from outcore.blocks.statistic import Block, Cost, Rows, RowTarget, Share, SplitStatistic, Statistic

Sums = NDArray[np.float64]


class Blocks(oc.Statistic[list[tuple[int, int]], list[tuple[int, int]]]):
    """Lists the blocks: first row, and how many."""

    def zero(self) -> list[tuple[int, int]]:
        return []

    def update(self, state: list[tuple[int, int]], block: Block) -> list[tuple[int, int]]:
        return [*state, (block.start, len(block))]

    def merge(self, state: list[tuple[int, int]], other: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return state + other


class Copies(oc.Statistic[list[NDArray[Any]], NDArray[Any]]):
    """Puts the rows together again."""

    def zero(self) -> list[NDArray[Any]]:
        return []

    def update(self, state: list[NDArray[Any]], block: Block) -> list[NDArray[Any]]:
        return [*state, block.rows.copy()]

    def merge(self, state: list[NDArray[Any]], other: list[NDArray[Any]]) -> list[NDArray[Any]]:
        return state + other

    def finalize(self, state: list[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(state)


class ColumnSums(oc.Statistic[Sums, Sums]):
    """Sums of columns, weighted where there are weights: the last bits show the order of the additions."""

    def bind(self, rows: Rows, share: Share) -> ColumnSums:
        bound = ColumnSums()
        bound.shape = tuple(rows.weights_shape or ())[1:], int(np.prod(rows.row_shape))
        return bound

    shape: tuple[tuple[int, ...], int] = ((), 0)

    def zero(self) -> Sums:
        return np.zeros((*self.shape[0], self.shape[1]))

    def update(self, state: Sums, block: Block) -> Sums:
        values = block.values
        if block.weights is None:
            return state + values.sum(axis=0)
        return state + np.tensordot(block.weights, values, (0, 0))

    def merge(self, state: Sums, other: Sums) -> Sums:
        return state + other


class Doing(oc.Statistic[int, int]):
    """Counts rows, and calls a function for each block."""

    def __init__(self, action: Callable[[Block], object]) -> None:
        self.action = action

    def zero(self) -> int:
        return 0

    def update(self, state: int, block: Block) -> int:
        self.action(block)
        return state + len(block)

    def merge(self, state: int, other: int) -> int:
        return state + other


class SplitSums(SplitStatistic[list[Any], list[Sums]]):
    """Column sums of the rows times the table plus the part; a large state is there and never touched."""

    table_columns = 2

    def __init__(self, n_parts: int = 5, part_bytes: int = 0) -> None:
        self.n_parts = n_parts
        self.part_bytes = part_bytes

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        return Cost(
            state_bytes=self.n_parts * self.part_bytes,
            part_bytes=self.part_bytes,
            table_bytes=16 * block_rows,
            blas=False,
        )

    def zero_part(self, part: int) -> list[Any]:
        return [np.zeros(self.part_bytes // 8), None]

    def tabulate(self, block: Block, table: Sums) -> None:
        table[:, 0] = block.values.sum(axis=1)
        table[:, 1] = 1.0 if block.weights is None else block.weights.reshape(len(block), -1)[:, 0]

    def update_part(self, part: int, state: list[Any], block: Block, table: Sums) -> list[Any]:
        found = (block.values * (table[:, :1] * table[:, 1:] + part)).sum(axis=0)
        return [state[0], found if state[1] is None else state[1] + found]

    def merge_part(self, part: int, state: list[Any], other: list[Any]) -> list[Any]:
        return [state[0], state[1] + other[1]]

    def finalize(self, state: list[list[Any]]) -> list[Sums]:
        return [sums for _, sums in state]


class Written(oc.Statistic[None, Any]):
    """Writes the first value of each row to a target."""

    def __init__(self, out: Any, target: RowTarget | None = None) -> None:
        self.out = out
        self.target = target

    def bind(self, rows: Rows, share: Share) -> Written:
        return Written(None, share.target(self.out, (), np.float64))

    def zero(self) -> None:
        pass

    def update(self, state: None, block: Block) -> None:
        assert self.target is not None
        self.target.write(block.start, block.values[:, 0])

    def merge(self, state: None, other: None) -> None:
        pass

    def finalize(self, state: None) -> Any:
        assert self.target is not None
        return self.target.whole()


class Refusing(oc.Statistic[None, None]):
    """Does not accept the rows."""

    def __init__(self, when: bool | None = None) -> None:
        self.when = when

    def bind(self, rows: Rows, share: Share) -> Statistic[None, None]:
        if self.when is None or self.when == share.making:
            raise ValueError("not these rows")
        return self

    def zero(self) -> None:
        pass

    def update(self, state: None, block: Block) -> None:
        pass

    def merge(self, state: None, other: None) -> None:
        pass


class Flights:
    """Counts how many groups are begun and not merged."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begun = self.most = 0

    def begin(self) -> None:
        with self.lock:
            self.begun += 1
            self.most = max(self.most, self.begun)

    def end(self) -> None:
        with self.lock:
            self.begun -= 1


class Slow(oc.Statistic[int, int]):
    """Takes its time with some blocks; `flights` sees how many states there are."""

    def __init__(self, flights: Flights, delay_s: Callable[[int], float], state_bytes: int = 0) -> None:
        self.flights = flights
        self.delay_s = delay_s
        self.state_bytes = state_bytes

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        return Cost(state_bytes=self.state_bytes)

    def zero(self) -> int:
        self.flights.begin()
        return 0

    def update(self, state: int, block: Block) -> int:
        time.sleep(self.delay_s(block.start))
        return state + len(block)

    def merge(self, state: int, other: int) -> int:
        self.flights.end()
        return state + other


def double(rows: NDArray[Any]) -> NDArray[Any]:
    """Return twice the rows."""
    return rows * 2


def listing(folder: Path) -> list[str]:
    """Return all names below a folder."""
    return sorted(os.path.relpath(os.path.join(at, n), folder) for at, _, ns in os.walk(folder) for n in ns)


class Heavy(oc.Statistic[Sums, float]):
    """Has a large state and large temporaries, and touches all of them."""

    def __init__(self, size: int, temporary: int) -> None:
        self.size = size
        self.temporary = temporary

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        return Cost(state_bytes=8 * self.size, block_bytes=8 * self.temporary, blas=False)

    def zero(self) -> Sums:
        return np.zeros(self.size)

    def update(self, state: Sums, block: Block) -> Sums:
        used = block.scratch("used", (self.temporary,))
        used[:] = block.values[0].sum()
        state += used[-1]
        return state

    def merge(self, state: Sums, other: Sums) -> Sums:
        state += other
        return state

    def finalize(self, state: Sums) -> float:
        return float(state[0])


class HeavyParts(SplitStatistic[Sums, float]):
    """Has many parts, and touches all of them; says nothing of its cost."""

    table_columns = 4

    def __init__(self, n_parts: int, size: int) -> None:
        self.n_parts = n_parts
        self.size = size

    def zero_part(self, part: int) -> Sums:
        return np.zeros(self.size)

    def tabulate(self, block: Block, table: Sums) -> None:
        table[:] = block.values[:, :4]

    def update_part(self, part: int, state: Sums, block: Block, table: Sums) -> Sums:
        state += part * table[0, 0]
        return state

    def merge_part(self, part: int, state: Sums, other: Sums) -> Sums:
        state += other
        return state

    def finalize(self, state: list[Sums]) -> float:
        return float(state[-1][0])
