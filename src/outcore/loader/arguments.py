"""The arguments of a loader, checked one by one.

Hands to   : loader.loading
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from outcore.errors import OptionError
from outcore.executors.choosing import usable_cores

SHUFFLES = ("block", True, False)
WORKER_TYPES = ("thread", "process")
#: More threads than this do not read or copy faster on any machine met so far.
MOST_THREADS = 2
#: Transforms of smaller batches are faster in one thread than in two, which wait for the interpreter's lock
#: between short calls of NumPy.
SMALL_BYTES = 1 << 20


@dataclass(frozen=True)
class Options:
    """What the user asked for, checked; attributes as the arguments of `outcore.Loader`."""

    batch_size: int
    shuffle: str | bool
    seed: int
    drop_last: bool
    rank: int
    world_size: int
    num_workers: int | None
    worker_type: str
    prefetch: int | None
    block_size: int | None
    transforms: tuple[Callable[..., Any], ...]


def checked(
    *,
    batch_size: Any,
    shuffle: Any,
    seed: Any,
    drop_last: Any,
    rank: Any,
    world_size: Any,
    num_workers: Any,
    worker_type: Any,
    prefetch: Any,
    block_size: Any,
    transform: Any,
) -> Options:
    """Check what can be checked without the arrays.

    Raises
    ------
    OptionError
        The first argument that makes no sense.
    """
    if isinstance(shuffle, np.bool_):
        shuffle = bool(shuffle)
    if not any(shuffle is known or (isinstance(shuffle, str) and shuffle == known) for known in SHUFFLES):
        raise OptionError(
            f"shuffle={shuffle!r} is none of 'block', True and False.\n"
            "Use 'block' (read in order, shuffled in buffers), True (every order is possible) or False."
        )
    if worker_type not in WORKER_TYPES:
        raise OptionError(
            f"worker_type={worker_type!r} is neither 'thread' nor 'process'.\n"
            "Use 'process' for transforms that are Python code and 'thread' otherwise."
        )
    if drop_last not in (True, False):
        raise OptionError(f"drop_last={drop_last!r} is neither True nor False.")
    ranks = count("world_size", world_size, 1)
    this = count("rank", rank, 0)
    if this >= ranks:
        raise OptionError(
            f"rank={this} is not below world_size={ranks}: ranks are numbered from 0.\n"
            f"Use rank={ranks - 1} or less, or world_size={this + 1} or more."
        )
    n_workers = None if num_workers is None else count("num_workers", num_workers, 0)
    if worker_type == "process" and n_workers == 0:
        raise OptionError(
            "num_workers=0 and worker_type='process' contradict each other.\nUse num_workers=1 or more, or "
            "worker_type='thread'."
        )
    transforms = _transforms(transform)
    if worker_type == "process" and not transforms:
        raise OptionError(
            "worker_type='process' without a transform: only transforms run in processes, rows are read by"
            " threads.\nGive transform=..., or leave worker_type out."
        )
    return Options(
        count("batch_size", batch_size, 1),
        shuffle,
        count("seed", seed, 0),
        bool(drop_last),
        this,
        ranks,
        n_workers,
        worker_type,
        None if prefetch is None else count("prefetch", prefetch, 1),
        None if block_size is None else count("block_size", block_size, 1),
        transforms,
    )


def _transforms(transform: Any) -> tuple[Callable[..., Any], ...]:
    if transform is None:
        return ()
    listed = (
        tuple(transform)
        if isinstance(transform, Sequence) and not isinstance(transform, str)
        else (transform,)
    )
    for one in listed:
        if not callable(one):
            raise OptionError(
                f"transform={one!r} cannot be called.\n"
                "Give transform(batch, rng) -> batch, such as oc.transforms.fillna(0), or a list of such."
            )
    return listed


def count(name: str, value: Any, least: int) -> int:
    """Check a number.

    Raises
    ------
    OptionError
        Not a whole one, or below `least`.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise OptionError(f"{name}={value!r} is not a whole number of {least} or more.")
    return int(value)


def default_workers(worker_type: str, batch_bytes: int, *, transforms: bool) -> int:
    """Choose how many workers make batches of `batch_bytes`."""
    if worker_type == "thread" and transforms and batch_bytes < SMALL_BYTES:
        return 1
    return min(usable_cores(), MOST_THREADS)
