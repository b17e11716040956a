"""Members of zip archives: which there are, and their bytes as a stream.

Reads from : zip archives
Hands to   : text.sources, text.origins

Guarantees
- A member is decompressed as it is read, never whole, and its length and CRC-32 are checked.
- The directory of an archive is read once, however many members are opened. zipfile reads it for each, unless
  the archive stays open in between; so a member is remembered by its place in the file.
- Hidden members and those of ``__MACOSX`` are left out.
"""

from __future__ import annotations

import bz2
import fnmatch
import io
import lzma
import zipfile
import zlib
from typing import NamedTuple

from outcore.errors import IngestError, NotFoundError
from outcore.text.decoding import DamageError, Frames, inflater
from outcore.text.names import natural
from outcore.text.raw_bytes import Readable

#: Between the name of an archive and that of its members, which may be a pattern.
SEPARATOR = "::"
_STORED, _DEFLATED, _BZIP2, _LZMA = 0, 8, 12, 14
_METHODS = (_STORED, _DEFLATED, _BZIP2, _LZMA)
_ENCRYPTED_FLAGS = 0x1 | 0x40
_LOCAL_HEADER_BYTES = 30
_LISTED = 10


class Member(NamedTuple):
    """A member by its place: where its local header begins, its bytes there and when decompressed."""

    start: int
    compressed: int
    nbytes: int
    crc: int
    method: int


def is_archive(path: str) -> bool:
    """Whether a file is named as a zip archive, and is one."""
    return path.lower().endswith(".zip") and zipfile.is_zipfile(path)


def members(path: str, pattern: str | None) -> list[tuple[str, Member]]:
    """List the members of an archive that `pattern` names, all by default, in natural order.

    Raises
    ------
    IngestError
        Not a zip archive; a member that is encrypted, or compressed in a way that cannot be read.
    NotFoundError
        No member of that name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, EOFError) as error:
        raise IngestError(
            f"{path} is no zip archive, or damaged ({error}).\nFetch or make it again."
        ) from error
    infos = [info for info in infos if not _hidden(info.filename)]
    there = sorted((info.filename for info in infos), key=natural)
    chosen = infos
    if pattern is not None:
        chosen = [info for info in infos if info.filename == pattern] or [
            info for info in infos if fnmatch.fnmatchcase(info.filename, pattern)
        ]
    if not chosen:
        what = "holds no files" if pattern is None else f"holds no member {pattern}"
        rest = f", and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
        raise NotFoundError(
            f"{path} {what}; it holds: {', '.join(there[:_LISTED]) or 'nothing'}{rest}.\n"
            f"Name one, or give a pattern: {path}{SEPARATOR}*.csv."
        )
    chosen.sort(key=lambda info: (natural(info.filename), info.filename))
    return [(info.filename, _member(path, info)) for info in chosen]


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _member(path: str, info: zipfile.ZipInfo) -> Member:
    if info.flag_bits & _ENCRYPTED_FLAGS:
        raise IngestError(
            f"{path}{SEPARATOR}{info.filename} is encrypted.\n"
            f"Unpack it first: unzip {path} (7z x {path} for AES)."
        )
    if info.compress_type not in _METHODS:
        raise IngestError(
            f"{path}{SEPARATOR}{info.filename} is compressed by method {info.compress_type}; "
            f"known are stored, deflate, bzip2 and lzma ({', '.join(map(str, _METHODS))}).\n"
            f"Unpack it first: 7z x {path}."
        )
    return Member(info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type)


class MemberBytes:
    """The decompressed bytes of one member.

    Parameters
    ----------
    file : io.FileIO
        The archive; its position is used.
    member : Member

    Raises
    ------
    DamageError
        The member is not where it should be.
    """

    def __init__(self, file: io.FileIO, member: Member) -> None:
        self._member = member
        self._section = _Section(file, _data_start(file, member), member.compressed)
        self._data = _decoder(self._section, member)
        self._left = member.nbytes
        self._crc = 0

    def position(self) -> int:
        """Compressed bytes read so far."""
        return self._member.compressed - (self._section.left if self._left else 0)

    def read(self, nbytes: int) -> bytes:
        """Read up to `nbytes`; none at the end.

        Raises
        ------
        DamageError
            The member is shorter than the archive says, or its CRC-32 is another.
        """
        if not self._left:
            return b""
        found = self._data.read(min(nbytes, self._left))
        self._left -= len(found)
        self._crc = zlib.crc32(found, self._crc)
        if not found:
            raise DamageError(f"it ends {self._left} bytes early")
        if not self._left and self._crc != self._member.crc:
            raise DamageError(f"its CRC-32 is {self._crc:08x}, not {self._member.crc:08x}")
        return found


class _Section:
    """Some bytes of a file, from `start` on."""

    def __init__(self, file: io.FileIO, start: int, nbytes: int) -> None:
        self._file = file
        self._file.seek(start)
        self.left = nbytes

    def read(self, nbytes: int) -> bytes:
        found = self._file.read(min(nbytes, self.left))
        self.left -= len(found)
        return found


def _data_start(file: io.FileIO, member: Member) -> int:
    file.seek(member.start)
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(b"PK\x03\x04"):
        raise DamageError(f"no member begins at byte {member.start}")
    name_bytes, extra_bytes = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return member.start + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes


def _decoder(section: _Section, member: Member) -> Readable:
    if member.method == _STORED:
        return section
    if member.method == _DEFLATED:
        return Frames(section, inflater(raw=True), single=True)
    if member.method == _BZIP2:
        return Frames(section, bz2.BZ2Decompressor, single=True)
    # Version (2 bytes), size of the properties (2), and the properties (5), as in an .lzma file.
    head = section.read(9)
    settings, dictionary = head[4], int.from_bytes(head[5:9], "little")
    lzma1 = {
        "id": lzma.FILTER_LZMA1,
        "lc": settings % 9,
        "lp": settings // 9 % 5,
        "pb": settings // 45,
        "dict_size": dictionary,
    }
    return Frames(section, lambda: lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma1]), single=True)
