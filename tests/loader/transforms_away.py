"""Transforms that tests run in worker processes."""

from __future__ import annotations

import os
import signal
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np

Pair = namedtuple("Pair", "x y")


def same(batch: Any, rng: np.random.Generator) -> Any:
    return batch


def noisy(batch: Any, rng: np.random.Generator) -> Any:
    """In place, and random."""
    x, y = batch
    x += rng.normal(size=x.shape).astype(x.dtype)
    return x, y[rng.permutation(len(y))]


def doubled(batch: Any, rng: np.random.Generator) -> Any:
    batch *= 2
    return batch


def who(batch: Any, rng: np.random.Generator) -> Any:
    return np.full(len(batch), os.getpid())


def counted(batch: Any, rng: np.random.Generator) -> Any:
    """Return the batch, and how many descriptors this process has."""
    return batch, np.array([len(os.listdir("/proc/self/fd"))])


def failing(batch: Any, rng: np.random.Generator) -> Any:
    if batch[0] == 13:
        raise ZeroDivisionError("thirteen")
    return who(batch, rng)


def facts(batch: Any, rng: np.random.Generator) -> Any:
    """What a transform may count on."""
    flags = [type(batch) is np.ndarray, batch.flags.writeable, batch.flags.owndata, batch.flags.c_contiguous]
    return np.array(flags)


class Kept:
    """Returns the batch before."""

    def __init__(self) -> None:
        self.before: Any = np.zeros(1)

    def __call__(self, batch: Any, rng: np.random.Generator) -> Any:
        before, self.before = self.before, batch
        return before


class Table:
    def __init__(self, table: Any) -> None:
        self.table = table

    def __call__(self, batch: Any, rng: np.random.Generator) -> Any:
        return self.table[batch]


def shaped(batch: Any, rng: np.random.Generator) -> Any:
    """Return one of many things."""
    x, which = batch
    return list(shapes(x).values())[int(which)]


def shapes(x: Any) -> dict[str, Any]:
    """`x`: float32 of shape (n, 3)."""
    record = np.zeros(len(x), [("a", "i2"), ("b", "f8", 2), ("c", "S3")])
    record["b"] = x[:, :2]
    record["c"] = b"x"
    return {
        "array": x,
        "strided": x[::-2, 1:],
        "fortran": np.asfortranarray(x),
        "transposed": np.ascontiguousarray(x.T).T,
        "tuple": (x, x[:, 0], x[:, 1]),
        "dict": {"x": x, "w": x[:, 2]},
        "nested": ({"a": x, "b": [x[:, 0]]}, x[:, 1], None, "text"),
        "named": Pair(x, x[:, 0]),
        "record": record,
        "text": np.array([f"{v:.1f}" for v in x[:, 0]]),
        "dates": x[:, 0].astype("i8").astype("M8[s]"),
        "big endian": x.astype(">f8"),
        "bool": x > 1,
        "no rows": x[:0],
        "objects": np.array([None, *x[1:, 0].tolist()], object),
        "masked": np.ma.masked_greater(x[:, 0], 2.0),
        "number": 7,
        "one array twice": (x, x),
        "broadcast": np.broadcast_to(x[:1], x.shape),
    }


class Dies:
    """Changes the batch in place, and ends its process the first times that the batch begins with `at`."""

    def __init__(self, folder: Path, times: int, at: float = 7, how: str = "SIGKILL") -> None:
        self.folder, self.times, self.at, self.how = str(folder), times, at, how

    def __call__(self, batch: Any, rng: np.random.Generator) -> Any:
        at = batch.flat[0]
        batch *= 2
        batch += rng.integers(0, 1000, batch.shape)
        for attempt in range(self.times if at == self.at else 0):
            try:
                os.close(os.open(f"{self.folder}/{attempt}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            if self.how == "exit":
                os._exit(3)
            os.kill(os.getpid(), getattr(signal, self.how))
            time.sleep(60)
        return batch


class Waits:
    """Says that it has begun, and waits until `end` is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __call__(self, batch: Any, rng: np.random.Generator) -> Any:
        Path(self.folder, f"begun-{os.getpid()}").touch()
        while not Path(self.folder, "end").exists():
            time.sleep(0.01)
        return batch
