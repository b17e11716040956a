"""The texts of a Polars column as fixed bytes, where they are short: a copy of memory, nothing more.

Reads from : polars.Series, by the Arrow C stream interface
Hands to   : text.texts

Arrow keeps each text as 16 bytes: its length in 4, and behind it the text itself, padded with zeros, if it
has at most 12 bytes. So a column of names such as ``chr12`` is already what NumPy calls S12, every 16 bytes.
Making one Python string a cell, or moving the bytes by a mask, takes ten times as long.

pyarrow would do for the pointers, but it is 150 MB; the interface is three C structures that never change.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

#: The longest text that stands beside its length.
INLINE_BYTES = 12
_VIEW_BYTES = 16


class _Array(ctypes.Structure):
    """``struct ArrowArray`` of the Arrow C data interface."""


class _Schema(ctypes.Structure):
    """``struct ArrowSchema``."""


class _Stream(ctypes.Structure):
    """``struct ArrowArrayStream``."""


_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))),
    ("private_data", ctypes.c_void_p),
]
_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.c_void_p),
    ("release", ctypes.c_void_p),  # called by the capsule
    ("private_data", ctypes.c_void_p),
]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def lengths(texts: pl.Series) -> NDArray[np.int32]:
    """Return the bytes of texts, none of them null.

    Polars' own answer for a column of a single text makes four copies of that text first.

    Examples
    --------
    >>> lengths(pl.Series(["chr1", "é", ""]))
    array([4, 2, 0], dtype=int32)
    """
    parts = [views.view(np.int32)[:, 0].copy() for views in _views(texts)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def short_texts(texts: pl.Series, width: int) -> NDArray[Any]:
    """Copy texts, none of them null and none longer than `INLINE_BYTES`, into an array of bytes.

    Parameters
    ----------
    width : int
        Bytes of each; not less than the longest text.

    Returns
    -------
    ndarray of dtype S`width`, shape (n,)

    Examples
    --------
    >>> short_texts(pl.Series(["chr1", "x"]), 5)
    array([b'chr1', b'x'], dtype='|S5')
    """
    cells = np.zeros((len(texts), width), np.uint8)
    done, used = 0, min(width, INLINE_BYTES)
    for views in _views(texts):
        cells[done : done + len(views), :used] = views[:, 4 : 4 + used]
        done += len(views)
    if done != len(texts):
        raise ValueError(f"Polars handed over {done} of {len(texts)} texts.")
    made: NDArray[Any] = cells.view(f"S{width}")[:, 0]
    return made


def long_texts(texts: pl.Series, out: NDArray[Any]) -> NDArray[Any]:
    """Copy texts, none of them null, into an array of bytes, one after the other.

    It takes a microsecond for each, and no memory beside the result: for rows that are wide.

    Parameters
    ----------
    out : ndarray of dtype S, shape (n,)
        Zeros, of any strides; not less wide than the longest text.

    Returns
    -------
    ndarray
        `out`.

    Examples
    --------
    >>> long_texts(pl.Series(["chromosome 12", "x"]), np.zeros(2, "S14"))
    array([b'chromosome 12', b'x'], dtype='|S14')
    """
    (step,), to, done = out.strides, out.ctypes.data, 0
    for array, views in _arrays(texts):
        at = array.buffers[1] + array.offset * _VIEW_BYTES
        for length, _, buffer, offset in views.view(np.int32).tolist():
            inline = length <= INLINE_BYTES
            source = at + 4 if inline else array.buffers[2 + buffer] + offset
            ctypes.memmove(to + done * step, source, length)
            at, done = at + _VIEW_BYTES, done + 1
    if done != len(texts):
        raise ValueError(f"Polars handed over {done} of {len(texts)} texts.")
    return out


def _views(texts: pl.Series) -> Iterator[NDArray[np.uint8]]:
    """Yield the views of each part of a column, as rows of 16 bytes; not to be used after the next one."""
    for _, views in _arrays(texts):
        yield views


def _arrays(texts: pl.Series) -> Iterator[tuple[_Array, NDArray[np.uint8]]]:
    """Yield each part of a column, and its views; not to be used after the next one."""
    capsule = texts.__arrow_c_stream__()
    stream = ctypes.cast(_pointer(capsule, b"arrow_array_stream"), ctypes.POINTER(_Stream))
    _check_format(stream)
    while True:
        with _next(stream) as array:
            if array is None:
                return
            if array.length:
                start = array.buffers[1] + array.offset * _VIEW_BYTES
                raw = (ctypes.c_uint8 * (array.length * _VIEW_BYTES)).from_address(start)
                yield array, np.frombuffer(raw, np.uint8).reshape(-1, _VIEW_BYTES)


@contextmanager
def _next(stream: Any) -> Iterator[_Array | None]:
    """Hold the next part of a stream; None behind the last one."""
    array = _Array()
    code = stream.contents.get_next(stream, ctypes.byref(array))
    if code:
        raise OSError(code, "Polars cannot hand over a column of text")
    if not array.release:
        yield None
        return
    try:
        yield array
    finally:
        array.release(ctypes.byref(array))


def _check_format(stream: Any) -> None:
    schema = _Schema()
    code = stream.contents.get_schema(stream, ctypes.byref(schema))
    if code:
        raise OSError(code, "Polars cannot describe a column of text")
    found = schema.format
    schema.release(ctypes.byref(schema))
    if found != b"vu":  # "utf-8 view"; what follows would read other bytes
        raise TypeError(f"Polars hands over texts as Arrow format {found!r}; b'vu' was expected.")
