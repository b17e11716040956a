"""Run a command as a fresh process, measure it, and leave nothing of it behind.

Reads from : the command's standard output, /proc
Hands to   : demo.stage

Guarantees
- The command's standard error is ours, so its messages and its progress bar are seen.
- Whatever ends the wait, an interrupt included, ends the command and its children first.
- Memory is anonymous and shared memory, sampled; the page cache of files is not counted.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outcore.budget import format_bytes
from outcore.demo.groups import Group, Limit
from outcore.errors import OutcoreError

#: The kernel keeps no peak of anonymous memory alone.
SAMPLE_S = 0.01
#: The field of a line that reports progress; other lines are answers.
PROGRESS = "done"


@dataclass(frozen=True)
class Finished:
    """What a command answered, how long it took and how much memory it had (None: not known here)."""

    answer: dict[str, Any]
    seconds: float
    peak_bytes: int | None


def run_child(
    command: Sequence[str],
    *,
    shown: str,
    folder: Path,
    limit: Limit,
    on_line: Callable[[dict[str, Any]], None] | None = None,
) -> Finished:
    """Run `command`, which prints JSON objects, one a line; the last one is its answer.

    Parameters
    ----------
    shown : str
        The command as errors name it.
    on_line : callable, optional
        Gets the lines that report progress: those with the field "done".

    Raises
    ------
    OutcoreError
        The command failed; it has said why on standard error.
    """
    answer: dict[str, Any] = {}
    start_s = time.perf_counter()
    with limit.group() as group:
        process = subprocess.Popen(
            list(command) if group is None else group.enter(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            # An interrupt from the keyboard reaches us only; we then end the command quietly.
            start_new_session=True,
        )
        assert process.stdout is not None
        with _ended(process), _peak(process.pid, group) as peak:
            for line in process.stdout:
                value = json.loads(line)
                if PROGRESS not in value:
                    answer = value
                elif on_line is not None:
                    on_line(value)
            code = process.wait()
        if code:
            killed = group is not None and group.out_of_memory()
            raise OutcoreError(_failure(shown, code, limit, killed=killed))
    return Finished(answer, time.perf_counter() - start_s, max(peak) or None)


def _failure(shown: str, code: int, limit: Limit, *, killed: bool) -> str:
    if killed:
        return (
            f"`{shown}` needed more than {format_bytes(limit.nbytes)} and was ended by the kernel.\n"
            "That is a defect of outcore: please report it with your versions of Python and NumPy."
        )
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"the demo stopped: `{shown}` {how}.\nIts own message stands above. Everything was removed."


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextlib.contextmanager
def _peak(pid: int, group: Group | None) -> Iterator[list[int]]:
    """Yield a list that holds the largest sample once the block has ended."""
    ended = threading.Event()
    largest = [0]

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            largest[0] = max(largest[0], _tree_bytes(pid) if group is None else group.anonymous_bytes())

    sampler = threading.Thread(target=sample, name="outcore-demo-memory")
    sampler.start()
    try:
        yield largest
    finally:
        ended.set()
        sampler.join()


def _tree_bytes(pid: int) -> int:
    """Anonymous and shared memory of a process and its children; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = [
            Path(f"/proc/{pid}/task/{task}/children").read_text() for task in os.listdir(f"/proc/{pid}/task")
        ]
    except OSError:
        return 0
    lines = [line.split() for line in status.splitlines()]
    own = sum(int(line[1]) * 1024 for line in lines if line and line[0] in ("RssAnon:", "RssShmem:"))
    return own + sum(_tree_bytes(int(child)) for text in children for child in text.split())
