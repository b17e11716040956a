"""What was asked of an ingest, and what became of it.

Hands to   : text.file_run, text.memory_run, the command line
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from outcore.array.handle import Array
from outcore.errors import OptionError
from outcore.settings import MemoryLike, ProgressLike
from outcore.shared.sharedarray import SharedArray
from outcore.text.cutting import Files
from outcore.text.listing import Fault
from outcore.text.parse import Plan
from outcore.text.room import Room
from outcore.text.wishes import Wishes

OnError = Literal["stop", "reject", "mask"]


@dataclass(frozen=True)
class Request:
    """The arguments of `outcore.ingest`, but for the sources and the target."""

    wishes: Wishes
    truncate: bool = False
    on_error: OnError = "stop"
    max_rejects: int | None = None
    rejects: str | os.PathLike[str] | None = None
    memory: MemoryLike | None = None
    workers: int | None = None
    progress: ProgressLike | None = None
    overwrite: bool = False
    chunks: tuple[int, ...] | Literal[True] | None = None
    compression: str | int | None = None

    def check(self) -> None:
        """Refuse arguments that make no sense.

        Raises
        ------
        OptionError
        """
        if self.on_error not in ("stop", "reject", "mask"):
            raise OptionError(
                f"on_error={self.on_error!r} is not known.\n"
                'Use "stop", "reject" (leave bad records out) or "mask" (make bad cells missing).'
            )
        limit: Any = self.max_rejects
        if limit is None:
            return
        if not isinstance(limit, (int, np.integer)) or isinstance(limit, bool) or limit < 0:
            raise OptionError(f"max_rejects={limit!r} is not a number of records.\nUse 0 or more, or None.")
        if self.on_error == "stop":
            raise OptionError(
                f'max_rejects={limit} needs on_error="reject" or "mask"; it is "stop", so the first fault is '
                'the last.\nUse on_error="reject" (--on-error reject).'
            )

    def as_json(self) -> dict[str, Any]:
        """Write what the result depends on in one way, so that two runs can be compared."""
        return {
            **self.wishes.as_json(),
            "truncate": bool(self.truncate),
            "on_error": self.on_error,
            "chunks": list(self.chunks) if isinstance(self.chunks, tuple) else self.chunks,
            "compression": self.compression,
        }

    def with_policy(self, plan: Plan) -> Plan:
        """Add to a plan how errors are dealt with.

        Raises
        ------
        OptionError
            Cells cannot be masked where nothing stands for a missing value.
        """
        if self.on_error == "mask" and plan.meaning.fill is None:
            for column in plan.schema.columns:
                if column.dtype.kind in "biu" and column.categories is None:
                    raise OptionError(
                        f'on_error="mask" makes bad cells missing, which {column.name}, {column.dtype}, '
                        "cannot express.\nUse fill=VALUE (--fill VALUE) to stand for them, or "
                        'on_error="reject" (--on-error reject).'
                    )
        return replace(plan, on_error=self.on_error, truncate=bool(self.truncate))


Before = Literal["", "resumed", "grown", "finished"]


@dataclass(frozen=True)
class Intent:
    """What a run is about to do, before it does it.

    Attributes
    ----------
    files : Files
        Those that were read before come first.
    plan : Plan
        How they are read; widths and categories that are to be measured are open.
    n_before, n_rows : int
        How many of the files are finished, and how many rows there are.
    room : Room
    before : {"", "resumed", "grown", "finished"}
        As in `Outcome`.
    """

    files: Files
    plan: Plan
    n_before: int
    n_rows: int
    room: Room
    before: Before


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Attributes
    ----------
    array : Array or SharedArray
    n_files, n_rows, n_rejects, n_masked, n_cut : int
        Files, rows, records left out, cells masked, texts cut: of the whole array, earlier runs included.
    rejects : str
        The file that lists the faults; "" if there are none.
    first_faults : sequence of Fault
        Those that this run met first.
    before : {"", "resumed", "grown", "finished"}
        What there was to begin with.
    """

    array: Array | SharedArray
    plan: Plan
    n_files: int
    n_rows: int
    n_rejects: int = 0
    n_masked: int = 0
    n_cut: int = 0
    rejects: str = ""
    first_faults: Sequence[Fault] = ()
    before: Before = ""
