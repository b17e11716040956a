"""One BLAS thread for each task: tasks side by side are faster than one product on all cores.

Hands to   : the runners, in this process and in worker processes

Guarantees
- While any thread of this process is inside `one_blas_thread`, the BLAS of NumPy and SciPy use one thread for
  each call; when the last one leaves, each has as many as before the first one entered.
- Only BLAS: OpenMP programs, PyTorch's among them, keep their threads.
- A child that is forked meanwhile has as many as before, and can enter and leave by itself.

OpenBLAS has one number for the process, so nested and concurrent uses are counted; MKL, and OpenBLAS on top
of OpenMP, have one for each thread, so every thread that computes has to enter.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_Numbers = list[tuple[Any, int]]


class _Limit:
    """The count of users, and what to restore."""

    def __init__(self) -> None:
        # A fork inside takes it once more.
        self.lock = threading.RLock()
        self.users = 0
        self.of_process: list[Any] = []
        self.of_thread: list[Any] = []
        self.n_modules = 0
        self.before: _Numbers = []

    def look(self) -> None:
        """Find the libraries; takes a millisecond, so only if a module was imported since the last time."""
        if self.n_modules == len(sys.modules):
            return
        # Imported here: only products need them. SciPy's BLAS is another copy than NumPy's and has to be
        # loaded before it can be found.
        import scipy.linalg.blas
        from threadpoolctl import ThreadpoolController

        assert scipy.linalg.blas
        found = [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]
        self.of_thread = [lib for lib in found if _has_one_for_each_thread(lib)]
        self.of_process = [lib for lib in found if lib not in self.of_thread]
        self.n_modules = len(sys.modules)


_limit = _Limit()


def _has_one_for_each_thread(library: Any) -> bool:
    return library.internal_api == "mkl" or getattr(library, "threading_layer", None) == "openmp"


def _limited(libraries: list[Any]) -> _Numbers:
    """Set the number of each library to 1; return what it was."""
    before = [(library, library.get_num_threads()) for library in libraries]
    _set([(library, 1) for library in libraries])
    return before


def _set(numbers: _Numbers) -> None:
    for library, number in numbers:
        # From 3.8 on, threadpoolctl lets only the thread that was first set the number of the process.
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)
        library.set_num_threads(number)
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


def _hold() -> None:
    """Let no thread be in the middle of a change while the process is forked."""
    _limit.lock.acquire()


def _go_on() -> None:
    _limit.lock.release()


def _renew() -> None:
    """Begin with a count of its own in a forked child: the threads that are counted stayed in the parent."""
    global _limit
    held = _limit
    _limit = _Limit()
    if held.users:
        _set(held.before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_go_on, after_in_child=_renew)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread for each call of this thread while the block runs."""
    limit = _limit
    with limit.lock:
        if limit.users == 0:
            limit.look()
            limit.before = _limited(limit.of_process)
        limit.users += 1
        mine = _limited(limit.of_thread)
    try:
        yield
    finally:
        with limit.lock:
            _set(mine)
            limit.users -= 1
            if limit.users == 0:
                _set(limit.before)
