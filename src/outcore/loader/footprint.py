"""How much memory a loader takes, and how many batches it makes ahead: arithmetic.

Hands to   : loader.loading

Guarantees
- What is planned is within the budget, or refused with both numbers before anything is read.
- The order of samples is no part of this: it follows from the data and the budget alone (loader.sizes).
"""

from __future__ import annotations

from dataclasses import dataclass

from outcore import budget
from outcore.settings import MemoryLike

#: Batches that a thread makes at a time, together about so many bytes.
TASK_BYTES = 8 << 20
MOST_AT_ONCE = 16
#: Tasks for each thread, made or being made. Threads that are woken more seldom are faster: with twice as
#: many, or twice as large ones, an epoch takes some percent less, with half as many a tenth more.
TASKS_AHEAD = 4


@dataclass(frozen=True)
class Footprint:
    """What a stream of batches may hold.

    Attributes
    ----------
    ahead : int
        Batches that are made, or being made, before they are asked for.
    at_once : int
        Batches that a thread makes one after the other.
    parts : dict of str to int
        Bytes, by what they are for.
    """

    ahead: int
    at_once: int
    parts: dict[str, int]

    @property
    def peak_bytes(self) -> int:
        """All bytes together."""
        return sum(self.parts.values())


def plan(
    what: str,
    *,
    batch_bytes: int,
    index_bytes: int,
    buffer_bytes: int,
    reading_bytes: int,
    process_bytes: int,
    n_threads: int,
    prefetch: int | None,
    budget_bytes: int,
    memory: MemoryLike | None,
) -> Footprint:
    """Choose how many batches are made ahead.

    Parameters
    ----------
    batch_bytes : int
        Of a batch on its way: its rows, and what a transform makes of them.
    index_bytes : int
        What is kept to know which rows the samples are.
    reading_bytes, process_bytes : int
        What reading takes besides, and what worker processes take.
    prefetch : int or None
        What the user asked for.
    budget_bytes : int
        What the loader may take.
    memory : int, float, str or None
        What the user, or `outcore.options`, said it may take; None: the machine is asked too.

    Raises
    ------
    MemoryBudgetError
        It does not fit, with what does.
    """
    at_once = max(1, min(TASK_BYTES // max(batch_bytes, 1), MOST_AT_ONCE))
    named = ("indices", index_bytes), ("buffers", buffer_bytes), ("reading", reading_bytes)
    fixed = {name: size for name, size in (*named, ("processes", process_bytes)) if size}
    if n_threads == 0:
        ahead = at_once = 1
    elif prefetch is not None:
        ahead, at_once = prefetch, min(at_once, max(1, prefetch // n_threads))
    else:
        room = max(budget_bytes - sum(fixed.values()), 0) // max(batch_bytes, 1) - 1
        ahead = max(min(TASKS_AHEAD * n_threads * at_once, room), 1)
        at_once = max(1, min(at_once, ahead // (2 * n_threads)))
    # The caller's own, until it takes the next one.
    parts = fixed | {"batches": (ahead + 1) * batch_bytes}
    cure = "Use a smaller batch_size, prefetch or num_workers."
    budget.require(what, parts, budget_bytes, cure=cure)
    if memory is None:
        budget.require(what, parts, None, cure=cure)
    return Footprint(ahead, at_once, parts)
