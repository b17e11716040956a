"""The first page of a segment: it says what the rest is, so that any descriptor describes itself.

Hands to   : shared.segment, shared.memfd, shared.named, shared.token, shared.census

Guarantees
- A page that is not a complete header is refused, so a stranger's file is never taken for an array.
- Nothing in it is executed: the dtype is described by names and numbers.
- Any dtype that shared memory can hold can be described. One of thousands of fields does not fit into the
  page, and is left out there.
"""

from __future__ import annotations

import ast
import functools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

#: The data follows; segments are mapped from their first byte, so this need not be a page of the machine.
HEADER_BYTES = 4096
_MAGIC = b"outcore shm 1\n\0\0"
# magic, nonce, bytes of data, pid that made it, nanoseconds since 1970, length of the text that follows
_LAYOUT = struct.Struct("<16s16sQIQI")
_TEXT_BYTES = HEADER_BYTES - _LAYOUT.size


@dataclass(frozen=True)
class Header:
    """What a segment holds.

    Attributes
    ----------
    nonce : bytes
        16 random bytes: no other segment, of any time, has the same.
    nbytes : int
        Bytes of data after the header.
    pid : int
        Process that made it.
    made_ns : int
        When, in nanoseconds since 1970.
    site : str
        Where in that program: ``"load.py:12 in parse"``.
    dtype, shape, order
        Of the array that it was made for; dtype None where the description does not fit into a page.
    """

    nonce: bytes
    nbytes: int
    pid: int
    made_ns: int
    site: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    order: str


def pack(header: Header) -> bytes:
    """Write a header as one page."""
    descr = None if header.dtype is None else describe_dtype(header.dtype)
    for described in (descr, None):  # thousands of fields do not fit; handles carry the dtype themselves
        text = repr((header.site[:200], described, header.shape, header.order)).encode()
        if len(text) <= _TEXT_BYTES:
            break
    fixed = _LAYOUT.pack(_MAGIC, header.nonce, header.nbytes, header.pid, header.made_ns, len(text))
    return (fixed + text).ljust(HEADER_BYTES, b"\0")


def unpack(page: bytes) -> Header | None:
    """Read a header; None if the page is something else."""
    if len(page) < HEADER_BYTES or not page.startswith(_MAGIC):
        return None
    _, nonce, nbytes, pid, made_ns, length = _LAYOUT.unpack_from(page)
    if length > _TEXT_BYTES:
        return None
    try:
        facts = _parse(page[_LAYOUT.size : _LAYOUT.size + length])
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError):  # damaged, or of a stranger
        return None
    return Header(nonce, nbytes, pid, made_ns, *facts)


@functools.lru_cache(maxsize=64)  # many segments in a row are of one kind, and reading this costs most
def _parse(text: bytes) -> tuple[str, np.dtype[Any] | None, tuple[int, ...], str]:
    site, descr, shape, order = ast.literal_eval(text.decode())
    return site, None if descr is None else dtype_described(descr), shape, order


def describe_dtype(dtype: np.dtype[Any]) -> Any:
    """Describe any dtype without objects by plain values: text, tuples, dicts."""
    # Not as in a .npy file, which knows no overlapping fields, no fields out of order (those of
    # ``a[["y", "x"]]``), no alignment, and warns of notes that a dtype carries along, as h5py's do.
    if dtype.subdtype is not None:
        return (describe_dtype(dtype.subdtype[0]), dtype.subdtype[1])
    if dtype.names is None or dtype.fields is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    described: dict[str, Any] = {
        "names": list(dtype.names),
        "formats": [describe_dtype(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
    }
    if any(len(field) > 2 for field in fields):
        described["titles"] = [field[2] if len(field) > 2 else None for field in fields]
    if dtype.isalignedstruct:
        described["aligned"] = True
    if dtype.type is np.record:
        described["record"] = True
    return described


def dtype_described(described: Any) -> np.dtype[Any]:
    """Make the dtype that `describe_dtype` described.

    Raises
    ------
    ValueError, TypeError, KeyError
        It is no such description.
    """
    if isinstance(described, tuple):
        base, shape = described
        return np.dtype((dtype_described(base), shape))
    if not isinstance(described, dict):
        plain: np.dtype[Any] = np.dtype(str(described))
        if plain.hasobject or plain.kind == "T":
            raise ValueError(f"{plain} holds addresses")  # ours never do, and to follow them would be fatal
        return plain
    facts = {**described, "formats": [dtype_described(part) for part in described["formats"]]}
    aligned, record = facts.pop("aligned", False), facts.pop("record", False)
    # The annotations of NumPy want to see the keys of this dict, which are read from a page here.
    made: np.dtype[Any] = np.dtype(facts, align=aligned)  # type: ignore[call-overload]  # stubs know no dict
    return np.dtype((np.record, made)) if record else made
