"""Memory of a process and of all that descend from it, where what several of them share counts once (PSS).

Hands to : loader_memory

PSS is what the kernel adds up over the pages of a process, each divided by how many processes map it: memory
of the interpreter, of libraries, of shared segments and of mapped files. Memory that nobody maps, such as a
segment known by its descriptor alone, is in no process's sum.
"""

from __future__ import annotations

import contextlib
from pathlib import Path


def pss_bytes(pid: int) -> int:
    """Add up over the process and its descendants; who ends meanwhile counts nothing."""
    return sum(_own_bytes(one) for one in members(pid))


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


def _own_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
