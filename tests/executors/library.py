"""What worker processes import for the tests: nothing that takes long."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import outcore as oc

D = 12


def call(placed: Any, *small: Any) -> Any:
    return placed[2](placed[0], placed[1])


def plus(a: int, b: int) -> int:
    return a + b


def say(a: int, b: int) -> None:
    print("on output", a, b, flush=True)
    print("on error", a, b, file=sys.stderr, flush=True)


def wait(placed: Any) -> None:
    os.write(1, b"working\n")  # in one piece: another worker writes to the same pipe
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if placed[0] == "sleep":
            time.sleep(600)


class Products(oc.Statistic[Any, Any]):
    """Sums that are rounded at each step, in an order that shows in the last bits."""

    def __init__(self, folder: str = "", dies_at: int = -1) -> None:
        self.folder, self.dies_at = folder, dies_at

    def zero(self) -> Any:
        return np.zeros((D, D)), np.zeros(D)

    def update(self, state: Any, block: Any) -> Any:
        self.die(block)
        x = block.values
        state[0][...] += (x * block.weights[:, None]).T @ x
        state[1][...] += np.sqrt(np.abs(x)).sum(axis=0) / 3
        return state

    def merge(self, state: Any, other: Any) -> Any:
        state[0][...] += other[0]
        state[1][...] += other[1]
        return state

    def die(self, block: Any) -> None:
        """Kill this process when it comes to a certain row for the first time."""
        if not block.start <= self.dies_at < block.start + len(block):
            return
        try:
            os.close(os.open(Path(self.folder, "died"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


def roots(rows: Any) -> Any:
    return np.sqrt(np.abs(rows)) @ np.linspace(0.1, 1.0, D)


class Sum(oc.Statistic[Any, Any]):
    def __init__(self, parameters: Any = None) -> None:
        self.parameters = parameters

    def zero(self) -> Any:
        return 0.0

    def update(self, state: Any, block: Any) -> Any:
        return state + block.rows.sum(axis=0)

    def merge(self, state: Any, other: Any) -> Any:
        return state + other
