r"""The bytes of a file as UTF-8 with ``\n`` for newlines, whatever they were.

Reads from : text.streams
Hands to   : text.cutting

Guarantees
- A byte order mark decides the encoding, and is left out.
- Files of Macintosh newlines (``\r`` alone) get ``\n``; which newline a file has is seen at its first line
  end outside quotes, so it does not depend on how much is read at a time.
- Bytes that the encoding has no character for become bytes that are no UTF-8: whoever parses them finds
  them, at their place.
"""

from __future__ import annotations

import codecs
import re

from outcore.errors import IngestError
from outcore.text.dialect import Dialect
from outcore.text.places import SAME_BYTES
from outcore.text.streams import Stream

_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_LINE_END = re.compile(b"[\r\n]")
#: How far to look for the first line end.
HEAD_BYTES, LOOK_BYTES = 1 << 16, 1 << 20


class Recoded:
    """Reads a stream as UTF-8.

    Attributes
    ----------
    encoding : str
        That of the file.
    mark_bytes : int
        Length of its byte order mark.
    """

    def __init__(self, stream: Stream, path: str, dialect: Dialect) -> None:
        self._stream = stream
        self._path = path
        self._exhausted = False
        start = stream.read(HEAD_BYTES)
        mark = next((mark for mark in _MARKS if start.startswith(mark)), b"")
        given = "utf-16-le" if dialect.encoding == "utf-16" else dialect.encoding
        self.encoding = _MARKS.get(mark, given)
        self.mark_bytes = len(mark)
        self._decoder = self._new_decoder()
        self._returns = False  # until the newline is known
        self._head = self._recode(start[self.mark_bytes :], HEAD_BYTES - len(start))
        self._returns = self._find_newline(dialect)
        if self._returns:
            self._head = self._head.replace(b"\r", b"\n")

    def _new_decoder(self) -> codecs.IncrementalDecoder | None:
        if self.encoding in SAME_BYTES:
            return None
        # What cannot be decoded passes as lone surrogates, which are no UTF-8.
        errors = "surrogatepass" if self.encoding.startswith("utf-16") else "surrogateescape"
        return codecs.getincrementaldecoder(self.encoding)(errors)

    def _recode(self, data: bytes, missing: int) -> bytes:
        """Turn bytes as they were read into UTF-8; `missing` of those asked for were not there."""
        self._exhausted = missing > 0
        if self._decoder is not None:
            try:
                data = self._decoder.decode(data, self._exhausted).encode("utf-8", "surrogatepass")
            except UnicodeDecodeError as error:
                raise IngestError(
                    f"{self._path} ends in the middle of a character of {self.encoding} ({error.reason}).\n"
                    'Is it whole, and of that encoding? Use for example encoding="latin-1" '
                    "(--encoding latin-1)."
                ) from error
        return data.replace(b"\r", b"\n") if self._returns else data

    def _find_newline(self, dialect: Dialect) -> bool:
        """Whether the first line end outside quotes is a carriage return alone."""
        prefix, mark = dialect.comment.encode(), dialect.quote.encode()
        if dialect.skip_rows or (prefix and self._head.lstrip(b" \t").startswith(prefix)):
            mark = b""  # in the first line they mean nothing
        position = n_quotes = 0
        while True:
            found = _LINE_END.search(self._head, position)
            at, size = found.start() if found else 0, len(self._head)
            cut = found is not None and found[0] == b"\r" and at + 1 == size  # a \n may follow
            if not self._exhausted and (cut or (found is None and size < LOOK_BYTES)):
                self._head += self._from_stream(HEAD_BYTES)
                continue
            if found is None:
                return False
            n_quotes += self._head.count(mark, position, at) if mark else 0
            if n_quotes % 2 == 0:
                return found[0] == b"\r" and self._head[at + 1 : at + 2] != b"\n"
            position = at + 1

    def _from_stream(self, nbytes: int) -> bytes:
        data = self._stream.read(nbytes)
        return self._recode(data, nbytes - len(data))

    @property
    def ended(self) -> bool:
        """Whether everything was read; known with the read that reaches the end or the one after it."""
        return self._exhausted and not self._head

    def read(self, nbytes: int) -> bytes:
        """Read about `nbytes`."""
        if not self._head:
            return self._from_stream(nbytes)
        head, self._head = self._head[:nbytes], self._head[nbytes:]
        missing = nbytes - len(head)
        return head + self._from_stream(missing) if missing and not self._exhausted else head

    @property
    def direct(self) -> bool:
        """Whether there is more to read, and it stands in a file like that, which can be looked into."""
        return self._stream.seekable and self._decoder is None and not (self._returns or self._exhausted)

    def look(self, byte: int, nbytes: int) -> bytes:
        """Read bytes of a `direct` file without moving."""
        return self._stream.look(byte, nbytes)

    def seek(self, byte: int) -> None:
        """Go to a byte of the file at which a record starts."""
        self._stream.seek(byte)
        self._decoder = self._new_decoder()
        self._head, self._exhausted = b"", False
