"""A task in a process that we did not start: a worker of the user's executor or cluster.

Reads from : executors.parcel, executors.recent
Hands to   : executors.foreign, executors.dask_client, which send it there

Guarantees
- Assumes nothing but that outcore can be imported; leaves BLAS as it found it.
- A worker that cannot reach the caller's memory says so, and is then sent the data themselves.
"""

from __future__ import annotations

import functools
import os
import platform
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from outcore.errors import ExecutorError, SegmentGoneError
from outcore.executors.blas_threads import one_blas_thread
from outcore.executors.outcome import Failure, perform
from outcore.executors.parcel import Parcel
from outcore.executors.recent import recent
from outcore.settings import Settings, adopt


@dataclass(frozen=True)
class Errand:
    """One task, but for the object that is placed.

    Attributes
    ----------
    runner : str
        Which runner sends it.
    number : int
        Which of the objects that it has placed.
    home : str
        Machine and user of the caller.
    function : callable
    small : tuple
    settings : Settings
    """

    runner: str
    number: int
    home: str
    function: Callable[..., Any]
    small: tuple[Any, ...]
    settings: Settings


@dataclass(frozen=True)
class Unreachable:
    """What a worker answers that cannot open a parcel in shared memory."""

    where: str


class Dropped:
    """What a worker answers that was told not to begin any more."""


@functools.cache
def machine() -> str:
    """Return what processes have in common that can open each other's memory: machine, process ids, user."""
    parts = [platform.node(), str(os.getuid() if hasattr(os, "getuid") else 0)]
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            parts.append(boot.read().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass  # not Linux
    return "/".join(parts)


def run(errand: Errand, parcel: Parcel) -> Parcel | Failure | Unreachable | Dropped:
    """Do what was sent; called by the worker."""
    with _dropping:
        if errand.runner in _dropped:
            return Dropped()
    return copy_context().run(_run, errand, parcel)


def _run(errand: Errand, parcel: Parcel) -> Parcel | Failure | Unreachable:
    adopt(errand.settings)
    here = errand.home == machine()
    if parcel.shared and not here:
        return Unreachable(platform.node())
    try:
        placed = recent.borrow(errand.runner, errand.number, lambda: parcel.open(writable=False))
    except SegmentGoneError:
        return Unreachable(platform.node())
    except BaseException as error:  # whatever importing a module of the user raises
        return Failure.of(error)
    try:
        with one_blas_thread():
            outcome = perform(errand.function, placed, errand.small, share=here)
    finally:
        recent.give_back(errand.runner, errand.number)
    return outcome if here else _explained(outcome)


def _explained(outcome: Parcel | Failure) -> Parcel | Failure:
    """Say what to do where a task on another machine wants the caller's memory."""
    if isinstance(outcome, Failure) and isinstance(error := outcome.error(), SegmentGoneError):
        return Failure.of(
            ExecutorError(
                f"a worker on {platform.node()} cannot reach an array in the memory of the caller's machine:"
                f" {str(error).splitlines()[0]}\n"
                'Write it to a file that every worker sees, oc.convert(X, "/shared/x.npy"), and use that.'
            )
        )
    return outcome


#: Runners whose tasks shall not begin here any more; the newest ones.
_dropped: deque[str] = deque(maxlen=64)
_dropping = threading.Lock()


def drop(runner: str) -> int:
    """Begin no more task of a runner in this process; return how many run."""
    with _dropping:
        if runner not in _dropped:
            _dropped.append(runner)
    running = recent.users(runner)
    recent.drop(runner)
    return running
