"""What a stream begins from: a file by name, a member of an archive, or something already open.

Reads from : files, zip archives, standard input, pipes
Hands to   : text.streams

Guarantees
- A file by name is open only between `begin` and `close`.
- What was opened by somebody else is not closed here.
- What can be read only once may be sampled first: the sampled bytes are kept, and given again.
"""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import Any, Protocol

from outcore.errors import IngestError
from outcore.text.archives import Member, MemberBytes
from outcore.text.decoding import decoder
from outcore.text.parallel_gzip import ParallelGzip
from outcore.text.raw_bytes import MAGIC_BYTES, Ahead, Readable, compression_of, foreign


class Origin(Protocol):
    """Where the bytes of one stream come from."""

    #: "" for plain text; known once begun.
    compression: str
    #: The file at whose byte n the nth byte of text lies; None where that is not so.
    plain: io.FileIO | None

    def begin(self) -> Readable:
        """Return the decompressed bytes from the first on; again, if it is repeatable."""

    def position(self) -> int:
        """Raw bytes read so far."""

    def check(self, *, ended: bool) -> None:
        """Raise IngestError if the file changed; `ended` says that all of it was read."""

    def close(self) -> None:
        """Close what was opened here."""


class Watched:
    """An open file, with what it was like when it was found."""

    def __init__(self, path: str, nbytes: int, mtime_ns: int) -> None:
        self.path = path
        self._seen = (nbytes, mtime_ns)
        try:
            self.file = io.FileIO(path, "r")
        except FileNotFoundError:
            raise self._changed("it was deleted or renamed") from None

    def check(self) -> None:
        """Raise IngestError if the file is another, or has changed, since it was found."""
        here = os.fstat(self.file.fileno())
        now = (here.st_size, here.st_mtime_ns)
        if now != self._seen:
            raise self._changed(f"it had {_described(*self._seen)}, and has {_described(*now)}")
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            raise self._changed("it was deleted or renamed") from None
        if not os.path.samestat(here, there):
            other = _described(there.st_size, there.st_mtime_ns)
            raise self._changed(f"it had {_described(*now)}, and another file of {other} took its place")

    def check_whole(self, read_bytes: int) -> None:
        """Raise IngestError if the file ended before the bytes that it had."""
        if read_bytes < self._seen[0]:
            raise self._changed(f"it had {self._seen[0]} bytes, and ended after {read_bytes}")

    def _changed(self, what: str) -> IngestError:
        return IngestError(
            f"{self.path} changed since this run found it: {what}.\n"
            "Run again when nothing writes to it; a finished copy is safe to read."
        )


def _described(nbytes: int, mtime_ns: int) -> str:
    seconds, rest = divmod(mtime_ns, 10**9)
    return f"{nbytes} bytes of {datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest:09d} UTC"


class FileOrigin:
    """A regular file by name."""

    def __init__(self, path: str, nbytes: int, mtime_ns: int, threads: int) -> None:
        self.compression = ""
        self.plain: io.FileIO | None = None
        self._threads = threads
        self._watched = Watched(path, nbytes, mtime_ns)
        self._parallel: ParallelGzip | None = None

    def begin(self) -> Readable:
        """Return the decompressed bytes from the first on."""
        file, path = self._watched.file, self._watched.path
        self._end_threads()
        start = os.pread(file.fileno(), MAGIC_BYTES, 0)
        self.compression = compression_of(start)
        _refuse_foreign(start, path)
        file.seek(0)
        if not self.compression:
            self.plain = file
            return file
        data = decoder(self.compression, file, name=path, threads=self._threads)
        self._parallel = data if isinstance(data, ParallelGzip) else None
        return data

    def position(self) -> int:
        """Return how many raw bytes were read so far."""
        return self._parallel.position() if self._parallel else self._watched.file.tell()

    def check(self, *, ended: bool) -> None:
        """Raise IngestError if the file changed."""
        self._watched.check()
        if ended:
            self._watched.check_whole(self.position())

    def close(self) -> None:
        """Close what was opened here."""
        self._end_threads()
        self._watched.file.close()

    def _end_threads(self) -> None:
        if self._parallel:
            self._parallel.close()
        self._parallel = None


class MemberOrigin:
    """A member of a zip archive; it may be compressed once more, as files are."""

    def __init__(self, path: str, archive: str, nbytes: int, mtime_ns: int, member: Member) -> None:
        self.compression = "zip"
        self.plain: io.FileIO | None = None
        self._path = path
        self._member = member
        self._data: MemberBytes | None = None
        self._watched = Watched(archive, nbytes, mtime_ns)

    def begin(self) -> Readable:
        """Return the decompressed bytes from the first on."""
        self._data = MemberBytes(self._watched.file, self._member)
        return _decoded(Ahead(self._data, self._path), self._path)[0]

    def position(self) -> int:
        """Return how many raw bytes were read so far."""
        return self._data.position() if self._data else 0

    def check(self, *, ended: bool) -> None:
        """Raise IngestError if the file changed."""
        self._watched.check()

    def close(self) -> None:
        """Close what was opened here."""
        self._watched.file.close()


class Once:
    """Something that can be read only once: standard input, a pipe, an open file.

    Parameters
    ----------
    path : str
        Name for messages; that of the pipe to open if `file` is None.
    file : object, optional
        Anything with ``read(n)``.
    """

    def __init__(self, path: str, file: Any = None) -> None:
        self.path = path
        self._given = file
        self._own: io.FileIO | None = None
        self._raw: Ahead | None = None
        self._data: Readable | None = None
        self._compression = ""
        self._kept = bytearray()
        self._taken = False

    def reads(self, file: object) -> bool:
        """Whether this is what reads `file`."""
        return self._given is file

    def origin(self, *, sample: bool) -> OnceOrigin:
        """Begin at the first byte; with `sample`, not for the last time.

        Raises
        ------
        IngestError
            It was begun before, and not as a sample.
        """
        if self._taken:
            raise IngestError(
                f"{self.path} can be read only once, and was.\nGive the path of a file to read it again."
            )
        self._taken = not sample
        if self._raw is None or self._data is None:
            if self._given is None:
                self._given = self._own = io.FileIO(self.path, "r")
            self._raw = Ahead(self._given, self.path)
            self._data, self._compression = _decoded(self._raw, self.path)
        return OnceOrigin(self, self._compression, self._raw, _Replay(self._data, self._kept, keep=sample))

    def close(self) -> None:
        """Close the pipe if it was opened here."""
        if self._own is not None:
            self._own.close()


class OnceOrigin:
    """One reading of a `Once`."""

    def __init__(self, once: Once, compression: str, raw: Ahead, data: _Replay) -> None:
        self.compression = compression
        self.plain: io.FileIO | None = None
        self._once = once
        self._raw = raw
        self._data = data
        self._begun = False

    def begin(self) -> Readable:
        """Return the decompressed bytes from the first on."""
        if self._begun:
            raise IngestError(
                f"{self._once.path} can be read only from its start to its end.\n"
                "Give the path of a file, which can be read from the middle."
            )
        self._begun = True
        return self._data

    def position(self) -> int:
        """Return how many raw bytes were read so far."""
        return self._raw.count

    def check(self, *, ended: bool) -> None:
        """Nothing to compare with: what comes is all there is."""

    def close(self) -> None:
        """Close what was opened here."""
        if not self._data.keep:
            self._once.close()


class _Replay:
    """What was kept, then what follows; which is kept too if `keep`, and else what was is forgotten."""

    def __init__(self, data: Readable, kept: bytearray, *, keep: bool) -> None:
        self.keep = keep
        self._data = data
        self._kept = kept
        self._at = 0

    def read(self, nbytes: int) -> bytes:
        if self._at < len(self._kept):
            found = bytes(memoryview(self._kept)[self._at : self._at + nbytes])
            self._at += len(found)
            return found
        if not self.keep:
            self._kept.clear()
            self._at = 0
        found = self._data.read(nbytes)
        if self.keep:
            self._kept += found
            self._at = len(self._kept)
        return found


def _decoded(raw: Ahead, path: str) -> tuple[Readable, str]:
    start = raw.peek(MAGIC_BYTES)
    compression = compression_of(start)
    _refuse_foreign(start, path)
    return (decoder(compression, raw, name=path) if compression else raw), compression


def _refuse_foreign(start: bytes, path: str) -> None:
    found = foreign(start)
    if found is not None:
        what, cure = found
        raise IngestError(f"{path} is {what}, not text.\nTry: {cure.format(path=path)}.")
