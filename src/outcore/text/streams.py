"""The decompressed bytes of one source, read in order.

Reads from : text.origins
Hands to   : text.cutting, text.survey, text.plan

Guarantees
- A read gives the bytes asked for, fewer only at the end; damaged or cut data is an error, never
  an early end.
- Memory beyond the result is a few times `decoding.PIECE_BYTES`, however far a seek goes.
- `check_unchanged` finds a file that was replaced, cut, edited or extended since it was found.
"""

from __future__ import annotations

import os
from typing import Self

from outcore.text.decoding import damage, damaged
from outcore.text.origins import Origin
from outcore.text.raw_bytes import Readable

_SKIP_BYTES = 1 << 20


class Stream:
    """The decompressed bytes of one source.

    Parameters
    ----------
    path : str
        Name for messages.
    origin : Origin
        Closed with the stream.
    """

    def __init__(self, path: str, origin: Origin) -> None:
        self._path = path
        self._origin = origin
        self._at = 0
        self._ended = False
        try:
            self._data = self._begin()
        except BaseException:
            origin.close()
            raise

    @property
    def compression(self) -> str:
        """``"gzip"``, ``"bzip2"``, ``"xz"``, ``"zstd"``, ``"zip"``, or ``""`` for plain text."""
        return self._origin.compression

    @property
    def seekable(self) -> bool:
        """Whether `seek` goes anywhere at once: a plain file."""
        return self._origin.plain is not None

    def read(self, nbytes: int) -> bytes:
        """Read `nbytes`, fewer only at the end.

        Raises
        ------
        IngestError
            The compressed data is damaged or cut short.
        """
        pieces, wanted = [], nbytes
        try:
            while wanted > 0 and (piece := self._data.read(wanted)):
                pieces.append(piece)
                wanted -= len(piece)
        except damage() as error:
            self._refuse(error)
            raise
        self._at += nbytes - wanted
        self._ended = self._ended or wanted > 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def look(self, byte: int, nbytes: int) -> bytes:
        """Read bytes of a `seekable` stream without moving; fewer only at the end."""
        plain = self._origin.plain
        if plain is None:
            raise ValueError(f"{self._path} cannot be looked into.")
        return os.pread(plain.fileno(), nbytes, byte)

    def skip(self, nbytes: int) -> int:
        """Leave out the next `nbytes`; return how many there were."""
        before = self._at
        plain = self._origin.plain
        if plain is not None:
            size = os.fstat(plain.fileno()).st_size
            self._at = plain.seek(max(min(before + nbytes, size), before))
        else:
            while (left := before + nbytes - self._at) > 0 and self.read(min(left, _SKIP_BYTES)):
                pass
        return self._at - before

    def seek(self, byte: int) -> None:
        """Go to decompressed byte `byte`, counted from the start; to the end if there are not so many.

        A plain file goes there at once. Others are decompressed up to there, from the start if it lies
        behind.

        Raises
        ------
        IngestError
            It lies behind, in what can be read only once.
        """
        plain = self._origin.plain
        if plain is not None:
            self._at = plain.seek(min(byte, os.fstat(plain.fileno()).st_size))
            self._ended = False
            return
        if byte < self._at:
            self._data = self._begin()
            self._at, self._ended = 0, False
        self.skip(byte - self._at)

    def position(self) -> int:
        """Bytes on disk, or of the pipe, that were read so far."""
        return self._origin.position()

    def check_unchanged(self) -> None:
        """Check that the file is still what was found; nothing to check for pipes and open files.

        Raises
        ------
        IngestError
            The file was replaced, deleted, cut, edited or extended, or was read to an end before its size.
        """
        self._origin.check(ended=self._ended)

    def close(self) -> None:
        """Close the file, unless it came open."""
        self._origin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> Readable:
        try:
            return self._origin.begin()
        except damage() as error:
            self._refuse(error)
            raise

    def _refuse(self, error: Exception) -> None:
        """Raise IngestError unless `error` is the system's, such as a disk that cannot be read."""
        if isinstance(error, OSError) and error.errno is not None:
            return
        # What changed while it was read looks damaged too; that it changed is the better answer.
        self._origin.check(ended=False)
        raise damaged(self._path, self.compression, error) from error
