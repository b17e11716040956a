"""Handles as text, for programs that do not share a pipe.

Hands to   : shared.sharedarray, shared.sharing
"""

from __future__ import annotations

import base64
import json
from ast import literal_eval
from typing import Any

import numpy as np

from outcore.errors import AddressError
from outcore.shared.board import NO_TICKET
from outcore.shared.header import describe_dtype, dtype_described
from outcore.shared.travel import Handle

_PREFIX = "outcore-shm:"


def write(
    handle: Handle,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    kind: str,
) -> str:
    """Write a handle and a view as one word; `kind` is that of the class."""
    (nonce, owner, fd, path), _, _ = handle  # nobody waits for the receiver of a token: no ticket
    facts = [kind, nonce.hex(), owner, fd, path, offset, shape, strides, repr(describe_dtype(dtype))]
    return _PREFIX + base64.urlsafe_b64encode(json.dumps(facts, separators=(",", ":")).encode()).decode()


def read(text: str) -> tuple[str, Handle, int, tuple[int, ...], tuple[int, ...], np.dtype[Any]]:
    """Read what `write` wrote.

    Raises
    ------
    AddressError
        The text is something else.
    """
    try:
        if not text.startswith(_PREFIX):
            raise ValueError("it does not begin with " + _PREFIX)
        facts = json.loads(base64.urlsafe_b64decode(text[len(_PREFIX) :]))
        kind, nonce, (pid, since), fd, path, offset, shape, strides, descr = facts
        handle = Handle((bytes.fromhex(nonce), (int(pid), int(since)), int(fd), str(path)), tuple(NO_TICKET))
        view = int(offset), tuple(map(int, shape)), tuple(map(int, strides))
        return str(kind), handle, *view, dtype_described(literal_eval(descr))
    except (ValueError, TypeError, KeyError, SyntaxError, AttributeError, RecursionError) as error:
        shown = str(text) if len(str(text)) < 60 else f"{str(text)[:57]}..."
        raise AddressError(
            f"{shown!r} is not a token of a shared array: {error}.\n"
            "Use the text that S.token() returned, as a whole."
        ) from error
