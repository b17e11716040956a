"""Which process has which segment: what /proc says, without asking any of them.

Reads from : /proc/<pid>/fd, maps, smaps, cmdline
Hands to   : shared.looking, shared.census

Guarantees
- A process that ends meanwhile, or is not ours to look at, is passed over; nothing else is.
- Only holders are looked at closely: smaps, for which the kernel walks all page tables of a process, is read
  for those that have a segment mapped.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field

from outcore.shared.memfd import PREFIX

#: Device and number of a file: the same for every descriptor and every map of one segment.
Inode = tuple[int, int]
#: The process has ended, or belongs to somebody else.
GONE = (FileNotFoundError, PermissionError, ProcessLookupError)

_NAME = f"/memfd:{PREFIX}"
_RANGE = rb"^([0-9a-f]+-[0-9a-f]+) (\S{4}) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) +"
_MAP = re.compile(_RANGE + re.escape(_NAME).encode() + rb"(.*)$", re.MULTILINE)
# In smaps each of these lines is followed by others, "Name:  value", of which one is the PSS.
_MAP_PSS = re.compile(
    _RANGE + re.escape(_NAME).encode() + rb".*\n(?:[A-Z].*\n)*?Pss: +(\d+) kB", re.MULTILINE
)
_PSS = re.compile(rb"^Pss: +(\d+) kB", re.MULTILINE)
_DELETED = " (deleted)"


@dataclass(frozen=True)
class Holder:
    """A process that has a segment.

    Attributes
    ----------
    pid : int
    command : str
        As it was started.
    how : str
        "mapped r+", "mapped r", "mapped c" (or several, "mapped r+/c"); "descriptor" if it could map it.
    pss_bytes : int or None
        Its share of the segment's memory: a page that four processes use counts a quarter in each. Pages that
        it never touched do not count. None where the system does not tell.
    process_pss_bytes : int or None
        The same for all that the process has in memory; None also where nothing is mapped.
    """

    pid: int
    command: str
    how: str
    pss_bytes: int | None = None
    process_pss_bytes: int | None = None


@dataclass
class Sighting:
    """A segment that some process has, and the ways to look into it."""

    name: str
    mapped_bytes: int = 0
    #: ``/proc/<pid>/fd/<n>`` ...
    descriptors: list[str] = field(default_factory=list)
    #: ... and, since a map may outlive them, folder of the process, and addresses as written in map_files.
    maps: list[tuple[str, str]] = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)


def scan(proc: str = "/proc") -> dict[Inode, Sighting]:
    """Find all segments without a name, and all processes that have them; none where there is no /proc."""
    found: dict[Inode, Sighting] = {}
    try:
        pids = sorted(int(name) for name in os.listdir(proc) if name.isdigit())
    except FileNotFoundError:
        return found
    for pid in pids:
        with contextlib.suppress(*GONE):
            _look(f"{proc}/{pid}", pid, found)
    return found


def _look(folder: str, pid: int, found: dict[Inode, Sighting]) -> None:
    modes: dict[Inode, set[str]] = {}
    for number in os.listdir(f"{folder}/fd"):
        path = f"{folder}/fd/{number}"
        with contextlib.suppress(*GONE):  # closed since it was listed
            name = os.readlink(path)
            if name.startswith(_NAME):
                status = os.stat(path)
                inode = status.st_dev, status.st_ino
                modes.setdefault(inode, set())
                found.setdefault(inode, Sighting(_site(name))).descriptors.append(path)
    with contextlib.suppress(*GONE):
        for match in _MAP.finditer(_read(f"{folder}/maps")):
            addresses, access, offset, *_, name_bytes = match.groups()
            inode = _inode(match)
            modes.setdefault(inode, set()).add(_mode(access))
            seen = found.setdefault(inode, Sighting(_site(_NAME + os.fsdecode(name_bytes))))
            if int(offset, 16) == 0:
                start, _, end = addresses.decode().partition("-")
                seen.mapped_bytes = max(seen.mapped_bytes, int(end, 16) - int(start, 16))
                seen.maps.append((folder, f"{start}-{end}"))
    if not modes:
        return
    shares, total = _pss(folder) if any(modes.values()) else ({}, None)
    command = _command(folder)
    for inode, kinds in modes.items():
        pss = None if total is None or not kinds else shares.get(inode, 0)
        found[inode].holders.append(Holder(pid, command, _how(kinds), pss, total if kinds else None))


def _pss(folder: str) -> tuple[dict[Inode, int], int | None]:
    try:
        text = _read(f"{folder}/smaps")
    except GONE:
        return {}, None
    shares: dict[Inode, int] = {}
    for match in _MAP_PSS.finditer(text):
        inode = _inode(match)
        shares[inode] = shares.get(inode, 0) + 1024 * int(match[7])
    return shares, 1024 * sum(int(amount) for amount in _PSS.findall(text))


def _inode(match: re.Match[bytes]) -> Inode:
    return os.makedev(int(match[4], 16), int(match[5], 16)), int(match[6])


def _mode(access: bytes) -> str:
    return "c" if access.endswith(b"p") else "r+" if b"w" in access else "r"


def _how(kinds: set[str]) -> str:
    return "mapped " + "/".join(kind for kind in ("r+", "r", "c") if kind in kinds) if kinds else "descriptor"


def _site(name: str) -> str:
    return name.removeprefix(_NAME).removesuffix(_DELETED)


def _command(folder: str) -> str:
    try:
        return " ".join(os.fsdecode(_read(f"{folder}/cmdline")).replace("\0", " ").split())
    except GONE:
        return ""


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
