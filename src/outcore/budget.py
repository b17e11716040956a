"""How much memory one operation may use, and the error when it does not fit.

Reads from : the options in force, the control group (v1 and v2), /proc/meminfo
Hands to   : everything that allocates

The default budget is half of what is free. "Free" is the smaller of what the machine has left and
what every control group above this process has left; page cache counts as free in both, because
the kernel gives it back. The figures are read anew for each operation that needs more than a small part of
what was free a moment ago: another process may have taken the memory since.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from outcore.errors import MemoryBudgetError
from outcore.settings import MemoryLike, current, parse_memory
from outcore.settings import parse_bytes as parse_bytes

#: Used where the operating system tells nothing.
UNKNOWN_FREE_BYTES = 1 << 31
#: For how long one look at the free memory serves requests that are small beside it, and how small.
LOOK_S = 1.0
PLENTY = 16
_seen: tuple[float, int] = (float("-inf"), 0)


@dataclass(frozen=True)
class Memory:
    """What this process could have: the limit it lives under and how much of it is free (bytes)."""

    limit_bytes: int
    free_bytes: int


def format_bytes(count: float) -> str:
    """Write a byte count as people read it, in powers of 1000.

    Examples
    --------
    >>> format_bytes(57_600_000_000), format_bytes(900)
    ('57.6 GB', '900 B')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{int(count)} B"


def resolve(memory: MemoryLike | None = None) -> int:
    """Return the budget in bytes for one operation.

    Parameters
    ----------
    memory : int, float or str, optional
        Bytes, text (``"4GB"``) or a share of the limit (a fraction up to 1). None takes the value of
        ``oc.options`` and, where that is not set, half of the memory that is free now.

    Raises
    ------
    OptionError
        `memory` is not positive, not a number or not understood.
    """
    if memory is None:
        memory = current().memory
    if memory is None:
        return max(machine_memory().free_bytes // 2, 1)
    amount = parse_memory(memory)
    return amount if isinstance(amount, int) else max(int(machine_memory().limit_bytes * amount), 1)


def require(what: str, parts: dict[str, int], memory: MemoryLike | None = None, *, cure: str = "") -> int:
    """Check before the work that the sum of `parts` fits the budget; return the budget.

    Parameters
    ----------
    what : str
        The operation as the user typed it, such as ``"take(1000000 rows)"``.
    parts : dict of str to int
        What the bytes are for; the sum is what the operation needs at its peak.
    memory : int, float or str, optional
        As in `resolve`.
    cure : str, optional
        What to do besides raising the budget, a full sentence.

    Raises
    ------
    MemoryBudgetError
        With both numbers, the sum behind the first, and what to type.
    """
    budget = resolve(memory)
    needed = sum(parts.values())
    if needed > budget:
        terms = " + ".join(f"{name} {format_bytes(size)}" for name, size in parts.items())
        raise MemoryBudgetError(
            f"{what} needs {format_bytes(needed)}; the budget is {format_bytes(budget)}.\n"
            f"  {terms}\n"
            f'{cure + " " if cure else ""}Raise the budget with memory="{-(-needed // 10**6)}MB"'
            " if the machine has it."
        )
    return budget


def surely_fits(needed: int) -> bool:
    """Whether a look at most `LOOK_S` ago showed `PLENTY` times `needed` bytes free.

    Looking takes half a millisecond, as long as copying five megabytes. Where this says no, `require`
    looks anew; an explicit budget is always compared.
    """
    global _seen
    now = time.monotonic()
    if now - _seen[0] > LOOK_S:
        _seen = (now, machine_memory().free_bytes)
    return needed * PLENTY <= _seen[1]


def machine_memory() -> Memory:
    """Read the limit and the free bytes of the machine and of every control group above us."""
    total, free = _machine()
    for limit, used in _control_groups():
        total = min(total, limit)
        free = min(free, max(limit - used, 0))
    return Memory(total, free)


def _machine() -> tuple[int, int]:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        total = int(fields["MemTotal"].split()[0]) * 1024
        return total, int(fields.get("MemAvailable", fields["MemFree"]).split()[0]) * 1024
    try:  # macOS has these two and no /proc; Windows has neither
        page = os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * page
    except (AttributeError, ValueError, OSError):
        return 2 * UNKNOWN_FREE_BYTES, UNKNOWN_FREE_BYTES
    return total, total // 2


def _control_groups(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> list[tuple[int, int]]:
    """List (limit, bytes in use that cannot be reclaimed) for each limited group above this process."""
    if not proc.exists():
        return []
    groups = []
    for line in proc.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file", "active_file")
        elif "memory" in controllers.split(","):
            base = root / "memory"
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
                "total_active_file",
            )
        else:
            continue
        # A container often sees its own group mounted as the root: then the path below it is
        # missing, and the root itself carries the limit.
        here = base / path.lstrip("/")
        for folder in [here, *here.parents] if here != base else [base]:
            group = _read_group(folder, *names)
            if group is not None:
                groups.append(group)
            if folder == base:
                break
    return groups


def _read_group(folder: Path, limit: str, usage: str, *cache: str) -> tuple[int, int] | None:
    try:
        text = (folder / limit).read_text().strip()
        if text == "max":
            return None
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        # Not a memory group of ours to read (the root of v2 has no limit file, for one): no limit known here.
        return None
    return int(text), max(used - sum(int(stat.get(name, 0)) for name in cache), 0)
