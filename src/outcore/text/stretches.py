"""A chunk in shorter ones, where what is made of all of it would take too much memory.

Reads from : text.parse (where records end)
Hands to   : text.reading, text.counting
"""

from __future__ import annotations

from collections.abc import Iterator

from outcore.text import parse
from outcore.text.boundaries import count_byte
from outcore.text.dialect import Dialect
from outcore.text.places import Chunk, Piece, Place, source_bytes

#: What is looked at for faults at a time: this part of a chunk, but not less than that many bytes. The
#: positions of all cells take 20 times the size of their text.
SHORT_PART, LEAST_BYTES = 8, 1 << 16


def in_stretches(chunk: Chunk, dialect: Dialect, row_bytes: int, room_bytes: int) -> Iterator[Chunk]:
    """Cut a chunk so that the rows of each stretch take at most `room_bytes`, or that it is one record."""
    start = 0
    for data in parse.parts(chunk.data, dialect, row_bytes, room_bytes):
        yield chunk if len(data) == len(chunk.data) else _stretch(chunk, start, data)
        start += len(data)


def short_stretches(chunk: Chunk, dialect: Dialect) -> Iterator[Chunk]:
    """Cut a chunk into stretches that are short enough to be looked at cell by cell."""
    size = len(chunk.data)
    wanted = max(size // SHORT_PART, LEAST_BYTES)
    lines = count_byte(chunk.data, 0x0A)
    return in_stretches(chunk, dialect, 1, max(1, lines * wanted // max(size, 1)))


def _stretch(chunk: Chunk, start: int, data: bytes) -> Chunk:
    stop = start + len(data)
    pieces = []
    for number, piece in enumerate(chunk.pieces):
        end = chunk.pieces[number + 1].start if number + 1 < len(chunk.pieces) else len(chunk.data)
        if end <= start or piece.start >= stop:
            continue
        passed = chunk.data[piece.start : max(start, piece.start)]
        place = Place(
            piece.place.file,
            piece.place.byte + source_bytes(passed, piece.encoding),
            piece.place.line + count_byte(passed, 0x0A),
        )
        pieces.append(Piece(place, piece.path, piece.encoding, max(piece.start - start, 0)))
    return Chunk(chunk.index, data, tuple(pieces), chunk.after, 0)
