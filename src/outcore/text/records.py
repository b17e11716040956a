"""Where records and fields begin and end in a chunk: vectorised counting under quoting.

Hands to   : text.parse (checking), text.faults (finding the place of an error)

Polars fills records that are too short with nulls and says nothing; so fields are counted here.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.text.boundaries import BLOCK_BYTES
from outcore.text.dialect import Dialect

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Records and separators of a chunk, blank lines not counted; and whether there are any."""

    records: int
    separators: int
    blank: bool


@dataclass(frozen=True)
class Lines:
    """Where the records that are not blank lines lie.

    Attributes
    ----------
    starts, ends, stops : ndarray of int64, shape (n_records,)
        First byte; behind the last byte; the newline, which a carriage return may precede.
    blank : bool
        Whether there are blank lines.
    """

    starts: Positions
    ends: Positions
    stops: Positions
    blank: bool


def count(data: bytes, dialect: Dialect) -> Counts:
    r"""Count the records that are not blank, and the separators outside quotes.

    Examples
    --------
    >>> count(b'1,2\n\n"a,\nb",4', Dialect(","))
    Counts(records=2, separators=2, blank=True)
    """
    array = np.frombuffer(data, np.uint8)
    if _quoted(data, dialect):
        separators = sum(
            int(np.count_nonzero((block == ord(dialect.separator)) & outside))
            for _, block, outside in _blocks(data, dialect)
        )
        found = lines(data, dialect)
        return Counts(len(found.starts), separators, found.blank)
    newlines, blank, last = 0, data.startswith((b"\n", b"\r\n")), 0
    separators = 0
    for start in range(0, len(array), BLOCK_BYTES):
        block = array[start : start + BLOCK_BYTES]
        ends = block == 0x0A
        newlines += int(np.count_nonzero(ends))
        separators += int(np.count_nonzero(block == ord(dialect.separator)))
        blank = blank or (last == 0x0A and block[0] == 0x0A) or bool((ends[1:] & ends[:-1]).any())
        last = block[-1]
    if blank or (b"\r" in data and b"\n\r\n" in data):
        return Counts(len(lines(data, dialect).starts), separators, True)
    return Counts(newlines + (not data.endswith(b"\n") and bool(data)), separators, False)


def count_byte(data: bytes, byte: str) -> int:
    """Count one ASCII character; ten times as fast as ``bytes.count`` where it is frequent."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord(byte)))


def lines(data: bytes, dialect: Dialect) -> Lines:
    """Find the records; blank lines are passed over."""
    return _lines(data, _outside_quotes(data, dialect, b"\n"))


def without_blank(data: bytes, dialect: Dialect) -> bytes:
    """Remove blank lines."""
    found = lines(data, dialect)
    if not len(found.starts):
        return b""
    jumps = np.flatnonzero(found.starts[1:] != found.stops[:-1] + 1)
    begins = [int(found.starts[0]), *found.starts[jumps + 1].tolist()]
    stops = [*found.stops[jumps].tolist(), int(found.stops[-1])]
    return b"\n".join(data[begin:stop] for begin, stop in zip(begins, stops, strict=True))


def separators(data: bytes, dialect: Dialect) -> Positions:
    """Find the separators outside quotes."""
    return _outside_quotes(data, dialect, dialect.separator.encode())


def even(data: bytes, dialect: Dialect, n_fields: int) -> bool:
    r"""Whether each record has so many fields, where all together have as many; without blank lines.

    Examples
    --------
    >>> even(b"1,2\n3,4\n", Dialect(","), 2), even(b"1\n2,3,4\n", Dialect(","), 2)
    (True, False)
    """
    cuts = dialect.separator.encode() + b"\n"
    if _quoted(data, dialect):
        parts = [
            block[((block == cuts[0]) | (block == 0x0A)) & outside]
            for _, block, outside in _blocks(data, dialect)
        ]
        found = np.concatenate(parts)
    else:
        others = bytes(set(range(256)) - set(cuts))
        found = np.frombuffer(data.translate(None, others), np.uint8)
    return bool((found[n_fields - 1 :: n_fields] == 0x0A).all())


def fields_in_each(data: bytes, dialect: Dialect, starts: Positions) -> Positions:
    """Count the fields of each record."""
    at = separators(data, dialect)
    return np.diff(np.searchsorted(at, starts), append=len(at)) + 1


def stray_quotes(data: bytes, dialect: Dialect) -> Positions:
    r"""Find the quotes that are neither around a field, nor doubled inside such a field, nor plain text.

    Quotes are plain text in a field that does not begin with one, as long as nothing that cuts records or
    fields stands between the first and the second of a pair: then it does not matter who counts quotes.

    Examples
    --------
    >>> stray_quotes(b'5" x 3",1\n5" x,2\n3" x,4\n"a"b,5\n', Dialect(",")).tolist()
    [11, 26]
    """
    none = np.zeros(0, np.int64)
    if not _quoted(data, dialect):
        return none
    array = np.frombuffer(data, np.uint8)
    # Half as large as others: in text about texts there may be as many quotes as words.
    at = _positions(data, dialect.quote.encode(), np.int32 if len(data) < 2**31 else np.int64)
    unpaired, at = at[len(at) // 2 * 2 :], at[: len(at) // 2 * 2]
    if not len(at):
        return unpaired.astype(np.int64)
    opening, closing = at[::2], at[1::2]
    apart = opening[1:] != closing[:-1] + 1  # otherwise the two are one quote inside the field
    firsts, lasts = np.append(True, apart), np.append(apart, True)
    starts, ends = opening[firsts], closing[lasts]
    cuts = np.zeros(256, bool)
    cuts[[0x0A, ord(dialect.separator)]] = True
    begins = (starts == 0) | cuts[array[np.maximum(starts - 1, 0)]]
    end, after = len(array) - 1, array[np.minimum(ends + 1, len(array) - 1)]
    newline = (ends + 1 == end) | (array[np.minimum(ends + 2, end)] == 0x0A)
    stops = (ends == end) | cuts[after] | ((after == 0x0D) & newline)
    wrong = ends[begins & ~stops]
    if not begins.all():
        edges = np.flatnonzero(cuts[array])
        crossed = np.searchsorted(edges, closing) > np.searchsorted(edges, opening)
        wrong = np.concatenate(
            [wrong, starts[~begins & np.logical_or.reduceat(crossed, np.flatnonzero(firsts))]]
        )
    return np.sort(np.concatenate([wrong, unpaired])).astype(np.int64)


def unsound(data: bytes, dialect: Dialect) -> str:
    r"""Say why clean text cannot be read, whatever its columns are; "" if it may be.

    These are the faults that a parser may pass over, depending on which columns are kept.

    Examples
    --------
    >>> unsound(b"1,\xff\n", Dialect(",")), unsound(b"1,2\n", Dialect(","))
    ('a byte is not utf-8', '')
    """
    if b"\0" in data:
        return "a byte is zero"
    if not data.isascii():
        if dialect.encoding == "ascii":
            return "a byte is not ascii"
        try:
            _decode(data)
        except UnicodeDecodeError:
            return f"a byte is not {dialect.encoding}"
    return "a quote stands in the middle of a field" if len(stray_quotes(data, dialect)) else ""


def _quoted(data: bytes, dialect: Dialect) -> bool:
    return bool(dialect.quote) and dialect.quote.encode() in data


def _decode(data: bytes) -> None:
    """Raise UnicodeDecodeError if it is not UTF-8; the text itself would be up to four times as long."""
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(data)
    for start in range(0, len(data), BLOCK_BYTES):
        decoder.decode(view[start : start + BLOCK_BYTES])
    decoder.decode(b"", True)


def _outside_quotes(data: bytes, dialect: Dialect, byte: bytes) -> Positions:
    if not _quoted(data, dialect):
        return _positions(data, byte)
    parts = [
        np.flatnonzero((block == byte[0]) & outside) + start
        for start, block, outside in _blocks(data, dialect)
    ]
    return np.concatenate(parts)


def _positions(data: bytes, byte: bytes, dtype: DTypeLike = np.int64) -> NDArray[Any]:
    array = np.frombuffer(data, np.uint8)
    parts = [
        (np.flatnonzero(array[start : start + BLOCK_BYTES] == byte[0]) + start).astype(dtype, copy=False)
        for start in range(0, len(array), BLOCK_BYTES)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _blocks(
    data: bytes, dialect: Dialect
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.bool_] | np.bool_]]:
    """Yield where each block starts, its bytes, and which are outside quotes; a quote may be either."""
    array, inside = np.frombuffer(data, np.uint8), np.uint8(0)
    for start in range(0, len(array), BLOCK_BYTES):
        block = array[start : start + BLOCK_BYTES]
        quotes = (block == ord(dialect.quote)).view(np.uint8)
        if quotes.any():
            quotes[0] ^= inside
            parity = np.bitwise_xor.accumulate(quotes)
            inside = parity[-1]
            yield start, block, parity == 0
        else:
            yield start, block, inside == 0


def _lines(data: bytes, newlines: Positions) -> Lines:
    array = np.frombuffer(data, np.uint8)
    tail = [] if not data or (len(newlines) and newlines[-1] == len(data) - 1) else [len(data)]
    stops = np.concatenate([newlines, tail]).astype(np.int64)
    starts = np.concatenate([[0], stops[:-1] + 1]).astype(np.int64)[: len(stops)]
    returns = (stops > starts) & (array[np.maximum(stops - 1, 0)] == 0x0D) if data else np.zeros(0, bool)
    used = stops - returns > starts
    return Lines(starts[used], (stops - returns)[used], stops[used], blank=not used.all())
