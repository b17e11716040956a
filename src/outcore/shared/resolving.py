"""From a handle to its segment.

Reads from : shared.segment, shared.memfd, shared.mailbox, shared.board
Hands to   : shared.sharedarray, shared.sharing

The ways, in this order:
1. the segment is mapped here already;
2. its descriptor was inherited by a process that was being started;
3. a process that has it open is asked through /proc/<pid>/fd, which that process does not notice;
4. its descriptor waits in this process's mailbox: whoever sent it may be dead.

Guarantees
- What is found is the very segment that was sent: its random number is compared.
- A handle that could not be received is still on its way, and can be tried again.
"""

from __future__ import annotations

import os

from outcore.errors import HandleLimitError, ReadOnlyError, SegmentGoneError
from outcore.shared import board, identity, mailbox, memfd, named, segment, travel
from outcore.shared.board import Ticket
from outcore.shared.segment import Place, Segment
from outcore.shared.travel import Handle


def resolve(handle: Handle, mode: str, *, strict: bool = False) -> Segment:
    """Map the segment that a handle names.

    Parameters
    ----------
    mode : {"r", "r+", "c"}
        "r+" becomes "r" where the segment was frozen on the way ...
    strict : bool
        ... unless this is given.

    Raises
    ------
    SegmentGoneError
        It is gone, or out of reach.
    HandleLimitError
        No descriptor is left.
    """
    place, ticket = Place(*handle.place), Ticket(*handle.ticket)
    box = mailbox.own()
    box.drain()
    inherited = -1 if handle.inherited is None else handle.inherited.detach()
    page = -1
    try:
        page = board.reach(ticket)  # first: the sender may end meanwhile
        found = _find(place, mode, inherited, strict)
        if page < 0 or found is None:
            # A living sender takes back what is not needed, so nothing is taken out before it has to be.
            found = _collect(box, place, ticket, mode, strict, found)
        if found is None:
            raise _gone(place, ticket, box)
        board.received(page, ticket)
    finally:
        for fd in (inherited, page):
            if fd >= 0:
                os.close(fd)
    travel.sweep()
    return found


def _find(place: Place, mode: str, inherited: int, strict: bool) -> Segment | None:
    if mode != "c" and (here := segment.find(place.nonce, writable=mode == "r+")) is not None:
        return here
    if place.fd < 0:
        return named.attach(place.path, place.nonce, mode)
    ways = [f"/proc/self/fd/{inherited}"] if inherited >= 0 else []
    ways.append(f"/proc/{place.owner[0]}/fd/{place.fd}")
    return next(filter(None, (_attach(way, place.nonce, mode, strict) for way in ways)), None)


def _collect(
    box: mailbox.Mailbox, place: Place, ticket: Ticket, mode: str, strict: bool, found: Segment | None
) -> Segment | None:
    """Take the descriptor out of the mailbox, and use it unless the segment was found already."""
    try:
        arrival = box.collect(ticket)
    except HandleLimitError:
        if found is None:
            raise
        return found
    if arrival is None:
        return found
    if found is None:
        try:
            found = _attach(f"/proc/self/fd/{arrival.fd}", place.nonce, mode, strict)
        except BaseException:
            box.put_back(arrival)
            raise
    board.received(arrival.sender.page, ticket)
    os.close(arrival.fd)
    return found


def _attach(path: str, nonce: bytes, mode: str, strict: bool) -> Segment | None:
    try:
        return memfd.attach(path, nonce, mode)
    except ReadOnlyError:
        if strict:
            raise
        return memfd.attach(path, nonce, "r")


def _gone(place: Place, ticket: Ticket, box: mailbox.Mailbox) -> SegmentGoneError:
    pid = place.owner[0]
    if ticket.number in box.dropped:
        why = (
            "its descriptor came while this process had none left to take it.\n"
            "Raise the limit (ulimit -n 65536) and run it again."
        )
    elif identity.is_alive(place.owner):
        why = (
            f"process {pid} lives, but has let go of it, or its descriptors may not be opened from here.\n"
            "Keep the array in its process until it is used here; if this is another container or another\n"
            "user, write a file instead: oc.convert."
        )
    else:
        why = (
            f"process {pid} ended before the array was received here, and was not a child of this process.\n"
            "Let the parent make the array (oc.shared_empty) and the children fill it, or send results to\n"
            "the parent first."
        )
    return SegmentGoneError(f"the shared array of process {pid} is gone: {why}")
