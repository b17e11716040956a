"""How large chunks may be, and how many workers there are: the memory of an ingest, before it starts.

Reads from : the budget
Hands to   : text.running
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from outcore import budget
from outcore.errors import OptionError
from outcore.settings import MemoryLike
from outcore.text.parallel_gzip import PARALLEL_BYTES

#: Smaller chunks are slower (2 MB: 1.5 times), larger ones no faster.
CHUNK_BYTES, GOOD_CHUNK_BYTES, LEAST_CHUNK_BYTES = 8 << 20, 1 << 20, 1 << 16
#: So many workers more than processors, where chunks need not be smaller for it: while one waits for its
#: turn, or for the disk, another one parses. Measured: a fifth faster.
WAITING = 2
#: What Polars keeps for its threads, whatever the size of a chunk.
PARSER_BYTES = 32 << 20
#: Bytes in use at the peak for each byte of a chunk: the text with its copies while it is cut and cleaned
#: (4), the table that Polars makes of it (4), the rows (2) and the temporaries of a column (2).
CHUNK_COST = 12
#: The same for a single long record, which is in work alone.
RECORD_COST = 7.4
#: The same for each byte of a row that is made alone: its column, its place, and the text with what the
#: parser makes of it, which is no longer than the row where there is much of it.
ROW_COST = 6
#: What is known of a column, in several places.
COLUMN_BYTES = 600


@dataclass(frozen=True)
class Room:
    """What the budget allows.

    Attributes
    ----------
    n_workers : int
    chunk_bytes : int
        Text that is taken at a time.
    in_flight_bytes : int
        Text that all workers may have in work.
    record_bytes : int
        The longest record.
    budget_bytes : int
        What all of it was made from.
    threads : int
        That may decompress one file; each needs room of its own.
    """

    n_workers: int
    chunk_bytes: int
    in_flight_bytes: int
    record_bytes: int
    budget_bytes: int
    threads: int = 1


def make_room(memory: MemoryLike | None, workers: int | None) -> Room:
    """Divide the budget.

    Raises
    ------
    MemoryBudgetError
        It is too small for one worker with the smallest chunk.
    OptionError
        `workers` is no number of threads.
    """
    given: Any = workers
    if given is not None and (not isinstance(given, int) or given is True or given < 1):
        raise OptionError(f"workers={workers!r} is not a number of threads.\nUse 1 or more, or None.")
    least = {"parser": PARSER_BYTES, "smallest chunk": CHUNK_COST * LEAST_CHUNK_BYTES}
    budget_bytes = budget.require("ingest", least, memory)
    room = budget_bytes - PARSER_BYTES
    in_flight = room // CHUNK_COST
    wanted = workers or available_cpus()
    smallest = GOOD_CHUNK_BYTES if workers is None else LEAST_CHUNK_BYTES
    n_workers = min(wanted, max(1, in_flight // smallest))
    if workers is None and in_flight >= (n_workers + WAITING) * CHUNK_BYTES:
        n_workers += WAITING
    chunk_bytes = min(CHUNK_BYTES, in_flight // n_workers)
    threads, spare = 1, room - CHUNK_COST * chunk_bytes * n_workers
    if spare >= n_workers * PARALLEL_BYTES:
        threads, in_flight = n_workers, (room - n_workers * PARALLEL_BYTES) // CHUNK_COST
    record_bytes = max(int(CHUNK_COST * in_flight / RECORD_COST), chunk_bytes)
    return Room(n_workers, chunk_bytes, in_flight, record_bytes, budget_bytes, threads)


def check_row(row_bytes: int, n_columns: int, memory: MemoryLike | None) -> None:
    """Check that there is room for a single row, which may be far wider than its text, and for all columns.

    Raises
    ------
    MemoryBudgetError
    """
    needed = {
        "parser": PARSER_BYTES,
        f"{n_columns} columns": COLUMN_BYTES * n_columns,
        f"{ROW_COST} x one row": ROW_COST * row_bytes,
    }
    cure = "Fewer columns (columns=), or a width for those of text (dtype=, with truncate=True), take less."
    budget.require("ingest", needed, memory, cure=cure)


def available_cpus() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
