"""Look into a segment: what its first page, its size and its seals say.

Reads from : shared.holders, shared.named, the maps of this process
Hands to   : shared.census

Guarantees
- Segments are opened to read, for a moment, and nothing in them is executed.
- Memory that is there is told of, even if nothing about it can be read.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from outcore.shared import memfd, named
from outcore.shared.header import HEADER_BYTES, Header, unpack
from outcore.shared.holders import GONE, Holder, Inode, Sighting
from outcore.shared.segment import Segment


@dataclass
class Look:
    """What was found out about one segment."""

    header: Header | None
    allocated: int | None
    frozen: bool | None
    holders: list[Holder]
    name: str = ""  # stands for what a header would tell
    mapped_bytes: int = 0
    path: str = ""
    exists: bool = True  # False: gone meanwhile, or no segment, only named like one


def look_into(inode: Inode, seen: Sighting, mine: Segment | None) -> Look:
    """Look into a segment, by this process's own descriptor or else by any descriptor or map."""
    look = Look(None, None, None, seen.holders, seen.name, seen.mapped_bytes)
    if mine is not None:
        look.header = mine.header
        look.allocated, look.frozen = 512 * os.fstat(mine.fd).st_blocks, memfd.is_frozen(mine.fd)
        return look
    look.exists = False
    ways = [*seen.descriptors, *(f"{folder}/map_files/{addresses}" for folder, addresses in seen.maps)]
    for path in ways:
        try:
            # Not blocking, not controlling: by now the number may be that of a pipe or a terminal.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except GONE as error:
            look.exists |= isinstance(error, PermissionError)
            continue
        try:
            status = os.fstat(fd)
            if inode_of(status) != inode:
                continue
            look.header = unpack(os.pread(fd, HEADER_BYTES, 0))
            look.allocated, look.frozen = 512 * status.st_blocks, memfd.is_frozen(fd)
        finally:
            os.close(fd)
        look.exists = look.header is not None
        return look
    for folder, addresses in seen.maps if look.exists else ():
        # Only the map is left, and without privileges map_files cannot be opened.
        try:
            page = _memory(folder, int(addresses.partition("-")[0], 16))
        except PermissionError:
            continue
        if page:
            look.header = unpack(page)
            look.exists = look.header is not None
            return look
    return look


def inode_of(status: os.stat_result) -> Inode:
    """Return which file it is that has this status."""
    return status.st_dev, status.st_ino


def _memory(folder: str, address: int) -> bytes:
    """Read the first page of a map; nothing if it is there no more."""
    try:
        with open(f"{folder}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(HEADER_BYTES)
    except (FileNotFoundError, ProcessLookupError):
        return b""
    except OSError as error:
        if error.errno != errno.EIO:  # not mapped any more
            raise
        return b""


def look_into_files(here: dict[bytes, Segment]) -> list[Look]:
    """Look into the segments that have a file, for systems without memfd."""
    found = []
    if named.files():
        named.sweep()
    for path in named.files():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # its last holder has let go of it
        try:
            header, status = unpack(os.pread(fd, HEADER_BYTES, 0)), os.fstat(fd)
        finally:
            os.close(fd)
        if header is not None:
            mine = [_own_hold(here[header.nonce])] if header.nonce in here else []
            found.append(Look(header, 512 * status.st_blocks, None, mine, path=str(path)))
    return found


def look_at_mapped(segment: Segment) -> Look:
    """Describe a segment of this process where the system does not tell who has it."""
    return Look(segment.header, None, None, [_own_hold(segment)], path=segment.path)


def _own_hold(segment: Segment) -> Holder:
    return Holder(os.getpid(), "this process", "mapped r+" if segment.writable else "mapped r")
