"""One source, and a million of them in little memory.

Reads from : the file system
Hands to   : text.sources, text.cutting, text.plan

Guarantees
- A file takes its name and 24 bytes, a member of an archive 72; a `Source` is made when it is asked for.
- Nothing is kept open but what came open, and pipes between a sample and the reading.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self, overload

from outcore.errors import NotFoundError
from outcore.text import archives
from outcore.text.archives import SEPARATOR, Member
from outcore.text.origins import FileOrigin, MemberOrigin, Once
from outcore.text.streams import Stream


@dataclass(frozen=True)
class Source:
    """One file, member of an archive, or stream.

    Attributes
    ----------
    path : str
        Its name for messages: a path, ``"logs.zip::a.csv"``, ``"<stdin>"``.
    nbytes : int
        Its bytes on disk; -1 if they are not known.
    mtime_ns : int
        When it was last changed (of a member, its archive); 0 if that is not known.
    """

    path: str
    nbytes: int
    mtime_ns: int
    _once: Once | None = field(default=None, repr=False)
    _archive: _Archive | None = field(default=None, repr=False)
    _member: Member | None = field(default=None, repr=False)

    @property
    def repeatable(self) -> bool:
        """Whether it can be opened again; not so for standard input, pipes, and most open files."""
        return self._once is None

    def open(self, threads: int = 1, *, sample: bool = False) -> Stream:
        """Open it at its first decompressed byte.

        Parameters
        ----------
        threads : int
            Threads that may decompress it; see `text.parallel_gzip` for when that is done and what it costs.
        sample : bool
            Whether it will be opened once more. What is read of a source that is not repeatable is kept until
            then, and given again.

        Raises
        ------
        IngestError
            Not repeatable, and opened before without `sample`; or a file of a kind that is no text.
        OptionError
            Compressed in a way that needs a module that is not installed.
        """
        if self._once is not None:
            return Stream(self.path, self._once.origin(sample=sample))
        if self._archive is not None and self._member is not None:
            archive = self._archive
            origin = MemberOrigin(self.path, archive.path, archive.nbytes, archive.mtime_ns, self._member)
            return Stream(self.path, origin)
        return Stream(self.path, FileOrigin(self.path, self.nbytes, self.mtime_ns, threads))

    @property
    def compression(self) -> str:
        """How it is compressed, "" if it is not; a look at its first bytes."""
        with self.open(sample=True) as stream:
            return stream.compression


@dataclass(frozen=True)
class _Archive:
    """A zip archive, and the index of its first member among the sources."""

    first: int
    path: str
    nbytes: int
    mtime_ns: int


class Sources(Sequence[Source]):
    """What is to be read, in order; each `Source` is made when it is asked for.

    Close it to close pipes that were sampled and never read.
    """

    def __init__(self) -> None:
        # One object for all names, and one for all of each number: 24 bytes a file beyond its name.
        self._names = bytearray()
        self._ends = array("q", [0])
        self._nbytes = array("q")
        self._mtimes_ns = array("q")
        self._once: dict[int, Once] = {}
        self._archives: list[_Archive] = []
        self._member_indices = array("q")
        self._members = tuple(array("q") for _ in Member._fields)

    def __len__(self) -> int:
        return len(self._nbytes)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> list[Source]: ...
    def __getitem__(self, index: int | slice) -> Source | list[Source]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"source {index} of {len(self)}")
        path = self._names[self._ends[i] : self._ends[i + 1]].decode("utf-8", "surrogateescape")
        archive, member = self._member(i)
        return Source(path, self._nbytes[i], self._mtimes_ns[i], self._once.get(i), archive, member)

    def __iter__(self) -> Iterator[Source]:
        return (self[i] for i in range(len(self)))

    def _member(self, index: int) -> tuple[_Archive | None, Member | None]:
        at = bisect_right(self._member_indices, index) - 1
        if at < 0 or self._member_indices[at] != index:
            return None, None
        archive = self._archives[bisect_right(self._archives, index, key=lambda one: one.first) - 1]
        return archive, Member(*(numbers[at] for numbers in self._members))

    @property
    def nbytes(self) -> int:
        """Bytes on disk of all that is known."""
        return sum(nbytes for nbytes in self._nbytes if nbytes > 0)

    @property
    def repeatable(self) -> bool:
        """Whether all of it can be opened again."""
        return not self._once

    def holds(self, file: object) -> bool:
        """Whether an open file is among them already."""
        return any(once.reads(file) for once in self._once.values())

    def close(self) -> None:
        """Close pipes that were opened and not read to their end."""
        for once in self._once.values():
            once.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, name: bytes, nbytes: int, mtime_ns: int) -> None:
        self._names += name
        self._ends.append(len(self._names))
        self._nbytes.append(nbytes)
        self._mtimes_ns.append(mtime_ns)

    def add_once(self, once: Once) -> None:
        """Add what can be read only once."""
        self._once[len(self)] = once
        self._add(once.path.encode("utf-8", "surrogateescape"), -1, 0)

    def add_file(self, path: bytes) -> None:
        """Add a file by name; the members of a zip archive, and a pipe as what is read once."""
        try:
            info = os.stat(path)
        except FileNotFoundError:
            raise gone(os.fsdecode(path)) from None
        if not stat.S_ISREG(info.st_mode):
            self.add_once(Once(os.fsdecode(path)))
        elif path[-4:].lower() == b".zip" and archives.is_archive(os.fsdecode(path)):
            self.add_members(os.fsdecode(path), None)
        else:
            self._add(path, info.st_size, info.st_mtime_ns)

    def add_members(self, path: str, pattern: str | None) -> None:
        """Add the members of a zip archive that `pattern` names, all by default."""
        info = os.stat(path)
        found = archives.members(path, pattern)
        self._archives.append(_Archive(len(self), path, info.st_size, info.st_mtime_ns))
        for name, member in found:
            self._member_indices.append(len(self))
            for numbers, number in zip(self._members, member, strict=True):
                numbers.append(number)
            display = f"{path}{SEPARATOR}{name}".encode("utf-8", "surrogateescape")
            self._add(display, member.compressed, info.st_mtime_ns)


def gone(path: str) -> NotFoundError:
    """Say that a file that was listed is not there."""
    if os.path.islink(path):
        return NotFoundError(
            f"{path} is a link to {os.readlink(path)}, which is not there.\n"
            "Restore what it leads to, or remove the link: rows would be missing without a word."
        )
    return NotFoundError(f"{path} was there a moment ago, and is not any more.\nRun again when it stays.")
