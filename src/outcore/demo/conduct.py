"""The jobs one after the other, in a folder that is removed afterwards: `run`.

Reads from : every job
Hands to   : the command line, `make demo`
"""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from outcore.budget import format_bytes
from outcore.demo import breaking, describing, ingesting, mixing, sharing, texts, training, windows
from outcore.demo.groups import Limit, find_limit
from outcore.demo.place import in_memory, workplace
from outcore.demo.report import as_dict, summary
from outcore.demo.stage import ALLOWANCE_BYTES, BUDGET_BYTES, Demo
from outcore.errors import OptionError


@dataclass(frozen=True)
class Job:
    """A part of the demo.

    Attributes
    ----------
    disk_bytes : callable
        What it will write at a given size, about.
    work : callable
        Does it; what it finds goes into the `Demo`.
    """

    disk_bytes: Callable[[float], int]
    work: Callable[[Demo], None]


JOBS = (
    Job(texts.disk_bytes, texts.work),
    Job(ingesting.disk_bytes, ingesting.work),
    Job(breaking.disk_bytes, breaking.work),
    Job(windows.disk_bytes, windows.work),
    Job(describing.disk_bytes, describing.work),
    Job(mixing.disk_bytes, mixing.work),
    Job(sharing.disk_bytes, sharing.work),
    Job(training.disk_bytes, training.work),
)


def run(size: float = 1.0, directory: str | None = None, keep: bool = False, as_json: bool = False) -> int:
    """Run the demo: text, ingest, random windows, a summary, a mixture, shared arrays, a network in training.

    Parameters
    ----------
    size : float
        1 writes about 400 MB of text and 2.1 GB in all, and takes well under two minutes.
    directory : str, optional
        Where to make the temporary folder.
    keep : bool
        Whether to leave the files there.
    as_json : bool
        Print one JSON object instead of text.

    Returns
    -------
    int
        0; what goes wrong is an `OutcoreError`.

    Raises
    ------
    NotFoundError
        The tables are not installed, or no such folder.
    OptionError
        A size that makes no sense.
    DiskFullError
        Not enough room; nothing was written.
    OutcoreError
        A command failed, or results differ.
    """
    if not 0 < size < math.inf:
        raise OptionError(
            f"size={size!r} is not a positive number.\nUse --size 1, or --size 0.1 for a quick look."
        )
    texts.find_data()
    start_s = time.perf_counter()
    with (
        _ending_in_order(),
        workplace(directory, sum(job.disk_bytes(size) for job in JOBS), keep=keep) as folder,
    ):
        limit = find_limit(BUDGET_BYTES + ALLOWANCE_BYTES)
        demo = Demo(folder, size, limit, _silence if as_json else _say)
        demo.say(_opening(folder, limit, keep=keep))
        for job in JOBS:
            job.work(demo)
        seconds = time.perf_counter() - start_s
        if as_json:
            print(json.dumps(as_dict(demo, seconds) | {"folder": str(folder) if keep else None}))
        else:
            print(f"\n{summary(demo, seconds)}" + (f"\nThe files are in {folder}." if keep else ""))
    return 0


def _opening(folder: Path, limit: Limit, *, keep: bool) -> str:
    lines = [
        f"folder: {folder}, {'kept' if keep else 'removed at the end'}",
        f"budget: {format_bytes(BUDGET_BYTES)} of memory for each command",
    ]
    if limit.parent is not None:
        allowance, nbytes = format_bytes(ALLOWANCE_BYTES), format_bytes(limit.nbytes)
        lines.append(
            f"limit:  {nbytes} for each process, page cache included, by a control group;\n"
            f"        {allowance} of it are for Python and its libraries"
        )
    else:
        lines.append(
            f"limit:  none, because no control group can be made here ({limit.reason});\n"
            "        files are dropped from the page cache before they are read"
        )
    if in_memory(folder):
        lines.append("note:   this folder is in memory, so nothing here says how fast a disk is read")
    return "\n".join([*lines, ""])


def _say(line: str) -> None:
    print(line, flush=True)


def _silence(line: str) -> None:
    """Say nothing: the JSON object will."""


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let a request to end remove the folder and the control group, as an interrupt does."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be received
        yield
        return
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(name, _end) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
