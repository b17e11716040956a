"""Handles on their way: who sends one keeps the memory until somebody has received it.

Reads from : shared.sent
Hands to   : shared.sharedarray

Guarantees
- A handle that was pickled can be received as long as its sender lives, even if the sender has dropped
  the array; and by the sender's parent also if the sender is dead.
- Once it was received, the sender holds the memory no longer. It notices when it next sends or receives
  something; in a worker, also within a fraction of a second by itself.
- What nobody will receive any more is listed by `oc.segments`, and let go of by `release`.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import Any, NamedTuple

from outcore.shared import companion, identity
from outcore.shared.board import NO_TICKET
from outcore.shared.segment import Place, Segment
from outcore.shared.sent import Sent, SentByFiles

#: A server of children takes at most some 250 descriptors for one child.
MAX_INHERITED = 200


class Handle(NamedTuple):
    """What a pickle holds instead of data.

    Attributes
    ----------
    place : tuple
        The fields of a `Place`.
    ticket : tuple
        The fields of a `Ticket`.
    inherited : multiprocessing's DupFd or None
        The descriptor itself, for a child that is being started.
    """

    place: tuple[Any, ...]
    ticket: tuple[int, ...]
    inherited: Any = None


_sent: Sent | None = None
_making = threading.RLock()
_inherited: weakref.WeakKeyDictionary[Any, set[bytes]] = weakref.WeakKeyDictionary()


def send(segment: Segment) -> Handle:
    """Make a handle that will be received elsewhere, and keep the memory until then."""
    sent = _own_sent()
    ticket = sent.enter(segment)
    parent = identity.parent()
    if parent is not None and segment.fd >= 0:
        sent.mail(segment, ticket, parent)
    companion.attend(sweep)
    return Handle(_fields(segment.place), tuple(ticket), _inherit(segment))


def address(segment: Segment) -> Handle:
    """Make a handle that nobody waits for: it is good as long as this process has the array."""
    return Handle(_fields(segment.place), tuple(NO_TICKET))


def _fields(place: Place) -> tuple[Any, ...]:
    return (place.nonce, place.owner, place.fd, place.path)


def _inherit(segment: Segment) -> Any:
    """While a child is being started, let it inherit the descriptor."""
    context = sys.modules.get("multiprocessing.context")
    popen = None if context is None else context.get_spawning_popen()
    if segment.fd < 0 or getattr(popen, "method", None) not in ("spawn", "forkserver"):
        return None
    given = _inherited.setdefault(popen, set())
    if segment.nonce in given or len(given) >= MAX_INHERITED:
        return None  # the child has it already, or finds it through /proc
    given.add(segment.nonce)
    return sys.modules["multiprocessing.reduction"].DupFd(segment.fd)


def sweep() -> bool:
    """Let go of what was received; True while something is still on its way."""
    return _sent is not None and _sent.sweep()


def release(nonce: bytes | None = None) -> int:
    """Stop waiting for the receivers of a segment (of all segments by default); return how many.

    Whoever loads such a handle later gets a `SegmentGoneError`, unless the array still lives here.
    """
    return 0 if _sent is None else _sent.release(nonce)


def travelling() -> dict[bytes, int]:
    """Count the handles that were sent and not received, by segment."""
    counts: dict[bytes, int] = {}
    if _sent is not None:
        _sent.sweep()
        for pin in list(_sent.pins.values()):
            counts[pin.segment.nonce] = counts.get(pin.segment.nonce, 0) + 1
    return counts


def _own_sent() -> Sent:
    global _sent
    if _sent is None:
        with _making:  # two threads may send their first arrays at the same moment
            made = _sent
            if made is None:
                made = _sent = Sent() if hasattr(os, "memfd_create") else SentByFiles()
            return made
    return _sent


def _forget() -> None:
    # A forked child has sent nothing. Its copies of the descriptors go with the objects.
    global _sent, _making
    if _sent is not None:
        _sent.forget()
    _sent, _making = None, threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
