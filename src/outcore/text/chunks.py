"""Cut files into chunks of whole records, each with its place.

Reads from : text.sources
Hands to   : text.plan (samples), text.widths, text.ingesting

Guarantees
- A chunk ends at the end of a record: a newline that is not inside quotes.
- A chunk is UTF-8 without byte order mark, header and comments, and `first_line` is the physical line of its
  first byte, whatever was left out before it. Comment lines are left as empty lines, so that lines count.
- Memory is a few times `chunk_bytes`; a single record may be as long as `MAX_RECORD_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from outcore.errors import IngestError
from outcore.text.dialect import WHITESPACE, Dialect, squeeze
from outcore.text.sources import Source, Stream

#: Beyond this a record is taken for a quote that was never closed.
MAX_RECORD_BYTES = 64 << 20
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_UTF8_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Chunk:
    """Whole records of one file.

    Attributes
    ----------
    path : str
        The file.
    data : bytes
        The text; the last record of a file may lack its newline.
    first_line : int
        Physical line, from 1, of the first byte of `data`.
    read_bytes : int
        Bytes of the file on disk that were read to get this chunk, since the chunk before.
    """

    path: str
    data: bytes
    first_line: int
    read_bytes: int


def read_chunks(
    source: Source, dialect: Dialect, chunk_bytes: int, *, header: bool = False
) -> Iterator[Chunk]:
    """Read a file from its start, in chunks of about `chunk_bytes`.

    Parameters
    ----------
    header : bool
        Whether to leave the header in the first chunk.

    Raises
    ------
    IngestError
        Not text, not of the encoding, damaged compression, or a quote that is never closed.
    """
    with source.open() as stream:
        reader = _Reader(source, stream, dialect)
        reader.skip_lines(dialect.skip_rows, chunk_bytes)
        skip_header = dialect.header and not header
        while (found := reader.next(chunk_bytes)) is not None:
            data, line, read_bytes = found
            if skip_header:
                end = header_end(data, dialect)
                skip_header = end == 0 and not data.strip(b"\r\n")  # only blank lines so far
                data, line = data[end:], line + data.count(b"\n", 0, end)
            if dialect.delimiter == WHITESPACE:
                data = squeeze(data, dialect.quote)
            yield Chunk(source.path, data, line, read_bytes)


class _Reader:
    """The bytes of one file, with what is left over from the last cut."""

    def __init__(self, source: Source, stream: Stream, dialect: Dialect) -> None:
        self._source = source
        self._stream = stream
        self._dialect = dialect
        self._rest = self._first()
        self._line = 1
        self._position = 0
        self._ended = False

    def _first(self) -> bytes:
        start = self._stream.read(3)
        for mark, encoding in _BOMS.items():
            if start.startswith(mark):
                raise IngestError(
                    f"{self._source.path} is {encoding} text; expected {self._dialect.encoding}.\n"
                    f"Recode it first: iconv -f {encoding} -t utf-8."
                )
        return self._recode(start.removeprefix(_UTF8_BOM) if self._dialect.encoding != "latin-1" else start)

    def _recode(self, data: bytes) -> bytes:
        if self._dialect.encoding == "latin-1" and not data.isascii():
            return data.decode("latin-1").encode()
        return data

    def _read(self, nbytes: int) -> bytes:
        data = self._stream.read(nbytes)
        self._ended = len(data) < nbytes
        return self._rest + self._recode(data) if self._rest else self._recode(data)

    def skip_lines(self, count: int, chunk_bytes: int) -> None:
        """Leave out physical lines."""
        while count > 0:
            self._rest = self._read(chunk_bytes)
            while count > 0 and (end := self._rest.find(b"\n") + 1):
                self._rest, self._line, count = self._rest[end:], self._line + 1, count - 1
            if self._ended:
                return

    def next(self, chunk_bytes: int) -> tuple[bytes, int, int] | None:
        """Cut the next whole records off: text, its first line, bytes read; None at the end."""
        if self._ended and not self._rest:
            return None
        data = self._more(chunk_bytes)
        while not self._ended and not (end := last_record_end(data, self._dialect.quote)):
            if len(data) > max(MAX_RECORD_BYTES, chunk_bytes):
                raise self._endless(data)
            self._rest = data
            data = self._more(max(chunk_bytes, len(data)))
        if self._ended:
            end = len(data)
            if is_open(data, self._dialect.quote):
                raise self._endless(data)
        head, self._rest = data[:end], data[end:]
        line, self._line = self._line, self._line + head.count(b"\n")
        before, self._position = self._position, self._stream.position()
        return head, line, self._position - before

    def _more(self, nbytes: int) -> bytes:
        data = self._rest if self._ended else self._read(nbytes)
        return blank_comments(data, self._dialect, ended=self._ended)

    def _endless(self, data: bytes) -> IngestError:
        quote = self._dialect.quote
        start = last_record_end(data, quote)
        at = data.find(quote.encode(), start) if quote else start
        line = self._line + data.count(b"\n", 0, max(at, start))
        if not quote or at < 0:
            return IngestError(
                f"{self._source.path}:{line}  a line is longer than {MAX_RECORD_BYTES} bytes.\n"
                "Is this a text file with one record a line?"
            )
        return IngestError(
            f"{self._source.path}:{line}  the quote {quote} that opens here is never closed: "
            f"{data[at : at + 40].decode(errors='replace')!r}.\n"
            "Close it, or use quote=None (--quote '') if quotes mean nothing here."
        )


def last_record_end(data: bytes, quote: str) -> int:
    r"""Return where the last whole record of `data` ends; 0 if there is none.

    `data` starts at the start of a record.

    Examples
    --------
    >>> last_record_end(b'1,2\n3,"a\nb', '"')
    4
    """
    mark = quote.encode()
    end = data.rfind(b"\n")
    if not mark or mark not in data:
        return end + 1
    before = data.count(mark, 0, end + 1)
    while end >= 0 and before % 2:
        next_end = data.rfind(b"\n", 0, end)
        before -= data.count(mark, next_end + 1, end)
        end = next_end
    return end + 1


def is_open(data: bytes, quote: str) -> bool:
    """Whether `data`, from the start of a record on, ends inside quotes."""
    return bool(quote) and data.count(quote.encode()) % 2 == 1


def header_end(data: bytes, dialect: Dialect) -> int:
    """Return where the first record that is not blank ends; 0 if there is none."""
    start, mark = 0, dialect.quote.encode()
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        while mark and data.count(mark, start, end) % 2 and end < len(data):
            end = data.find(b"\n", end) + 1 or len(data)
        if data[start:end].strip(b"\r\n"):
            return end
        start = end
    return 0


def blank_comments(data: bytes, dialect: Dialect, *, ended: bool) -> bytes:
    r"""Empty the comment lines; their newlines stay. `data` starts at the start of a record.

    Parameters
    ----------
    ended : bool
        Whether nothing follows `data`, so that a last line without a newline is whole.

    Examples
    --------
    >>> blank_comments(b"1,2\n# no\n3,4\n", Dialect(",", comment="#"), ended=True)
    b'1,2\n\n3,4\n'
    """
    prefix, mark = dialect.comment.encode(), dialect.quote.encode()
    if not prefix or prefix not in data:
        return data
    kept, done, quotes = [], 0, 0
    start = 0 if data.startswith(prefix) else _line_starting(prefix, data, 0)
    while start >= 0:
        quotes += data.count(mark, done, start) if mark else 0
        end = data.find(b"\n", start)
        if end < 0 and not ended:
            break  # the rest of this line is still to come
        end = len(data) if end < 0 else end
        inside = quotes % 2 == 1  # then it is a line of a quoted field, not a comment
        kept.append(data[done:end] if inside else data[done:start])
        quotes += data.count(mark, start, end) if inside else 0
        done, start = end, _line_starting(prefix, data, end)
    kept.append(data[done:])
    return b"".join(kept)


def _line_starting(prefix: bytes, data: bytes, position: int) -> int:
    found = data.find(b"\n" + prefix, position)
    return found + 1 if found >= 0 else -1
