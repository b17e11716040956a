"""What `oc.segments` lists, for the tests of who holds what."""

from __future__ import annotations

import os
from typing import Any

import outcore as oc
from outcore.shared.census import SharedSegment


def the(nonce: str) -> SharedSegment | None:
    """The record of one segment; other programs on this machine have theirs."""
    found = [segment for segment in oc.segments() if segment.nonce == nonce]
    assert len(found) < 2
    return found[0] if found else None


def nonce_of(array: Any) -> str:
    return array._segment.nonce.hex()


def nameless_here() -> list[SharedSegment]:
    """What this process holds and nothing but its existence is known of."""
    without = [segment for segment in oc.segments() if not segment.nonce]
    return [s for s in without if os.getpid() in [holder.pid for holder in s.holders]]
