"""What a pass will take, before it runs: `plan`.

Reads from : the costs of statistics, executors.protocol, budget
Hands to   : blocks.passing, users

Two ways to share the work out, with the same result to the last bit:

- by *rows*: each worker has a state of its own and takes whole groups of rows;
- by *parts*: where so many states break the budget, one group of rows is held in memory at a time, and the
  workers take parts of the one state in turn (K matrices, say).

Fewer workers are used where only they fit. The blocks are made smaller where a fixed number of workers would
not fit: so results do not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import Any

from outcore import budget
from outcore.blocks.partition import MIN_BLOCK_ROWS, Partition, divide
from outcore.blocks.source import Source
from outcore.blocks.statistic import Cost, Rows, SplitStatistic, Statistic
from outcore.budget import format_bytes
from outcore.errors import OptionError
from outcore.executors.protocol import Runner
from outcore.settings import MemoryLike

#: BLAS has a buffer for each thread, with panels of both operands: so deep, one of them of so many rows and
#: the other of all columns up to some number. Measured with OpenBLAS, for products of pieces of 512 rows.
PANEL_DEPTH, PANEL_ROWS, MOST_COLUMNS = 256, 512, 14_000
#: The stack of a thread, and what the allocator keeps for it.
THREAD_BYTES = 128 << 10
#: Blocks are made shorter, down to `MIN_BLOCK_ROWS`, where a budget would else leave fewer workers than this.
SEVERAL = 2
#: Larger states are not made ahead of the merging.
SMALL_STATE_BYTES = 1 << 18
#: Reading past the page cache takes large reads, and work for so many operations a byte to hide them behind:
#: below that the kernel's own reading ahead keeps more of the device busy.
DIRECT_BLOCK_BYTES, DIRECT_FLOPS = 1 << 20, 16.0


@dataclass(frozen=True)
class Plan:
    """What an operation will do; made by `outcore.plan`.

    Attributes
    ----------
    what : str
        The operation.
    n_rows, block_rows, group_rows, n_groups : int
        Rows in all, in a block and in a group, which is one task.
    mode : str
        ``"rows"``: a state for each worker; ``"parts"``: one state, whose parts the workers share.
    workers : int
        How many tasks run at the same time; fewer than there are workers where the budget says so.
    executor : str
        Where they run.
    passes : int
        How often the data are read; for iterations, in one iteration.
    bytes_read : int
        In all passes; 0 for rows that are in memory.
    flops : float
        Floating-point operations in all passes.
    parts : dict of str to int
        What memory is for, in bytes.
    peak_bytes : int
        The sum.
    budget_bytes : int
        What is allowed.
    direct : bool
        Whether rows are read past the page cache, each block while the one before it is worked on: files that
        the cache could not hold, where there is much to compute.
    """

    what: str
    n_rows: int
    block_rows: int
    group_rows: int
    n_groups: int
    mode: str
    workers: int
    executor: str
    passes: int
    bytes_read: int
    flops: float
    parts: dict[str, int]
    budget_bytes: int
    direct: bool = False

    @property
    def peak_bytes(self) -> int:
        """The most memory that the operation holds at a time, besides what was there before."""
        return sum(self.parts.values())

    @property
    def partition(self) -> Partition:
        """The rows of each block and group."""
        return Partition(self.n_rows, self.block_rows, self.group_rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        names = ("what", "n_rows", "block_rows", "group_rows", "n_groups", "mode", "workers", "executor")
        more = ("passes", "bytes_read", "direct", "flops", "parts", "peak_bytes", "budget_bytes")
        return {name: getattr(self, name) for name in names + more}

    def __str__(self) -> str:
        held = {
            "rows": "each worker has a state of its own",
            "parts": "workers share one state, part by part",
        }
        lines = [
            self.what,
            f"  rows      {self.n_rows} in {self.n_groups} groups of {self.group_rows}, "
            f"read {self.block_rows} at a time",
            f"  workers   {self.workers} of {self.executor}; {held[self.mode]}",
            f"  passes    {self.passes}, {format_bytes(self.bytes_read)} read"
            f"{' past the page cache' if self.direct else ''}, {self.flops:.3g} flops",
            f"  memory    {format_bytes(self.peak_bytes)} of {format_bytes(self.budget_bytes)}",
        ]
        lines += [f"    {name}  {format_bytes(size)}" for name, size in self.parts.items() if size]
        return "\n".join(lines)

    __repr__ = __str__


def plan(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Plan:
    """Say what ``func(*args, **kwargs)`` will take, without running it.

    Parameters
    ----------
    func : callable
        `gram`, `quadratic_form`, `map_rows`, `reduce_rows`, an estimator's ``fit``, and so on: whatever goes
        through the rows in passes.
    *args, **kwargs
        What `func` would get.

    Returns
    -------
    Plan
        Block rows, passes, bytes read, flops, and the peak of the memory with its parts. Its text is a table.

    Raises
    ------
    MemoryBudgetError
        The operation would be refused.
    OptionError
        `func` makes no pass over rows.

    Notes
    -----
    Arguments are checked as in the operation itself. No row is read, but `map_rows` calls its function on a
    few rows to see what it returns.

    Examples
    --------
    >>> p = oc.plan(oc.gram, np.ones((1000, 30)), workers=2)
    >>> p.passes, p.n_rows, p.flops
    (1, 1000, 900000.0)
    """
    token = _asked.set(True)
    try:
        func(*args, **kwargs)
    except Planned as answer:
        return answer.plan
    finally:
        _asked.reset(token)
    name = getattr(func, "__qualname__", repr(func))
    raise OptionError(
        f"{name} finished without a pass over rows: there is nothing to plan.\n"
        "Give an operation that reads an array in passes, oc.plan(oc.gram, X)."
    )


class Planned(BaseException):
    """Carries the plan out of the operation; no error, and not to be caught as one."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.what)
        self.plan = plan


_asked: ContextVar[bool] = ContextVar("outcore_plan_asked", default=False)


def asked() -> bool:
    """Whether only a plan is wanted: operations then leave out what comes before their pass."""
    return _asked.get()


@contextmanager
def in_earnest() -> Iterator[None]:
    """Let a user's function run as it is, also where only a plan of what surrounds it is wanted."""
    token = _asked.set(False)
    try:
        yield
    finally:
        _asked.reset(token)


@dataclass(frozen=True)
class Demand:
    """All that decides what a pass takes."""

    what: str
    rows: Rows
    statistics: Sequence[Statistic[Any, Any]]
    source: Source
    weights: Source | None
    runner: Runner
    n_workers: int
    result_bytes: int
    passes: int = 1
    cure: str = ""


def arrange(demand: Demand, memory: MemoryLike | None = None) -> Plan:
    """Choose blocks, workers and the way to share the work.

    Raises
    ------
    MemoryBudgetError
        Not even one worker fits; both figures and the sum behind them are named.
    """
    limit = budget.resolve(memory)
    preferred = preferred_partition(demand)
    shorter = list(preferred.smaller(_float_bytes(demand.rows)))
    ways: list[dict[str, int]] = []
    for partition in (_for_several(demand, preferred, shorter, limit), *shorter):
        sums = _Sum(demand, partition)
        found = sums.fitting(limit)
        if found is not None:
            return _plan(demand, partition, sums, found, limit)
        ways += sums.with_one_worker()
    needed = min(ways, key=lambda parts: sum(parts.values()))
    text = {name: size for name, size in needed.items() if size}
    # The figure of above, not one that is looked up anew: the memory that is free changes all the time.
    budget.require(demand.what, text, limit, cure=demand.cure)
    raise AssertionError("what does not fit is refused above")


def _for_several(demand: Demand, preferred: Partition, shorter: list[Partition], limit: int) -> Partition:
    """Return the longest blocks that let `SEVERAL` threads work side by side; as preferred where none do.

    The number is fixed, and they are threads whatever the executor is: so the blocks depend on the budget,
    and not on the workers.
    """
    for partition in (preferred, *shorter):
        if partition.block_rows < MIN_BLOCK_ROWS or partition.group_rows != preferred.group_rows:
            break
        sums = _Sum(demand, partition, as_threads=True)
        if sum(sums.by_rows(SEVERAL).values()) <= limit:
            return partition
        if sums.mostly_states(SEVERAL):
            break  # shorter blocks would not help much; sharing one state does
    return preferred


def preferred_partition(demand: Demand) -> Partition:
    """Return the blocks and groups that are taken wherever they fit."""
    cost = _together(s.cost(demand.rows, 1024) for s in demand.statistics)
    return divide(demand.rows.n_rows, _float_bytes(demand.rows), cost)


def _plan(
    demand: Demand, partition: Partition, sums: _Sum, found: tuple[str, int, dict[str, int]], limit: int
) -> Plan:
    mode, workers, parts = found
    sources = [demand.source, *([demand.weights] if demand.weights is not None else [])]
    read = sum(s.array.nbytes for s in sources if s.view is None)
    flops = sum(s.cost(demand.rows, partition.block_rows).flops for s in demand.statistics)
    # Chosen last: results do not depend on how rows are read, so neither may blocks and workers.
    direct = False
    if mode == "rows" and _direct_pays(demand.source, partition.block_rows, flops):
        doubled = sums.by_rows(workers, direct=True)
        direct = sum(doubled.values()) <= limit
        parts = doubled if direct else parts
    return Plan(
        demand.what,
        partition.n_rows,
        partition.block_rows,
        partition.group_rows,
        partition.n_groups,
        mode,
        workers,
        demand.runner.name,
        demand.passes,
        read * demand.passes,
        flops * demand.passes,
        parts,
        limit,
        direct,
    )


def _direct_pays(source: Source, block_rows: int, flops: float) -> bool:
    """Whether to read past the page cache: it could not hold the file, and computing takes longer."""
    size = source.array.nbytes
    return (
        source.reads_direct
        and block_rows * source.row_bytes >= DIRECT_BLOCK_BYTES
        and flops >= DIRECT_FLOPS * size
        and size > budget.machine_memory().free_bytes
    )


def _float_bytes(rows: Rows) -> int:
    """Count the bytes of a row as it is worked on: numbers as float64, all else as it is."""
    return prod(rows.row_shape) * (8 if rows.dtype.kind in "biuf" else rows.dtype.itemsize)


def _together(costs: Iterable[Cost]) -> Cost:
    total = Cost(values=False, blas=False)
    for cost in costs:
        total = Cost(
            total.state_bytes + cost.state_bytes,
            total.parameter_bytes + cost.parameter_bytes,
            total.block_bytes + cost.block_bytes,
            total.flops + cost.flops,
            max(total.min_rows, cost.min_rows),
            max(total.n_parts, cost.n_parts),
            max(total.part_bytes, cost.part_bytes),
            total.table_bytes + cost.table_bytes,
            total.values or cost.values,
            total.blas or cost.blas,
        )
    return total


class _Sum:
    """Adds up the memory of one partition."""

    def __init__(self, demand: Demand, partition: Partition, *, as_threads: bool = False) -> None:
        self._demand = demand
        self._partition = partition
        rows = demand.rows
        n = min(partition.block_rows, rows.n_rows)
        costs = [s.cost(rows, n) for s in demand.statistics]
        self._cost = _together(costs)
        # A state that cannot be split is one part.
        self._part_bytes = max(
            (
                c.part_bytes if isinstance(s, SplitStatistic) else c.state_bytes
                for s, c in zip(demand.statistics, costs, strict=True)
            ),
            default=0,
        )
        self._splits = any(isinstance(s, SplitStatistic) and s.n_parts > 1 for s in demand.statistics)
        converts = self._cost.values and rows.dtype.kind in "biuf" and demand.source.converts
        self._values_bytes = prod(rows.row_shape) * 8 if converts else 0
        self._n = n
        shares_memory = as_threads or demand.runner.shares_memory
        self._copies = 1 if shares_memory else 2
        self._worker_bytes = 0 if as_threads else demand.runner.worker_bytes
        self._fixed = {
            "result": demand.result_bytes,
            "parameters": self._cost.parameter_bytes * self._copies,
        }
        if not shares_memory:
            moved = [s for s in self._sources() if s.needs_sharing()]
            self._fixed["rows in shared memory"] = sum(s.array.nbytes for s in moved)

    def fitting(self, limit: int) -> tuple[str, int, dict[str, int]] | None:
        """Return the mode, the workers and the parts of what fits into `limit`; None if nothing does."""
        most = self._most()
        by_rows = next((w for w in range(most, 0, -1) if sum(self.by_rows(w).values()) <= limit), 0)
        if by_rows < most and self._splits:
            every = self._demand.n_workers
            by_parts = next((w for w in range(every, 0, -1) if sum(self.by_parts(w).values()) <= limit), 0)
            if by_parts > by_rows:
                return "parts", by_parts, self.by_parts(by_parts)
        return ("rows", by_rows, self.by_rows(by_rows)) if by_rows else None

    def with_one_worker(self) -> list[dict[str, int]]:
        """Add up the least that each way takes which there is."""
        return [self.by_rows(1), *([self.by_parts(1)] if self._splits else [])]

    def mostly_states(self, workers: int) -> bool:
        """Whether states take more than blocks where each of `workers` has one."""
        states = (in_flight(workers, self._cost.state_bytes) + 1) * self._cost.state_bytes
        all_but_blocks = states + sum(self._fixed.values())
        return states > sum(self.by_rows(workers).values()) - all_but_blocks

    def _most(self) -> int:
        return max(1, min(self._demand.n_workers, self._partition.n_groups))

    def by_rows(self, workers: int, *, direct: bool = False) -> dict[str, int]:
        """Add up what states for each worker take."""
        blocks = sum(s.buffer_bytes(self._n) for s in self._sources())
        if direct:
            source = self._demand.source
            blocks += source.direct_bytes(self._n) + THREAD_BYTES - source.buffer_bytes(self._n)
        blocks += self._n * self._values_bytes + self._cost.table_bytes
        # The first group's state is the one that the others are merged into.
        states = min(in_flight(workers, self._cost.state_bytes) + 1, max(self._partition.n_groups, 1))
        states = states * self._copies - (self._copies > 1 and states > 1)
        return {
            **self._fixed,
            f"{states} states": states * self._cost.state_bytes,
            **self._workers(workers, blocks + self._cost.block_bytes),
        }

    def by_parts(self, workers: int) -> dict[str, int]:
        """Add up what one shared state takes."""
        group = min(self._partition.group_rows, self._demand.rows.n_rows)
        n_blocks = -(-group // max(self._n, 1))
        held = sum(s.held_bytes(group) for s in self._sources())
        held += group * self._values_bytes + n_blocks * self._cost.table_bytes
        reading = sum(s.reading_bytes(max(self._n, s.decoded_rows)) for s in self._sources())
        # Those of the first group become the state.
        moving = (workers + 1) * (self._copies if self._partition.n_groups > 1 else self._copies - 1)
        return {
            **self._fixed,
            "state": self._cost.state_bytes,
            "group of rows": held,
            "parts on their way": moving * self._part_bytes,
            # What becomes a table may be made elsewhere first.
            **self._workers(workers, reading + self._cost.block_bytes + self._cost.table_bytes),
        }

    def _sources(self) -> list[Source]:
        return [s for s in (self._demand.source, self._demand.weights) if s is not None]

    def _workers(self, workers: int, block_bytes: int) -> dict[str, int]:
        each = block_bytes + THREAD_BYTES + self._worker_bytes
        if self._cost.blas:
            each += _blas_bytes(self._n, prod(self._demand.rows.row_shape))
        return {f"{workers} workers x {format_bytes(each)}": workers * each}


def _blas_bytes(n_rows: int, n_columns: int) -> int:
    rows = min(n_rows, PANEL_ROWS)
    return 8 * min(n_columns, PANEL_DEPTH) * (rows + min(max(n_columns, rows), MOST_COLUMNS))


def in_flight(workers: int, state_bytes: int) -> int:
    """Say how many groups may be begun and not merged yet: as many states exist, besides the merged one."""
    return workers if state_bytes > SMALL_STATE_BYTES else 2 * workers
