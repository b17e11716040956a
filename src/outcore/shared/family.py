"""What importing outcore sets up, so that shared arrays travel between any two processes that did it.

Reads from : nothing
Hands to   : outcore/__init__.py

One socket is opened (0.1 ms, one descriptor). Opening it later was rejected: a parent that has only imported
outcore may start a child by spawn, which shares an array and dies; nothing tells the parent beforehand that
it will need a mailbox, and afterwards is too late (docs/decisions/0007).
"""

from __future__ import annotations

import atexit
import os

from outcore.shared import companion, mailbox

_joined = False


def join() -> None:
    """Open the mailbox, and see to it that children get their own; only the first call does anything."""
    global _joined
    if _joined:
        return
    _joined = True
    mailbox.own()
    atexit.register(mailbox.shut)
    companion.accompany()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    companion.forget()
    mailbox.renew()
    companion.accompany(forked=True)
