"""What the tests of shared arrays run in other processes; imports little, since every child imports it.

Hands to   : the tests of shared
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0  # for what must happen; reached only if it does not
METHODS = ("fork", "spawn", "forkserver")


def run_program(
    function: str, *arguments: object, module: str = "tests.shared.roles"
) -> subprocess.CompletedProcess[str]:
    """Run a function of a module as the main program of a fresh Python, with every warning an error."""
    code = f"import sys; from {module} import {function}; {function}(*sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        stdin=subprocess.DEVNULL,
    )


def wait_until(come: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Look until `come` returns something true, and return that; for what the kernel does in its own time."""
    deadline = time.monotonic() + patience_s
    while not (found := come()):
        assert time.monotonic() < deadline, f"in {patience_s} s: {what} did not come"
        time.sleep(0.005)
    return found


def inode(array: Any) -> int:
    """Return the number by which the kernel knows the memory of a shared array."""
    return os.fstat(array._segment.fd).st_ino


def holders(number: int) -> set[int]:
    """Return the processes that have the segment of that inode mapped or open."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended
            if f" {number} " in Path(f"/proc/{name}/maps").read_text():
                found.add(int(name))
            for fd in os.listdir(f"/proc/{name}/fd"):
                path = f"/proc/{name}/fd/{fd}"
                with contextlib.suppress(OSError):  # closed meanwhile
                    if os.readlink(path).startswith("/memfd:outcore:") and os.stat(path).st_ino == number:
                        found.add(int(name))
    return found


def fds() -> int:
    """Count the descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def facts(array: Any) -> tuple[Any, ...]:
    """Return what must be equal in another process, without any shared array in it."""
    flags = array.flags
    return (
        type(array).__name__,
        array.dtype,
        array.shape,
        array.strides if array.size else None,
        (flags.c_contiguous, flags.f_contiguous, flags.writeable, flags.owndata, flags.aligned),
        repr(array.tolist()),  # not tobytes(), which copies nothing between the fields of a structure
    )


# ---- tasks of a child -----------------------------------------------------------------------------


def serve(connection: Any) -> None:
    """Answer ``(function, arguments)`` until None comes."""
    while (task := connection.recv()) is not None:
        function, arguments = task
        connection.send(function(*arguments))


def facts_of_each(arrays: list[Any]) -> list[tuple[Any, ...]]:
    return [facts(array) for array in arrays]


def share_range(n: int) -> Any:
    return oc.share(np.arange(n))
