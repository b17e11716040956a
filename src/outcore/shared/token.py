"""Handles as text, for programs that do not share a pipe.

Hands to   : shared.sharedarray, shared.sharing
"""

from __future__ import annotations

import base64
import binascii
import json
from ast import literal_eval
from typing import Any

import numpy as np

from outcore.errors import AddressError
from outcore.shared.travel import Handle

_PREFIX = "outcore-shm:"


def write(
    handle: Handle, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]
) -> str:
    """Write a handle and a view as one word."""
    (nonce, owner, fd, path), ticket, _ = handle
    facts = [nonce.hex(), owner, fd, path, ticket, offset, shape, strides, repr(_descr(dtype))]
    return _PREFIX + base64.urlsafe_b64encode(json.dumps(facts, separators=(",", ":")).encode()).decode()


def read(text: str) -> tuple[Handle, int, tuple[int, ...], tuple[int, ...], np.dtype[Any]]:
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
        nonce, owner, fd, path, ticket, offset, shape, strides, descr = facts
        place = (bytes.fromhex(nonce), tuple(owner), int(fd), str(path))
        dtype = np.lib.format.descr_to_dtype(literal_eval(descr))
        return Handle(place, tuple(ticket)), int(offset), tuple(shape), tuple(strides), dtype
    except (ValueError, TypeError, SyntaxError, binascii.Error, AttributeError) as error:
        shown = str(text) if len(str(text)) < 60 else f"{str(text)[:57]}..."
        raise AddressError(
            f"{shown!r} is not a token of a shared array: {error}.\n"
            "Use the text that S.token() returned, as a whole."
        ) from error


def _descr(dtype: np.dtype[Any]) -> Any:
    return np.lib.format.dtype_to_descr(dtype)
