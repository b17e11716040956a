"""Shared memory that is refused before it is touched, and what the refusals say.

Reads from : budget
Hands to   : shared.memfd, shared.named
"""

from __future__ import annotations

import errno

from outcore import budget
from outcore.errors import HandleLimitError, MemoryBudgetError

_SPARE_BYTES = 1 << 21
#: Errors of Windows: not enough memory, not enough quota, the paging file is too small.
_WINDOWS = (8, 14, 1816, 1455)


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
    # The kernel's lists of the pages, twice for another process that maps them, are charged like the pages.
    tables = nbytes // 128 + _SPARE_BYTES
    if nbytes + tables > found.free_bytes:
        sizes = (nbytes, tables, found.free_bytes, found.limit_bytes)
        needed, kernel, free, limit = map(budget.format_bytes, sizes)
        raise MemoryBudgetError(
            f"{what} needs {needed} of shared memory and {kernel} to manage it; {free} of {limit} are free.\n"
            "Nothing was allocated. Let go of other arrays (outcore shm lists the shared ones), use a smaller"
            " dtype,\nor, for an array of which only parts will be used, oc.shared_empty(..., reserve=False)."
        )


def explain(error: OSError, nbytes: int, what: str) -> OSError | MemoryBudgetError:
    """Turn what the system says into what the user can do; what cannot be explained stays as it is."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        own = error.errno == errno.EMFILE
        used = f"all {_limit()} of this process" if own else "all of this machine"
        raised = "ulimit -n 65536, or\nresource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))"
        raised = raised if own else "sysctl fs.file-max"
        return HandleLimitError(
            error.errno,
            f"{what} needs a file descriptor; {used} are in use.\n"
            "Each shared array needs one, a slice of another array none: put many small arrays into one\n"
            f"oc.shared_empty((n, ...)), or raise the limit: {raised}.",
        )
    if error.errno in (errno.ENOMEM, errno.ENOSPC, errno.EFBIG) or getattr(error, "winerror", 0) in _WINDOWS:
        needed = f"{what} needs {budget.format_bytes(nbytes)} of shared memory" if nbytes else what
        return MemoryBudgetError(
            f"{needed}: the system has no such room ({error.strerror}).\n"
            "Nothing was kept. Let go of other arrays: outcore shm lists the shared ones. Where there are\n"
            "tens of thousands of them, the number of maps may be what ends: sysctl vm.max_map_count."
        )
    return error


def _limit() -> int | str:
    try:
        import resource
    except ImportError:  # Windows
        return "the handles"
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
