"""Where text stands: chunks, the stretches of files that they are made of, and how to name a place in them.

Hands to   : text.cutting, text.faults, text.journal

Guarantees
- Positions are those of the file as it was written: bytes in its own encoding, behind decompression; physical
  lines from 1, whatever was skipped.

A chunk may hold many small files, one after the other, so that a million of them cost no task each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Encodings in which the bytes of a file are those of its text as UTF-8.
SAME_BYTES = ("utf-8", "ascii")


@dataclass(frozen=True, slots=True)
class Place:
    """A record boundary in a list of files: file (from 0), byte in it, physical line (from 1)."""

    file: int
    byte: int
    line: int


BEGINNING = Place(0, 0, 1)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a chunk that comes from one file.

    Attributes
    ----------
    place : Place
        Where its first byte stands.
    path : str
        How the file is called in messages.
    encoding : str
        The file's encoding; the chunk itself is UTF-8.
    start : int
        Where it starts in the chunk's data.
    """

    place: Place
    path: str
    encoding: str
    start: int


@dataclass(frozen=True, slots=True)
class Chunk:
    r"""Whole records.

    Attributes
    ----------
    index : int
        Its place among the chunks, from 0.
    data : bytes
        UTF-8; lines end with ``\n`` or ``\r\n``, comment lines and blank lines are still there, byte order
        marks, skipped lines and headers are not. Only the last byte of a chunk may lack its newline.
    pieces : tuple of Piece
        In the order of `data`, at least one; each starts at a record's first byte.
    after : Place
        Where the next chunk begins.
    read_bytes : int
        Bytes on disk that were read to get this chunk, since the chunk before.
    """

    index: int
    data: bytes
    pieces: tuple[Piece, ...]
    after: Place
    read_bytes: int


def source_bytes(text: bytes | memoryview, encoding: str) -> int:
    """Count the bytes that UTF-8 `text` took in a file of another encoding.

    Examples
    --------
    >>> source_bytes("aé".encode(), "utf-16-le"), source_bytes("aé".encode(), "latin-1")
    (4, 2)
    """
    if encoding in SAME_BYTES or not text:
        return len(text)
    array = np.frombuffer(text, np.uint8)
    characters = int(np.count_nonzero((array & 0xC0) != 0x80))
    if encoding.startswith("utf-16"):
        return 2 * (characters + int(np.count_nonzero(array >= 0xF0)))
    return 4 * characters if encoding.startswith("utf-32") else characters
