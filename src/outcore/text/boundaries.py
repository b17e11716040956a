"""Where records begin and end, by counting quotes: what the cutter needs, and no more.

Hands to   : text.cutting, text.parse, text.plan

A newline ends a record if the quotes before it, counted from any record's start, are even in number. Quotes
in comment lines do not count.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from outcore.text.cleaning import clean, mute_comments
from outcore.text.dialect import WHITESPACE, Dialect

#: Text is counted in blocks that stay in the processor's cache; memory for all of it costs more than that.
BLOCK_BYTES = 1 << 18


def count_byte(data: bytes | memoryview, byte: int) -> int:
    """Count a byte; several times as fast as ``bytes.count`` where it is frequent.

    Examples
    --------
    >>> count_byte(b"1,2,3", ord(","))
    2
    """
    array = np.frombuffer(data, np.uint8)
    # In blocks that stay in the processor's cache.
    return sum(
        int(np.count_nonzero(array[start : start + BLOCK_BYTES] == byte))
        for start in range(0, len(array), BLOCK_BYTES)
    )


def last_record_end(block: bytes, dialect: Dialect, *, before: bytes = b"") -> int:
    r"""Return where the last record that ends in `block` ends; 0 if none does.

    Parameters
    ----------
    before : bytes
        What stands between the start of a record and `block`.

    Examples
    --------
    >>> last_record_end(b'1,2\n3,"a\nb', Dialect(","))
    4
    """
    mark = dialect.quote.encode()
    if not mark or (mark not in block and mark not in before):
        return block.rfind(b"\n") + 1
    before, block = _muted(before, block, dialect)
    end = block.rfind(b"\n")
    quotes = before.count(mark) + (count_byte(memoryview(block)[: end + 1], mark[0]) if end >= 0 else 0)
    while end >= 0 and quotes % 2:
        # Up to the quote before it, no newline is outside quotes.
        earlier = block.rfind(b"\n", 0, max(block.rfind(mark, 0, end), 0))
        quotes -= block.count(mark, earlier + 1, end)
        end = earlier
    return end + 1


def _muted(before: bytes, block: bytes, dialect: Dialect) -> tuple[bytes, bytes]:
    """Overwrite comment lines; one may have begun before the block, and end in it."""
    prefix = dialect.comment.encode()
    if not prefix or (prefix not in block and prefix not in before):
        return before, block
    muted = mute_comments(before + block, dialect)
    return muted[: len(before)], muted[len(before) :]


def first_record_end(block: bytes, dialect: Dialect, *, before: bytes = b"") -> int:
    r"""Return where the first record that ends in `block` ends; 0 if none does.

    Parameters
    ----------
    before : bytes
        What stands between the start of a record and `block`.

    Examples
    --------
    >>> first_record_end(b'a\nb"\n1,2\n3', Dialect(","), before=b'3,"')
    5
    """
    mark = dialect.quote.encode()
    if not mark:
        return block.find(b"\n") + 1
    before, block = _muted(before, block, dialect)
    array, inside = np.frombuffer(block, np.uint8), np.uint8(before.count(mark) % 2)
    for start in range(0, len(array), BLOCK_BYTES):
        part = array[start : start + BLOCK_BYTES]
        quotes = (part == mark[0]).view(np.uint8)
        quotes[0] ^= inside
        odd = np.bitwise_xor.accumulate(quotes)
        ends = np.flatnonzero((part == 0x0A) & (odd == 0))
        if len(ends):
            return start + int(ends[0]) + 1
        inside = odd[-1]
    return 0


def open_quote(text: bytes, dialect: Dialect) -> int:
    r"""Return where the quote stands that `text`, from a record's start on, does not close; -1 if none.

    The quotes behind it open where they are meant to close, and the other way round. So it is the first one
    that is closed in front of something other than the end of a field, if there is one, and else the last.

    Examples
    --------
    >>> open_quote(b'"a",1\n"b ""c"",2\n3,4\n', Dialect(","))
    6
    >>> open_quote(b'"a",1\n"b,2\n"c",3\n', Dialect(","))
    6
    """
    mark = dialect.quote.encode()
    if not mark or mark not in text:
        return -1
    text = mute_comments(text, dialect)
    array = np.frombuffer(text, np.uint8)
    if count_byte(text, mark[0]) % 2 == 0:
        return -1
    at = np.flatnonzero(array == mark[0])
    opening, closing = at[::2], at[1::2]
    firsts = np.append(True, opening[1:] != closing + 1)  # otherwise two are one quote inside the field
    starts = opening[firsts]
    ends = closing[np.flatnonzero(firsts)[1:] - 1]
    edges = b"\n" + (b" \t" if dialect.delimiter == WHITESPACE else dialect.separator.encode())
    begins = (starts == 0) | _among(array[np.maximum(starts - 1, 0)], edges)
    stops = _among(array[ends + 1], edges + b"\r")
    for i in np.flatnonzero(~(begins[:-1] & stops)).tolist():
        inside = text[starts[i] : ends[i]]
        if begins[i] or inside.translate(None, edges) != inside:  # or it is plain text, such as 5" x 3"
            return int(starts[i])
    return int(starts[-1])


def _among(bytes_: NDArray[np.uint8], wanted: bytes) -> NDArray[np.bool_]:
    return np.isin(bytes_, np.frombuffer(wanted, np.uint8))


def field_at(text: bytes, position: int, dialect: Dialect) -> int:
    """Return the number, from 1, of the field of its record that begins at or goes on to `position`."""
    start = last_record_end(text[:position], dialect)
    head = clean(text[start:position] + b"x", dialect)
    mark = dialect.quote.encode()
    if mark and mark in head:
        head = re.sub(re.escape(mark) + b"[^" + re.escape(mark) + b"]*" + re.escape(mark), b"", head)
    return head.count(dialect.separator.encode()) + 1


def header_end(data: bytes, dialect: Dialect, *, ended: bool) -> int:
    r"""Return where the first record that is neither blank nor a comment ends.

    Parameters
    ----------
    ended : bool
        Whether nothing follows `data`.

    Returns
    -------
    int
        0 if there is no such record, or its end is still to come.

    Examples
    --------
    >>> header_end(b"\n# by hand\na,b\n1,2\n", Dialect(",", comment="#"), ended=True)
    15
    """
    muted, mark = mute_comments(data, dialect), dialect.quote.encode()
    prefix, start = dialect.comment.encode(), 0
    while start < len(data):
        end = muted.find(b"\n", start) + 1
        while mark and end and muted.count(mark, start, end) % 2:
            end = muted.find(b"\n", end) + 1
        if not end and not ended:
            return 0
        end = end or len(data)
        record = data[start:end].strip(b"\r\n")
        if dialect.delimiter == WHITESPACE:
            record = record.strip(b" \t")
        if record and not (prefix and record.startswith(prefix)):
            return end
        start = end
    return 0
