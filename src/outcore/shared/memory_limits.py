"""Shared memory that is refused before it is touched, and what the refusals say.

Reads from : budget
Hands to   : shared.memfd, shared.named
"""

from __future__ import annotations

import errno
import os

from outcore import budget
from outcore.errors import HandleLimitError, MemoryBudgetError


def check_room(nbytes: int, what: str) -> None:
    """Refuse what does not fit into the free memory of the machine and its control groups.

    Raises
    ------
    MemoryBudgetError
        It would not fit; nothing was touched.
    """
    # The kernel would say yes, and end some process when the memory is touched.
    if budget.surely_fits(nbytes):
        return
    found = budget.machine_memory()
    if nbytes > found.free_bytes:
        needed, free, limit = map(budget.format_bytes, (nbytes, found.free_bytes, found.limit_bytes))
        raise MemoryBudgetError(
            f"{what} needs {needed} of shared memory; {free} of {limit} are free.\n"
            "Nothing was allocated. Let go of other arrays (outcore shm lists the shared ones), use a smaller"
            " dtype,\nor, for an array of which only parts will be used, oc.shared_empty(..., reserve=False)."
        )


def explain(error: OSError, nbytes: int, what: str) -> OSError | MemoryBudgetError:
    """Turn what the system says into what the user can do; what cannot be explained stays as it is."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return HandleLimitError(
            error.errno,
            f"{what} needs a file descriptor; all {_limit()} of this process are in use.\n"
            "Each shared array needs one, a slice of another array none: put many small arrays into one\n"
            "oc.shared_empty((n, ...)), or raise the limit: ulimit -n 65536, or\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536)).",
        )
    if error.errno in (errno.ENOMEM, errno.ENOSPC):
        return MemoryBudgetError(
            f"{what} needs {budget.format_bytes(nbytes)} of shared memory; the system has no such room"
            f" ({os.strerror(error.errno)}).\nNothing was kept. Let go of other arrays; outcore shm lists the"
            " shared ones."
        )
    return error


def _limit() -> int | str:
    try:
        import resource
    except ImportError:  # Windows
        return "the handles"
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
