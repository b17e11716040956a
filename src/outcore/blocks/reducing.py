"""Statistics of rows, in one pass: `reduce_rows`.

Reads from : array.opening, blocks.planning, blocks.passing, executors.choosing
Hands to   : users, linalg, statistics and the estimators
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from outcore import progress as bars
from outcore.array.handle import Array
from outcore.array.opening import asarray
from outcore.blocks.passing import Pass
from outcore.blocks.planning import Demand, Planned, arrange, asked
from outcore.blocks.source import Source
from outcore.blocks.statistic import Rows, SplitStatistic, Statistic
from outcore.blocks.targets import Targets
from outcore.errors import OptionError, ShapeError
from outcore.executors.choosing import choose
from outcore.executors.protocol import Runner
from outcore.settings import MemoryLike, ProgressLike, current, options


def reduce_rows(
    X: Any,
    statistic: Statistic[Any, Any] | Sequence[Statistic[Any, Any]],
    *,
    weights: Any = None,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
) -> Any:
    """Sum one statistic, or several at once, over all rows: one read of the data.

    Parameters
    ----------
    X : Array, str, path, numpy.memmap, h5py.Dataset or array-like, shape (n, ...)
        What `outcore.asarray` takes.
    statistic : Statistic or sequence of Statistic
        What to compute; see `outcore.Statistic`.
    weights : array-like or Array of shape (n,) or (n, K), optional
        Handed to the statistics with the rows.
    executor : int, concurrent.futures.Executor or dask.distributed.Client, optional
        Where to work: so many worker processes, an executor, a cluster; threads of this process by default.
    workers : int, optional
        How many threads, or tasks at a time; as many as there are cores by default.
    memory : int, float or str, optional
        Budget for this call; see `outcore.options`.
    progress : bool or callable, optional
        A bar (True), none (False), or ``callable(done_bytes, total_bytes)``; by default a bar for long
        work on a terminal.

    Returns
    -------
    object or list
        The result of `statistic`; a list if `statistic` is a sequence. It is the same, to the last bit, on
        every executor and for every number of workers.

    Raises
    ------
    ShapeError
        `X` has no dimensions, or `weights` are not one (or K) for each row.
    MemoryBudgetError
        Blocks and states do not fit in the budget; nothing was read. ``oc.plan`` shows the sum.
    WorkerDiedError
        A worker process ended in the middle of its work.
    Exception
        Whatever the statistic raises, with the rows it worked on as a note.

    Notes
    -----
    Memory: for each worker a block of rows (some 4 MB), what the statistic needs for it, and a state.

    A pass that is begun by a statistic, while it works on a block, runs in one thread unless `executor` or
    `workers` say otherwise.

    Examples
    --------
    >>> class Count(oc.Statistic):
    ...     def zero(self):
    ...         return 0
    ...
    ...     def update(self, state, block):
    ...         return state + int((block.rows > 2).sum())
    ...
    ...     def merge(self, state, other):
    ...         return state + other
    >>> oc.reduce_rows(np.arange(6).reshape(3, 2), Count())
    3
    """
    several = isinstance(statistic, Sequence)
    statistics: list[Statistic[Any, Any]] = (
        list(statistic) if isinstance(statistic, Sequence) else [statistic]
    )
    for each in statistics:
        if not isinstance(each, Statistic):
            raise OptionError(
                f"{each!r} is no outcore.Statistic.\n"
                "Subclass it: zero, update and merge are all that is needed (see outcore.Statistic)."
            )
    found = run_pass(
        f"reduce_rows({', '.join(type(s).__name__ for s in statistics)})",
        asarray(X),
        statistics,
        weights=weights,
        executor=executor,
        workers=workers,
        memory=memory,
        progress=progress,
    )
    return found if several else found[0]


def run_pass(
    what: str,
    source: Array,
    statistics: list[Statistic[Any, Any]],
    *,
    weights: Any = None,
    executor: Any = None,
    workers: int | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
    passes: int = 1,
    cure: str = "",
    details: Callable[[], str] | None = None,
) -> list[Any]:
    """Run statistics over the rows of an array, or raise `Planned` where only a plan is wanted.

    Parameters
    ----------
    what : str
        The operation as the user typed it, for errors, plans and the bar.
    passes : int
        How many such passes the operation makes, for the plan.
    cure : str
        What to do, besides raising the budget, where nothing fits: a full sentence.
    details : callable, optional
        Returns a line to show below the bar.

    The other parameters are those of `reduce_rows`.
    """
    if not source.shape:
        raise ShapeError(
            f"{source.address} has no dimensions; {what} needs rows.\nUse np.atleast_1d on it first."
        )
    aligned = None if weights is None else Source(_check_weights(asarray(weights), source), "_weights")
    rows = Rows(
        len(source),
        source.shape[1:],
        source.dtype,
        None if aligned is None else aligned.array.shape,
        "X" if source.spec.kind == "memory" else source.address,
    )
    with _runner(executor, workers) as runner:
        limit = workers if workers is not None else runner.n_workers
        demand_source = Source(source)

        def bind(*, making: bool) -> tuple[Targets, list[Statistic[Any, Any]]]:
            read = [source] if aligned is None else [source, aligned.array]
            in_place = runner.shares_memory and len(statistics) == 1
            in_place = in_place and not isinstance(statistics[0], SplitStatistic)
            targets = Targets(
                rows.n_rows, read, shares_memory=runner.shares_memory, in_place=in_place, making=making
            )
            try:
                return targets, [statistic.bind(rows, targets) for statistic in statistics]
            except BaseException:
                targets.discard()
                raise

        counted, bound = bind(making=False)
        demand = Demand(
            what, rows, bound, demand_source, aligned, runner, min(limit, runner.n_workers),
            counted.new_bytes, passes, cure,
        )  # fmt: skip
        plan = arrange(demand, memory)
        if asked():
            raise Planned(plan)
        targets, bound = bind(making=True)
        try:
            total = source.nbytes + (aligned.array.nbytes if aligned is not None else 0)
            with bars.bar(what.split("(")[0], total, progress, details=details) as advance:
                states = Pass(plan, rows, demand_source, aligned, bound, runner, advance).run()
            results = [s.finalize(state) for s, state in zip(bound, states, strict=True)]
            targets.commit()
        except BaseException:
            targets.discard()
            raise
    return results


@contextmanager
def session(executor: Any = None, workers: int | None = None) -> Iterator[Runner]:
    """Keep one runner for several passes: worker processes are started once.

    Examples
    --------
    >>> with session(workers=2):
    ...     sums = [oc.reduce_rows(np.ones((4, 2)), []) for _ in range(3)]
    """
    with _runner(executor, workers) as runner, options(executor=runner):
        yield runner


def _runner(executor: Any, workers: int | None) -> AbstractContextManager[Runner]:
    """Return a runner to be closed at the end, or the one of the session around."""
    given = current().executor if executor is None else executor
    return nullcontext(given) if isinstance(given, Runner) else choose(executor, workers)


def _check_weights(weights: Array, source: Array) -> Array:
    if (
        len(weights.shape) not in (1, 2)
        or weights.shape[0] != len(source)
        or weights.dtype.kind not in "biuf"
    ):
        raise ShapeError(
            f"weights have shape {weights.shape} and dtype {weights.dtype}; "
            f"{source.address} has {len(source)} rows.\n"
            f"Give one number for each row, shape ({len(source)},), or K of them, ({len(source)}, K)."
        )
    return weights
