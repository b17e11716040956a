"""Cut a list of files into chunks of whole records, each with its place.

Reads from : text.sources, text.streams
Hands to   : text.pipeline

Guarantees
- A chunk ends at the end of a record: a newline that is not inside quotes.
- What is cut does not depend on who asks or when: the same files, dialect and size give the same chunks, and
  other sizes give the same records.
- Places are those of the files as they were written, whatever their encoding and newlines.
- Memory is a few times `chunk_bytes`; a single record may be as long as `record_bytes`.

Many small files go into one chunk, and none is open but the one that is being read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from outcore.errors import IngestError
from outcore.text.boundaries import (
    count_byte,
    field_at,
    first_record_end,
    header_end,
    last_record_end,
    open_quote,
)
from outcore.text.dialect import Dialect
from outcore.text.places import BEGINNING, Chunk, Piece, Place, source_bytes
from outcore.text.recoding import Recoded
from outcore.text.sources import Source

#: Beyond this a record is taken for a quote that was never closed.
MAX_RECORD_BYTES = 128 << 20
#: How much is looked at, ahead, for the end of a chunk; and the least that is read where that is not enough.
LOOK_BYTES, READ_BYTES = 1 << 16, 1 << 12
#: Small files that share a chunk.
MAX_PIECES = 4096

#: Gets a file's name and its header as UTF-8; raises if that is not the header of the other files.
CheckHeader = Callable[[str, bytes], None]


class Files(Protocol):
    """Sources in the order in which they are read; each is made when it is asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Source: ...


class Cutter:
    """Cuts the files one after the other; for one thread at a time.

    Parameters
    ----------
    chunk_bytes : int
        How much text to take at a time; a chunk is larger only where one record is.
    start : Place
        Where to begin; a record boundary.
    check_header : callable, optional
        Called for each file that is begun, where the dialect has headers.
    threads : int
        How many of them may decompress.
    """

    def __init__(
        self,
        sources: Files,
        dialect: Dialect,
        chunk_bytes: int,
        *,
        start: Place = BEGINNING,
        check_header: CheckHeader | None = None,
        record_bytes: int = MAX_RECORD_BYTES,
        threads: int = 1,
    ) -> None:
        self._sources = sources
        self._dialect = dialect
        self._chunk_bytes = chunk_bytes
        self._place = start
        self._check_header = check_header
        self._record_bytes = record_bytes
        self._threads = threads
        self._index = 0
        self._file: _File | None = None

    def next(self) -> Chunk | None:
        """Cut the next chunk off; None at the end.

        Raises
        ------
        IngestError
            Damaged compression, a file that changed, a header of its own, a quote that is never closed.
        """
        texts: list[bytes] = []
        pieces: list[Piece] = []
        size = read_bytes = 0
        while size < self._chunk_bytes and len(pieces) < MAX_PIECES and self._place.file < len(self._sources):
            if self._file is None:
                self._file = self._begin()
            file, at = self._file, self._place.file
            text = file.next(self._chunk_bytes - size)
            read_bytes += file.read_bytes()
            if text:
                pieces.append(Piece(Place(at, file.byte, file.line), file.path, file.encoding, size))
                texts.append(text)
                size += len(text)
                file.passed(text)
                self._place = Place(at, file.byte, file.line)
            if file.ended:
                self._end(file)
                if text and not text.endswith(b"\n"):
                    texts.append(b"\n")  # of the next file's first record, or of nobody's
                    size += 1
            elif text:
                break  # the rest of this file is for the next chunk
        if not pieces:
            return None
        self._index += 1
        data = texts[0] if len(texts) == 1 else b"".join(texts)
        return Chunk(self._index - 1, data, tuple(pieces), self._place, read_bytes)

    def _begin(self) -> _File:
        file = _File(
            self._sources[self._place.file],
            self._dialect,
            self._place,
            self._record_bytes,
            self._threads,
            self._check_header,
        )
        self._place = Place(self._place.file, file.byte, file.line)
        return file

    def _end(self, file: _File) -> None:
        self._file = None
        try:
            file.check_unchanged()
        finally:
            file.close()
        self._place = Place(self._place.file + 1, 0, 1)

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _File:
    """The text of one file from a record boundary on, with what is left over from the last cut."""

    def __init__(
        self,
        source: Source,
        dialect: Dialect,
        start: Place,
        record_bytes: int,
        threads: int,
        check_header: CheckHeader | None,
    ) -> None:
        self.path = source.path
        self._dialect = dialect
        self._record_bytes = record_bytes
        self._stream = source.open(threads=threads)
        self._reported = 0
        self._rest = b""
        self.ended = False
        try:
            self._text = Recoded(self._stream, self.path, dialect)
            self.encoding = self._text.encoding
            self.byte, self.line = start.byte, start.line
            if start.byte:
                self._text.seek(start.byte)
                # What was passed over at once was not read; what had to be decompressed was.
                self._reported = self._stream.position() if self._stream.seekable else 0
            else:
                self.byte = self._text.mark_bytes
                self._skip_lines(dialect.skip_rows)
                if dialect.header:
                    self._skip_header(check_header)
        except BaseException:
            self._stream.close()
            raise

    def _skip_lines(self, count: int) -> None:
        """Leave out physical lines."""
        while count > 0 and not self._text.ended:
            block = self._text.read(1 << 16)
            newlines = np.flatnonzero(np.frombuffer(block, np.uint8) == 0x0A)
            end = int(newlines[count - 1]) + 1 if len(newlines) >= count else len(block)
            self.passed(block[:end])
            self._rest, count = block[end:], count - len(newlines)

    def _skip_header(self, check: CheckHeader | None) -> None:
        """Leave out the first record, and the blank and comment lines before it."""
        while not (end := header_end(self._rest, self._dialect, ended=self._text.ended)):
            if self._text.ended:
                return
            self._refuse_endless(self._rest)
            self._rest += self._text.read(max(1 << 16, len(self._rest)))
        if self._text.ended:
            self._refuse_unclosed(self._rest[:end])
        if check is not None:
            check(self.path, self._rest[:end])
        self.passed(self._rest[:end])
        self._rest = self._rest[end:]

    def next(self, nbytes: int) -> bytes:
        """Cut whole records off, about `nbytes`; the last call sets `ended`."""
        if text := self._exactly(nbytes):
            return text
        rest, wanted = self._rest, nbytes
        if len(rest) > nbytes:  # more than one record may be left over from cutting off a long one
            end = last_record_end(rest[:nbytes], self._dialect)
            end = end or first_record_end(rest, self._dialect)
            if end:
                self._rest = rest[end:]
                return rest[:end]
        while True:
            least = max(wanted - len(rest), READ_BYTES)
            block = self._text.read(least) if not self._text.ended else b""
            # A record that is longer than a chunk gets one of its own: it takes all the memory there is.
            long = len(rest) >= nbytes
            if long or not self._text.ended:
                find = first_record_end if long else last_record_end
                end = find(block, self._dialect, before=rest)
                if end:
                    self._rest = block[end:]
                    text = b"".join((rest, memoryview(block)[:end])) if rest else block[:end]
                    self._refuse_endless(text)
                    return text
            if self._text.ended:
                whole = rest + block if rest else block
                self._refuse_unclosed(whole)
                self._refuse_endless(whole)
                self._rest, self.ended = b"", True
                return whole
            rest = rest + block if rest else block
            self._refuse_endless(rest)
            wanted = len(rest) + max(nbytes, len(rest) // 4)

    def _exactly(self, nbytes: int) -> bytes:
        """Read up to the last record end before `nbytes`, where the file can be looked into; or nothing.

        Cutting what was read is two copies of it, which take a fifth of the time of parsing it.
        """
        if not self._text.direct:
            return b""
        if self._rest:  # go back to where it begins
            self._text.seek(self.byte)
            self._rest = b""
        size = min(LOOK_BYTES, nbytes)
        ahead = self._text.look(self.byte + nbytes - size, size)
        end = ahead.rfind(b"\n") + 1
        if len(ahead) < size or not end:
            return b""
        text = self._text.read(nbytes - size + end)
        if last_record_end(text, self._dialect) == len(text):
            return text
        self._text.seek(self.byte)  # the newline is inside quotes
        return b""

    def passed(self, text: bytes) -> None:
        """Take note that `text` was handed out, or left out."""
        self.byte += source_bytes(text, self.encoding)
        self.line += count_byte(text, 0x0A)

    def read_bytes(self) -> int:
        """Bytes on disk that were read since the last time this was asked."""
        before, self._reported = self._reported, self._stream.position()
        return self._reported - before

    def _refuse_endless(self, text: bytes) -> None:
        if len(text) <= self._record_bytes:
            return
        self._refuse_unclosed(text)
        start = last_record_end(text, self._dialect)
        raise IngestError(
            f"{self.path}:{self.line + count_byte(text[:start], 0x0A)}  the record is longer than "
            f"{self._record_bytes} bytes, which is all that the memory budget has room for.\n"
            'Is this text with one record a line? If it is, give more: memory="4GB" (--memory 4GB).'
        )

    def _refuse_unclosed(self, text: bytes) -> None:
        at = open_quote(text, self._dialect)
        if at < 0:
            return
        self.check_unchanged()  # what was cut while it was read ends anywhere
        quote = self._dialect.quote
        shown = text[at : at + 40].decode(errors="replace")
        line = self.line + count_byte(text[:at], 0x0A)
        raise IngestError(
            f"{self.path}:{line}:{field_at(text, at, self._dialect)}  the quote {quote} that opens "
            f"here is never closed: {shown!r}.\n"
            "Close it, or use quote=None (--quote '') if quotes mean nothing here."
        )

    def check_unchanged(self) -> None:
        """Raise if the file is no longer what it was when it was found."""
        self._stream.check_unchanged()

    def close(self) -> None:
        self._stream.close()
