"""Run a function in a fresh process, under a memory limit of the kernel where the machine allows one.

Reads from : tests.cgroup, which makes the control group and removes it
Hands to   : every benchmark that measures cold reads or memory

Guarantees
- The limit counts the page cache; a file should be evicted first (benchmarks.cold), because pages that
  another process brought in are on that process's account.
- Without a writable memory controller the function still runs, unlimited, and `describe` says so.
- What the function prints on standard output is not shown; an error in it is.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measure import EndedError, Skip
from tests import cgroup

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 1800.0
SAMPLE_S = 0.005


@dataclass(frozen=True)
class Answer:
    """What the function returned, and the most anonymous memory that its process held (bytes)."""

    value: Any
    peak_anonymous: int


def call(function: Callable[..., Any], limit_bytes: int | None = None, /, **arguments: Any) -> Answer:
    """Run ``function(**arguments)`` in a fresh process; arguments and answer pass as JSON.

    Raises
    ------
    Skip
        The function raised it.
    EndedError
        Any other error there, or the process was killed, for memory for instance.
    """
    command = _command(function, arguments)
    if limit_bytes is None or unavailable():
        returncode, stdout, stderr, peak = _run_free(command, anonymous_bytes)
        return Answer(_value(command, returncode, stdout, stderr), peak)
    ran = cgroup.run_limited(command, limit_bytes, timeout_s=TIMEOUT_S, cwd=ROOT)
    if ran.oom_kills and ran.returncode:
        why = f"killed by the kernel: over {limit_bytes} bytes of memory"
        raise EndedError(f"{command[-2]}: {why}\n{ran.stderr[-3000:]}")
    return Answer(_value(command, ran.returncode, ran.stdout, ran.stderr), ran.peak_anonymous)


def watch(function: Callable[..., Any], sample: Callable[[int], int], /, **arguments: Any) -> tuple[Any, int]:
    """Run as `call` does, without a limit; return the answer and the most that ``sample(pid)`` returned.

    Raises
    ------
    Skip, EndedError
        As `call`.
    """
    command = _command(function, arguments)
    returncode, stdout, stderr, peak = _run_free(command, sample)
    return _value(command, returncode, stdout, stderr), peak


def _command(function: Callable[..., Any], arguments: dict[str, Any]) -> list[str]:
    name = f"{function.__module__}:{function.__qualname__}"
    return [sys.executable, "-m", "benchmarks.limits", name, json.dumps(arguments)]


def _value(command: list[str], returncode: int, stdout: str, stderr: str) -> Any:
    if returncode:
        raise EndedError(f"{command[-2]}: exit {returncode}\n{stderr[-3000:]}")
    answer = json.loads(stdout.splitlines()[-1])
    if "skip" in answer:
        raise Skip(answer["skip"])
    return answer["value"]


@functools.cache
def unavailable() -> str:
    """Why there can be no limit here; empty where there can."""
    try:
        cgroup.check()
    except cgroup.Unavailable as reason:
        return str(reason)
    return ""


def kind() -> str:
    """Say in a few words what limits memory here."""
    if unavailable():
        return "no memory cgroup"
    return f"cgroup v{1 if (cgroup.MOUNT / 'memory').is_dir() else 2}"


def describe(limit_bytes: int) -> str:
    """Say how memory is limited, or why it is not."""
    if reason := unavailable():
        return f"memory is NOT limited to {limit_bytes / 1e9:.2f} GB here: {reason}"
    return f"memory limit {limit_bytes / 1e9:.2f} GB, page cache included ({kind()})"


def _run_free(command: list[str], sample: Callable[[int], int]) -> tuple[int, str, str, int]:
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ended = threading.Event()
    peak = [0]

    def keep_sampling() -> None:
        while not ended.wait(SAMPLE_S):
            peak[0] = max(peak[0], sample(process.pid))

    sampler = threading.Thread(target=keep_sampling, name="memory sampler")
    sampler.start()
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    finally:
        ended.set()
        sampler.join()
    return process.returncode, stdout, stderr, peak[0]


def anonymous_bytes(pid: int | str = "self") -> int:
    """Read what a process holds besides mapped files; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return sum(int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem") if name in fields)


def _answer(name: str, arguments: str) -> None:
    module, function = name.split(":")
    try:
        value = getattr(import_module(module), function)(**json.loads(arguments))
    except Skip as reason:
        print("\n" + json.dumps({"skip": str(reason)}))
    else:
        print("\n" + json.dumps({"value": value}))


if __name__ == "__main__":
    _answer(*sys.argv[1:])
