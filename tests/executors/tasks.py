"""Functions that the tests run as tasks, in whatever process."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from outcore.executors.choosing import choose
from outcore.settings import current


def item(placed: Any, key: Any) -> Any:
    return placed[key]


def add(placed: Any, number: int) -> float:
    return float(placed["x"].sum()) + number


def times(placed: Any, factor: float) -> Any:
    return {"product": placed["x"] * factor, "who": os.getpid()}


class TwoPartError(Exception):
    """Pickles, and cannot be loaded: its `args` are not those of its __init__."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")

    def __reduce__(self) -> Any:
        return TwoPartError, self.args


def fail(placed: Any, kind: str) -> None:
    if kind == "value":
        raise ValueError("three is too many")
    if kind == "pickles badly":
        raise TwoPartError("here", "because")
    if kind == "does not pickle":
        error = RuntimeError("holds a lock")
        error.lock = __import__("threading").Lock()
        raise error
    if kind == "exit":
        sys.exit(7)


def surroundings(placed: Any) -> dict[str, Any]:
    import threadpoolctl

    blas = [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    settings = current()
    return {
        "memory": settings.memory,
        "executor": settings.executor,
        "blas": blas,
        "nested": choose().n_workers,
        "progress": settings.progress,
        "writable": placed["x"].flags.writeable,
    }


def note(placed: Any, index: int, pause_s: float = 0.0) -> int:
    """Leave a sign of having begun, and one of having ended."""
    Path(placed["folder"], f"{index}.begun").touch()
    time.sleep(pause_s)
    Path(placed["folder"], f"{index}.ended").touch()
    return index


def die(placed: Any, index: int, times_: int, how: str) -> tuple[int, int]:
    """End this process the first times that this is called for an index."""
    for attempt in range(times_):
        try:
            os.close(os.open(Path(placed["folder"], f"{index}-{attempt}"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(60)
    return index, int(np.asarray(placed["x"]).sum())


def process_id(placed: Any, index: int = 0) -> int:
    return os.getpid()


def doubled_in_place(placed: Any, state: float) -> Any:
    made = np.full(100_000, state)
    made *= 2
    return made


def signals(placed: Any) -> Any:
    return signal.pthread_sigmask(signal.SIG_BLOCK, set()), signal.getsignal(signal.SIGINT)


def environment(placed: Any, name: str) -> Any:
    return os.environ.get(name)
