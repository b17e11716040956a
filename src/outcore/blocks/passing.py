"""One pass over the rows: tasks on an executor, states merged in the order of the rows.

Reads from : blocks.work, blocks.planning, executors
Hands to   : blocks.reducing

Guarantees
- At most `planning.in_flight` groups are begun and not merged.
- The error that is raised is that of the first group that has one; nothing behind it is begun any more.
- When the pass ends, however it ends, no task of it is running. Where it is ended by something else than the
  error of a task (Ctrl-C, an error while states are merged, a dead worker) the runner is closed for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from outcore.blocks.heap import give_back
from outcore.blocks.partition import Partition
from outcore.blocks.planning import SMALL_STATE_BYTES, Plan, in_flight
from outcore.blocks.source import Source
from outcore.blocks.statistic import Rows, SplitStatistic, Statistic
from outcore.blocks.work import Held, Work, fill_blocks, run_group, sum_part
from outcore.errors import WorkerDiedError
from outcore.executors.protocol import Finished, Runner
from outcore.settings import adopt, for_tasks
from outcore.shared.sharing import shared_empty

#: How often the calling thread looks up from waiting.
TICK_S = 0.2

Advance = Callable[[int], None]


class Pass:
    """Runs the statistics over all rows, once."""

    def __init__(
        self,
        plan: Plan,
        rows: Rows,
        source: Source,
        weights: Source | None,
        statistics: list[Statistic[Any, Any]],
        runner: Runner,
        advance: Advance,
    ) -> None:
        if not runner.shares_memory:
            source = source.reachable()
            weights = weights.reachable() if weights is not None else None
        self._plan = plan
        self._partition: Partition = plan.partition
        self._statistics = statistics
        self._runner = runner
        self._advance = advance
        self._rows = rows
        self._work = Work(source, weights, statistics, self._partition, rows.address, direct=plan.direct)
        bytes_read = source.array.nbytes + (weights.array.nbytes if weights is not None else 0)
        self._row_bytes = bytes_read // max(rows.n_rows, 1)
        state_bytes = sum(s.cost(rows, plan.block_rows).state_bytes for s in statistics)
        self._window = in_flight(plan.workers, state_bytes)
        self._large = state_bytes > SMALL_STATE_BYTES and runner.shares_memory

    def run(self) -> list[Any]:
        """Return the state of each statistic for all rows."""
        if self._partition.n_groups == 0:
            return [statistic.zero() for statistic in self._statistics]
        # What `merge` begins must not wait for the workers of this pass, just as what a task begins.
        return copy_context().run(self._run)

    def _run(self) -> list[Any]:
        adopt(for_tasks())
        return self._by_rows() if self._plan.mode == "rows" else self._by_parts()

    # ---- a state for each group ----------------------------------------------------------------

    def _by_rows(self) -> list[Any]:
        placed = self._runner.place(self._work)
        tasks = ((run_group, (index,)) for index in range(self._partition.n_groups))
        total: list[Any] = []

        def merge(index: int, states: list[Any]) -> None:
            if index == 0:
                total.extend(states)
            else:
                for i, statistic in enumerate(self._statistics):
                    total[i] = statistic.merge(total[i], states[i])
            low, high = self._partition.group(index)
            self._advance((high - low) * self._row_bytes)

        self._run_tasks(placed, tasks, self._partition.n_groups, self._window, merge)
        return total

    # ---- one state for all workers -------------------------------------------------------------

    def _by_parts(self) -> list[Any]:
        self._work.held = self._hold()
        placed = self._runner.place(self._work)
        parts = [
            (which, part)
            for which, statistic in enumerate(self._statistics)
            for part in range(statistic.n_parts if isinstance(statistic, SplitStatistic) else 1)
        ]
        total: dict[tuple[int, int], Any] = {}

        def merge(index: int, state: Any) -> None:
            which, part = parts[index]
            statistic = self._statistics[which]
            if (which, part) not in total:
                total[which, part] = state
            elif isinstance(statistic, SplitStatistic):
                total[which, part] = statistic.merge_part(part, total[which, part], state)
            else:
                total[which, part] = statistic.merge(total[which, part], state)

        step = self._rows_to_fill()
        for group in range(self._partition.n_groups):
            low, high = self._partition.group(group)
            fills = [(fill_blocks, (group, at, min(at + step, high))) for at in range(low, high, step)]
            self._run_tasks(
                placed, fills, len(fills), self._plan.workers, lambda index, value: None, of_group=group
            )
            self._work.source.announce(high, min(high + self._partition.group_rows, self._partition.n_rows))
            sums = ((sum_part, (group, *which)) for which in parts)
            self._run_tasks(placed, sums, len(parts), self._plan.workers, merge, of_group=group)
            self._advance((high - low) * self._row_bytes)
        return [
            [total[which, part] for part in range(statistic.n_parts)]
            if isinstance(statistic, SplitStatistic)
            else total[which, 0]
            for which, statistic in enumerate(self._statistics)
        ]

    def _rows_to_fill(self) -> int:
        """Choose how many rows a task reads: some blocks, where more than a block is decoded at a time."""
        sources = [s for s in (self._work.source, self._work.weights) if s is not None]
        unit, block = max(s.decoded_rows for s in sources), self._partition.block_rows
        return min(-(-unit // block) * block, self._partition.group_rows)

    def _hold(self) -> Held:
        """Make the memory that holds one group of rows."""
        work, rows = self._work, self._rows
        n = min(self._partition.group_rows, rows.n_rows)
        used = any(s.cost(rows, self._partition.block_rows).values for s in self._statistics)
        numbers = used and rows.dtype.kind in "biuf" and work.source.converts
        weights = work.weights if work.weights is not None and work.weights.view is None else None
        return Held(
            None if work.source.view is not None else self._visible((n, *rows.row_shape), rows.dtype),
            self._visible((n, int(np.prod(rows.row_shape))), np.float64) if numbers else None,
            None if weights is None else self._visible((n, *weights.array.shape[1:]), weights.array.dtype),
            [
                self._visible((n, s.table_columns), np.float64)
                if isinstance(s, SplitStatistic) and s.table_columns
                else None
                for s in self._statistics
            ],
        )

    def _visible(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        return np.empty(shape, dtype) if self._runner.shares_memory else shared_empty(shape, dtype)

    # ---- tasks ---------------------------------------------------------------------------------

    def _run_tasks(
        self,
        placed: Any,
        tasks: Iterable[tuple[Callable[..., Any], tuple[Any, ...]]],
        n_tasks: int,
        window: int,
        merge: Callable[[int, Any], None],
        *,
        of_group: int | None = None,
    ) -> None:
        """Run tasks, and give what they return to `merge` in order."""
        runner, workers = self._runner, self._plan.workers
        # One task more than there are workers waits its turn, so that nobody waits for this thread.
        running_most = workers + 1 if workers >= runner.n_workers else workers
        waiting: dict[int, Any] = {}
        failed: Finished | None = None
        begun = ended = merged = 0
        left = iter(tasks)
        try:
            while merged < n_tasks:
                wanted = n_tasks if failed is None else failed.index
                while begun < wanted and begun - merged < window and begun - ended < running_most:
                    function, small = next(left)
                    runner.submit(begun, function, placed, *small)
                    begun += 1
                if failed is not None and ended == begun:
                    break
                done = self._collect(of_group)
                if done is None:
                    continue
                ended += 1
                if done.error is not None:
                    if failed is None or done.index < failed.index:
                        failed = done
                        if of_group is None:
                            self._work.last_wanted = done.index
                    continue
                waiting[done.index] = done.value
                del done
                while failed is None and merged in waiting:
                    merge(merged, waiting.pop(merged))
                    merged += 1
                    if self._large:
                        give_back()
        except BaseException:
            # Counting what still runs would not do: an interrupt comes between any two steps, also between
            # a result and its being counted.
            self._work.last_wanted = -1
            runner.close()
            raise
        if failed is not None:
            try:
                raise self._explained(failed, of_group)
            finally:
                # This frame is part of the error's traceback: states would live until the collector comes.
                del failed

    def _collect(self, of_group: int | None) -> Finished | None:
        try:
            return self._runner.collect(TICK_S)
        except WorkerDiedError as error:
            # Where it cannot be told which task it was, several are named, and the rows are those of all.
            first, last = (error.indices or (None,))[0], (error.indices or (None,))[-1]
            where = self._where(first, of_group)
            if last != first and of_group is None:
                where = f"{self._where(first, None)}, up to {self._where(last, None)}"
            error.add_note(f"while working on {where}")
            raise

    def _explained(self, failed: Finished, of_group: int | None) -> BaseException:
        """Return the error of a task; the task has named the rows, unless its worker died."""
        error = cast(BaseException, failed.error)
        if isinstance(error, WorkerDiedError):
            error.add_note(f"while working on {self._where(failed.index, of_group)}")
        return error

    def _where(self, index: int | None, of_group: int | None) -> str:
        group = index if of_group is None else of_group
        if group is None:
            return self._rows.address
        low, high = self._partition.group(group)
        return f"rows {low} to {high - 1} of {self._rows.address}"
