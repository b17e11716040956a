"""Memory of a process and of all that descend from it, where what several of them share counts once (PSS).

Hands to : loader_memory

PSS is what the kernel adds up over the pages of a process, each divided by how many processes map it: memory
of the interpreter, of libraries, of shared segments and of mapped files. Memory that nobody maps, such as a
segment known by its descriptor alone, is in no process's sum.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple


class Memory(NamedTuple):
    """Bytes: all, and without the pages of files, which the kernel takes back where memory is short."""

    pss: int
    without_files: int


class Peak:
    """Looks at a family again and again; the most of each kind it has seen."""

    def __init__(self) -> None:
        self.memory = Memory(0, 0)

    def __call__(self, pid: int) -> int:
        """Look once; return the PSS of the family."""
        found = memory(pid)
        self.memory = Memory(*map(max, self.memory, found))
        return found.pss


def memory(pid: int) -> Memory:
    """Add up over the process and its descendants; who ends meanwhile counts nothing."""
    each = [_own(one) for one in members(pid)]
    return Memory(sum(one.pss for one in each), sum(one.without_files for one in each))


def members(pid: int) -> list[int]:
    """Return the process and its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name of the program, in brackets, may hold anything; behind it are state and parent.
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found, new = [], [pid]
    while new:
        found += new
        new = [child for one in new for child in children.get(one, [])]
    return found


def _own(pid: int) -> Memory:
    sums: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, value, *_ = line.split()
            sums[name] = int(value) * 1024
    return Memory(sums.get("Pss:", 0), sums.get("Pss_Anon:", 0) + sums.get("Pss_Shmem:", 0))
