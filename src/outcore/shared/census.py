"""Who holds what: every shared array on this machine, and the processes that have it.

Reads from : shared.holders, shared.looking; shared.travel and shared.mailbox for what is on its way
Hands to   : users, as ``oc.segments``; cli.shm

Guarantees
- What is listed exists: the kernel is asked, no book is kept. Memory whose makers were all killed is gone,
  and so is not listed.
- Looking changes nothing for anybody, but that this process lets go of what others have received.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from outcore.budget import format_bytes
from outcore.shared import mailbox, travel
from outcore.shared.header import HEADER_BYTES
from outcore.shared.holders import Holder, scan
from outcore.shared.looking import Look, inode_of, look_at_mapped, look_into, look_into_files
from outcore.shared.memory_limits import explain
from outcore.shared.segment import mapped_here


@dataclass(frozen=True, repr=False)
class SharedSegment:
    """One segment of shared memory, as `outcore.segments` found it.

    Attributes
    ----------
    nonce : str
        32 hexadecimal digits that no other segment has.
    nbytes : int
        Of the array, whether touched or not.
    allocated_bytes : int or None
        What it takes of the machine's memory; less than `nbytes` for arrays made with ``reserve=False``. None
        where the system does not tell.
    shape, dtype : tuple of int, dtype, or None
        Of the array that it was made for.
    made_at : str
        Where in the program: ``"load.py:12 in parse"``.
    made_by : int or None
        Process that made it, which may have ended.
    age_s : float or None
    frozen : bool or None
        Whether it can be written no more.
    holders : tuple
        A record for each process that has it: `pid`, `command`, `how` ("mapped r+", "mapped r", "mapped c",
        or "descriptor": it could map it), `pss_bytes` (its share of the memory that it has touched; a page
        that four processes use counts a quarter in each) and `process_pss_bytes` (the same for all memory of
        the process).
    travelling : int
        Handles that this process has sent and that nobody has received. They keep the memory.
    arrived : int
        Descriptors that children have sent to this process, whose handles it has not loaded. They too.
    path : str
        Its file, on systems where a segment needs one; holders other than this process are not known there.
    pss_bytes : int
        What all holders together have touched of it.
    """

    nonce: str
    nbytes: int
    allocated_bytes: int | None
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any] | None
    made_at: str
    made_by: int | None
    age_s: float | None
    frozen: bool | None
    holders: tuple[Holder, ...]
    travelling: int = 0
    arrived: int = 0
    path: str = ""

    @property
    def pss_bytes(self) -> int:
        """Sum over the holders, in which every page counts once."""
        return sum(holder.pss_bytes or 0 for holder in self.holders)

    def release(self) -> int:
        """Give up the handles on their way: those sent by this process, and those that wait for it.

        For handles that nobody will load any more, because a worker was killed or a queue dropped. The memory
        is freed if no array lives on it elsewhere. Loading such a handle after all gives an array that raises
        `SegmentGoneError` when it is used, unless somebody still has the memory.

        Returns
        -------
        int
            How many were given up.
        """
        if not self.nonce:
            return 0
        nonce, box = bytes.fromhex(self.nonce), mailbox.own()
        with box.lock:
            waiting = [number for number, arrival in box.arrivals.items() if arrival.nonce == nonce]
            for number in waiting:
                os.close(box.arrivals.pop(number).fd)
        return travel.release(nonce) + len(waiting)

    def __repr__(self) -> str:
        held = ", ".join(f"{holder.pid} ({holder.how})" for holder in self.holders) or "unknown processes"
        facts = [self.nonce[:8] or "?", str(self.shape), str(self.dtype), format_bytes(self.nbytes)]
        notes = [f"made at {self.made_at}", f"held by {held}"]
        notes += ["frozen"] * bool(self.frozen)
        notes += [f"{self.travelling} travelling"] * bool(self.travelling)
        notes += [f"{self.arrived} arrived"] * bool(self.arrived)
        return f"<SharedSegment {' '.join(facts)}, {', '.join(notes)}>"


def segments() -> list[SharedSegment]:
    """List the shared arrays on this machine, and who holds them.

    Returns
    -------
    list of SharedSegment
        Oldest first; of all processes that this user may look at.

    Raises
    ------
    HandleLimitError
        This process has no file descriptor left to look with.

    Notes
    -----
    Memory: none. The time is some 0.1 ms for each process and each array on this machine, and 50 ms for each
    GB that the holders have touched. A descriptor that a worker has left for its parent, and then ended, is
    known to the kernel only; in the parent this function takes it out first.

    Examples
    --------
    >>> s = oc.shared_empty((1000, 50), "f4")
    >>> mine = next(found for found in oc.segments() if found.shape == (1000, 50))
    >>> mine.nbytes, mine.holders[0].how, mine.frozen
    (200000, 'mapped r+', False)
    """
    box = mailbox.own()
    box.drain()
    box.forget_received()
    travelling = travel.travelling()
    arrived: dict[bytes, int] = {}
    with box.lock:
        for arrival in box.arrivals.values():
            arrived[arrival.nonce] = arrived.get(arrival.nonce, 0) + 1
    here = {segment.nonce: segment for segment in mapped_here()}
    try:
        mine = {inode_of(os.fstat(segment.fd)): segment for segment in here.values() if segment.fd >= 0}
        looks = [look_into(inode, seen, mine.get(inode)) for inode, seen in scan().items()]
        looks = [look for look in looks if look.exists]
        looks += look_into_files(here)
    except OSError as error:
        raise explain(error, 0, "listing the shared arrays") from error
    known = {look.header.nonce for look in looks if look.header is not None}
    looks += [look_at_mapped(segment) for nonce, segment in here.items() if nonce not in known]
    found = [_record(look, travelling, arrived) for look in looks]
    return sorted(found, key=lambda segment: -(segment.age_s or 0.0))


def _record(look: Look, travelling: dict[bytes, int], arrived: dict[bytes, int]) -> SharedSegment:
    header, holders = look.header, tuple(look.holders)
    if header is None:
        nbytes = max(look.mapped_bytes - HEADER_BYTES, 0)
        return SharedSegment("", nbytes, None, None, None, look.name, None, None, None, holders)
    return SharedSegment(
        nonce=header.nonce.hex(),
        nbytes=header.nbytes,
        allocated_bytes=look.allocated,
        shape=header.shape,
        dtype=header.dtype,
        made_at=header.site,
        made_by=header.pid,
        age_s=max(time.time_ns() - header.made_ns, 0) / 1e9,
        frozen=look.frozen,
        holders=holders,
        travelling=travelling.get(header.nonce, 0),
        arrived=arrived.get(header.nonce, 0),
        path=look.path,
    )
