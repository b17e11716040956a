"""NumPy's .npy files: the header, read and written; the rows are `storage.flat`'s.

Reads from : a file
Hands to   : storage.flat

The format is described in numpy.lib.format; versions 1 to 3 differ in the width of the length field
and the encoding of the header. NumPy has no public reader for version 3, so the header is parsed here.
"""

from __future__ import annotations

import ast
import os
import re
import struct
from math import prod
from typing import Any

import numpy as np

from outcore.errors import DTypeError, FormatError, TruncatedError
from outcore.storage import flat
from outcore.storage.file import PosixFile, open_file, stale
from outcore.storage.flat import FlatStorage
from outcore.storage.protocol import Spec, Storage

MAGIC = b"\x93NUMPY"
#: A header beyond this is damage or an attack: NumPy itself asks for permission above 10 kB.
MAX_HEADER_BYTES = 1 << 24
#: NumPy leaves room for the first axis to grow to any length without moving the data.
GROWTH_DIGITS = 21
ALIGN = 64


def locate(path: str, mode: str) -> Spec:
    """Read the header of `path` and return where and what its rows are.

    Raises
    ------
    FormatError
        Not a .npy file, or a header that makes no sense.
    TruncatedError
        The file is shorter than its header says.
    DTypeError
        An object array: its values are Python pickles, not rows.
    """
    file = open_file(path)
    try:
        size = file.size()
        start = bytearray(min(size, 12))
        file.read(0, [memoryview(start)]) if start else None
        if not start.startswith(MAGIC) or size < 10:
            raise FormatError(
                f"{path} is not a .npy file: it starts with {bytes(start[:6])!r}, not with {MAGIC!r}.\n"
                'For raw numbers give dtype= and shape=: oc.open(path, dtype="f4", shape=(-1, 5)).'
            )
        major = start[6]
        if major not in (1, 2, 3):
            raise FormatError(f"{path} has .npy format version {major}; versions 1 to 3 are known.")
        field, width = ("<H", 2) if major == 1 else ("<I", 4)
        (length,) = struct.unpack(field, start[8 : 8 + width].ljust(width, b"\0"))
        offset = 8 + width + length
        if length > MAX_HEADER_BYTES or offset > size:
            raise TruncatedError(
                f"{path} says that its header has {length} bytes; the file has {size} in all.\n"
                "It is damaged: write it again."
            )
        raw = bytearray(length)
        file.read(8 + width, [memoryview(raw)])
        shape, dtype, order = _parse(path, bytes(raw), major)
        needed = offset + prod(shape) * dtype.itemsize
        if size < needed:
            raise TruncatedError(
                f"{path} has {size} bytes; its header {shape} {dtype} needs {needed}: the end is missing.\n"
                "It was not written to its end, or cut: write it again."
            )
        return Spec("npy", path, "", mode, shape, dtype, order, offset, file.fingerprint())
    finally:
        file.close()


def open_spec(spec: Spec) -> Storage:
    """Open the file again that `spec` was made from, and check that it still holds the same rows.

    `numpy.save` over an existing file keeps the file and changes what it says of itself.
    """
    storage = flat.open_spec(spec)
    if spec.fingerprint is None:  # still being written: the header comes last
        return storage
    try:
        found = locate(spec.path, spec.mode)
    except FormatError as error:
        raise stale(spec.path, f"was written anew ({error})") from error
    if (found.shape, found.dtype, found.order, found.offset) != (
        spec.shape,
        spec.dtype,
        spec.order,
        spec.offset,
    ):
        raise stale(
            spec.path, f"was written anew ({found.shape} {found.dtype} instead of {spec.shape} {spec.dtype})"
        )
    return storage


def _parse(path: str, raw: bytes, major: int) -> tuple[tuple[int, ...], np.dtype[Any], str]:
    try:
        fields = _literal(raw.decode("utf-8" if major == 3 else "latin1"))
        shape, fortran, descr = fields["shape"], fields["fortran_order"], fields["descr"]
        dtype = np.lib.format.descr_to_dtype(descr)
        sound = (
            dtype.subdtype is None
            and isinstance(shape, tuple)
            and all(isinstance(n, int) and n >= 0 for n in shape)
            and isinstance(fortran, bool)
        )
        if not sound:
            raise ValueError(f"shape {shape!r}, fortran_order {fortran!r}, dtype {dtype}")
    except (SyntaxError, ValueError, LookupError, TypeError, MemoryError, RecursionError) as error:
        raise FormatError(
            f"{path} has a damaged .npy header: {raw.strip()[:200]!r} ({error}).\n"
            "Write it again with numpy.save."
        ) from error
    refuse_objects(dtype, path)
    # An array of one dimension, or with at most one long axis, is in both orders.
    order = "F" if fortran and sum(n > 1 for n in shape) > 1 else "C"
    return shape, dtype, order


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except SyntaxError:  # Python 2 wrote 10L; a field may well be called "x2L", so this comes second
        return ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text))


def header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Write the header of a C-ordered array, byte for byte as `numpy.save` does.

    Its length does not depend on the first axis, so it can be written again when rows were appended.
    """
    descr = np.lib.format.dtype_to_descr(dtype)
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * ((GROWTH_DIGITS - len(repr(shape[0]))) if shape else 0)
    for major, field, encoding in ((1, "<H", "latin1"), (2, "<I", "latin1"), (3, "<I", "utf-8")):
        try:
            body = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        width = struct.calcsize(field)
        padding = ALIGN - ((len(MAGIC) + 2 + width + len(body) + 1) % ALIGN)
        length = len(body) + padding + 1
        if major == 1 and length >= 1 << 16:
            continue
        return MAGIC + bytes((major, 0)) + struct.pack(field, length) + body + b" " * padding + b"\n"
    raise AssertionError("unreachable: version 3 holds every header")


class NpyWriter(FlatStorage):
    """A new .npy file: rows first, and the header, which says how many, when it is complete."""

    @staticmethod
    def header_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
        """Where the first row begins; the same however many rows there will be."""
        return len(header(shape, dtype))

    def __init__(self, spec: Spec, file: PosixFile) -> None:
        super().__init__(spec, file, writable=True)

    def finish(self) -> None:
        """Write the header, and cut off room that was taken and not used."""
        self.file.truncate(self.offset + prod(self.shape) * self.dtype.itemsize)
        self.file.write(0, memoryview(header(self.shape, self.dtype)))


def refuse_objects(dtype: np.dtype[Any], what: str) -> None:
    """Raise for dtypes whose values are pointers into one process.

    Raises
    ------
    DTypeError
        `dtype` holds Python objects or variable-width strings, is text of no width, or dates that NumPy can
        only misread.
    """
    if dtype.hasobject or dtype.kind == "T":
        raise DTypeError(
            f"{what}: dtype {dtype} holds references to Python objects, which mean nothing elsewhere.\n"
            'Use a fixed width: "S10" or "U10" for text, a number type for numbers.'
        )
    if dtype.kind in "SU" and dtype.itemsize == 0:
        raise DTypeError(
            f'{what}: dtype {dtype} has no width.\nGive one: "{dtype.kind}10" for up to ten characters.'
        )
    # Without a unit np.empty forgets the byte order, and so np.load and h5py give wrong values.
    base = dtype.base
    if base.kind in "mM" and np.empty(0, base).dtype != base:
        raise DTypeError(
            f"{what}: dtype {base.str} has no unit, and NumPy makes {np.empty(0, base).dtype.str} of it.\n"
            f'Give one: "{base.str}[s]" for seconds.'
        )


def starts_like_npy(path: str) -> bool:
    """Whether the file begins as .npy files do."""
    return os.path.getsize(path) >= len(MAGIC) and _first(path, len(MAGIC)) == MAGIC


def _first(path: str, count: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(count)
