"""The files to read: paths, patterns and folders, in an order that does not surprise.

Reads from : the file system
Hands to   : text.plan, text.chunks

Guarantees
- The files of a pattern or folder come in natural order: part2 before part10.
- Compressed files (gzip, bzip2, xz) are known by their first bytes, not by their name.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Self, cast

from outcore.errors import IngestError, NotFoundError, OptionError

Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)


@dataclass(frozen=True)
class Source:
    """One file: its path, its bytes on disk, and how it is compressed ("" if it is not)."""

    path: str
    nbytes: int
    compression: str

    def open(self) -> Stream:
        """Open the file at its first decompressed byte."""
        return Stream(self)


class Stream:
    """The decompressed bytes of one file, read in order."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._raw = open(source.path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._stream: BinaryIO = cast(BinaryIO, _decompress(self._raw, source.compression))

    def read(self, nbytes: int) -> bytes:
        """Read `nbytes`, fewer only at the end of the file.

        Raises
        ------
        IngestError
            The compressed data is damaged.
        """
        pieces, wanted = [], nbytes
        try:
            while wanted > 0 and (piece := self._stream.read(wanted)):
                pieces.append(piece)
                wanted -= len(piece)
        except _DAMAGE as error:
            raise self._damaged(error) from error
        except OSError as error:
            # bz2 says "Invalid data stream" as an OSError without a number; the others are the system's.
            raise (self._damaged(error) if error.errno is None else error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _damaged(self, error: Exception) -> IngestError:
        return IngestError(
            f"{self._source.path}: the {self._source.compression} data is damaged or cut short ({error}).\n"
            "Fetch the file again; nothing was written."
        )

    def seek(self, position: int) -> None:
        """Go to a byte of an uncompressed file."""
        self._stream.seek(position)

    def position(self) -> int:
        """Bytes of the file on disk that were read so far."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _decompress(raw: io.FileIO, compression: str) -> io.IOBase:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if compression == "bzip2":
        return bz2.BZ2File(raw)
    if compression == "xz":
        return lzma.LZMAFile(raw)
    return raw


def find(sources: Sources) -> list[Source]:
    """Turn what the user gave into a list of files.

    Parameters
    ----------
    sources : str, path, or iterable of them
        A file, a pattern (``*``, ``?``, ``[...]``, ``**``) or a folder, whose files are taken but for hidden
        ones. The members of a list stay in the order given.

    Raises
    ------
    NotFoundError
        A name or pattern stands for no file.
    OptionError
        `sources` is empty, or not text.
    """
    given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    if not given:
        raise OptionError(
            'sources is empty: there is nothing to read.\nUse a path, or a pattern such as "logs/*.csv".'
        )
    paths = [path for one in given for path in _expand(one)]
    return [Source(path, os.path.getsize(path), _compression(path)) for path in paths]


def _expand(one: str | os.PathLike[str]) -> list[str]:
    try:
        text = os.fsdecode(one)
    except TypeError as error:
        raise OptionError(
            f"sources holds {one!r}, a {type(one).__name__}.\nUse paths, as str or pathlib.Path."
        ) from error
    text = os.path.expanduser(text)
    if os.path.isfile(text):
        return [text]
    if os.path.isdir(text):
        names = [name for name in os.listdir(text) if not name.startswith(".")]
        found = [path for name in names if os.path.isfile(path := os.path.join(text, name))]
        what = "the folder holds no files"
    else:
        found = [path for path in glob.glob(text, recursive=True) if os.path.isfile(path)]
        what = "no file of that name" if not glob.has_magic(text) else "the pattern matches no file"
    if not found:
        raise NotFoundError(
            f"{text}: {what} (looked from {os.getcwd()}).\nCheck the name; quote patterns in a shell."
        )
    return sorted(found, key=natural)


def natural(text: str) -> list[str | int]:
    """Sort key that compares numbers inside names as numbers.

    Examples
    --------
    >>> sorted(["part10.csv", "part2.csv"], key=natural)
    ['part2.csv', 'part10.csv']
    """
    # Text and digits alternate, text first, so two keys always compare like with like.
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", text))]


def _compression(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(6)
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")
