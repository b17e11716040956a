"""Samples of a file: its start, and of large files pieces of the middle and the end.

Reads from : text.sources, text.streams, text.recoding
Hands to   : text.plan

Guarantees
- A file is opened once; of a small one everything is read, by a single read.
- Memory is a few times the size of a sample, or of one record that is larger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from outcore.errors import IngestError
from outcore.text.boundaries import header_end, last_record_end
from outcore.text.dialect import Dialect
from outcore.text.recoding import Recoded
from outcore.text.sources import Source
from outcore.text.streams import Stream

#: Bytes of the start of a file that are looked at; a compressed file has no cheap middle, so more of it.
HEAD_BYTES, COMPRESSED_HEAD_BYTES = 1 << 17, 1 << 20
#: Of many files less is looked at: so much of all together, but at least so much of each.
ALL_BYTES, LEAST_BYTES = 1 << 25, 1 << 12
#: Records that a sample should have; where they are wide, it may take 16 times the bytes above.
HEAD_RECORDS, WIDE_FACTOR = 20, 16
#: Of samples longer than this, fields longer than that are not looked at.
LONG_BYTES, LONG_FIELD_BYTES = 1 << 22, 1 << 12
#: A record that is longer than this is not looked at further: a quote in it may never be closed.
MAX_RECORD_BYTES = 64 << 20
#: Bytes with which no text is written, but for a few stray ones.
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))


def sample_bytes(n_files: int) -> int:
    """Choose how much of the start of each file to look at.

    Examples
    --------
    >>> sample_bytes(1), sample_bytes(1_000_000)
    (131072, 4096)
    """
    return min(HEAD_BYTES, max(LEAST_BYTES, ALL_BYTES // max(n_files, 1)))


def shortened(text: bytes, dialect: Dialect) -> bytes:
    r"""Replace very long fields of a long sample; whatever they hold, it is text.

    Examples
    --------
    >>> shortened(b'1,"' + b"to be, or not\n" * 1_000_000 + b'"\n', Dialect(","))
    b'1,"long text"\n'
    >>> shortened(b'1,"' + b'say ""no""\n' * 1_000_000 + b'"\n', Dialect(","))
    b'1,"long text"\n'
    """
    if len(text) <= LONG_BYTES:
        return text
    mark, separator = re.escape(dialect.quote.encode()), re.escape(dialect.separator.encode())
    plain = b"[^" + mark + separator + rb"\r\n]{%d,}+" % LONG_FIELD_BYTES
    quoted = mark + b"((?:[^" + mark + b"]++|" + mark * 2 + b")*+)" + mark + b"|" if mark else b"(?!)()|"

    def short(found: re.Match[bytes]) -> bytes:
        inside = found[1]
        if inside is None:
            return b"long text"
        quote = dialect.quote.encode()
        return found[0] if len(inside) < LONG_FIELD_BYTES else quote + b"long text" + quote

    return re.sub(quoted + plain, short, text)


class Sampler:
    """Takes samples of one file that is open.

    Parameters
    ----------
    nbytes : int
        About how much of its start to look at.
    """

    def __init__(self, source: Source, stream: Stream, dialect: Dialect, nbytes: int) -> None:
        self._source = source
        self._dialect = dialect
        self._nbytes = nbytes * (COMPRESSED_HEAD_BYTES // HEAD_BYTES if stream.compression else 1)
        self._middle = stream.seekable and source.nbytes > self._nbytes
        self._text = Recoded(stream, source.path, dialect)

    def head(self) -> bytes:
        """Read whole records from the start, the header among them; comments and blank lines are still there.

        Raises
        ------
        IngestError
            It is no text.
        """
        data, limit, skip = b"", self._nbytes, self._dialect.skip_rows
        while True:
            while len(data) < limit and not self._text.ended:
                data += self._text.read(limit - len(data))
            while skip and (end := data.find(b"\n") + 1):
                data, skip = data[end:], skip - 1
            ended = self._text.ended and len(data) <= limit
            if skip:  # all of it belongs to lines to skip
                data = b""
                if ended:
                    return data
                continue
            taken = data if len(data) <= limit else data[:limit]
            if ended or self._is_enough(taken):
                break
            limit *= 2
        self._refuse_binary(taken)
        if ended:
            return taken
        return taken[: last_record_end(taken, self._dialect) or taken.rfind(b"\n") + 1 or len(taken)]

    def _is_enough(self, data: bytes) -> bool:
        if len(data) >= MAX_RECORD_BYTES:
            return True
        lines = data.strip().count(b"\n")
        if lines < HEAD_RECORDS and (len(data) < WIDE_FACTOR * self._nbytes or lines < 2):
            return False
        end = last_record_end(data, self._dialect)
        # A header alone would say nothing of the types.
        return 0 < header_end(data, self._dialect, ended=True) < end

    def _refuse_binary(self, data: bytes) -> None:
        """Refuse what is no text; a zero byte in text is left for the run, which can say where it stands."""
        if b"\0" not in data:
            return
        try:
            data[: 1 << 16].decode()
            text = True
        except UnicodeDecodeError as error:
            text = error.end >= min(len(data), 1 << 16)  # a character was cut at the end of the look
        controls = len(data) - len(data.translate(None, _CONTROLS))
        if not text or controls * 4 > len(data):
            raise IngestError(
                f"{self._source.path} holds zero bytes: it is not {self._dialect.encoding} text.\n"
                "Ingest reads delimited text; an array file is opened with oc.open. If it is text, name its "
                'encoding, for example encoding="utf-16-le" (--encoding utf-16-le).'
            )

    def pieces(self) -> Iterator[bytes]:
        """Read whole lines from the middle and from the end of a large file that is not compressed."""
        if not self._middle:
            return
        size, nbytes = self._source.nbytes, self._nbytes // 2
        for start, wanted in ((size // 2, nbytes), (size - nbytes, 2 * nbytes)):
            start &= ~1  # a character of UTF-16 has two bytes
            if start < self._nbytes:
                continue
            self._text.seek(start)
            data = b""
            while len(data) < wanted and not self._text.ended:
                data += self._text.read(wanted - len(data))
            # The first line began before the piece, and the last one may end behind it.
            begin = data.find(b"\n") + 1
            yield data[begin:] if self._text.ended else data[begin : data.rfind(b"\n") + 1]
