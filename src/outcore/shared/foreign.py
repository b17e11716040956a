"""Libraries that send arrays in a way of their own: ours shall travel as handles there too.

Reads from : nothing
Hands to   : shared.sharedarray

Guarantees
- No library is imported here: one that was not imported by the program does not send anything.

Only Dask's `distributed` needs this. joblib and loky have ways of their own for ndarrays, but for exactly
that class; everything else asks the array how it wants to be pickled.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

_taught: set[type] = set()


def teach(cls: type) -> None:
    """Have arrays of this class pickled by libraries that would send what is in them."""
    serialize = sys.modules.get("distributed.protocol.serialize")
    if serialize is None or cls in _taught:
        return
    _taught.add(cls)
    # A subclass of ndarray inherits the way of ndarrays: its bytes. Refused, Dask tries pickle next.
    serialize.dask_serialize.register(cls, _refuse)


def _refuse(array: Any) -> NoReturn:
    raise NotImplementedError("a shared array travels as a handle, by pickle")
