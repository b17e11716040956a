"""What the user names, turned into what is read: paths, patterns, folders, archives, pipes, open files.

Reads from : the file system
Hands to   : text.cutting, text.plan

Guarantees
- The files of a pattern, folder or archive come in natural order: part2 before part10. A list stays as given.
- Nothing is opened before its turn but zip archives, whose members must be listed.
- Memory is about 100 bytes a file, so a million small files are no trouble.
"""

from __future__ import annotations

import glob
import io
import os
import stat
import sys
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from outcore.errors import NotFoundError, OptionError
from outcore.text import names
from outcore.text.archives import SEPARATOR
from outcore.text.names import natural
from outcore.text.origins import Once
from outcore.text.source_sequence import Source, Sources, gone

__all__ = ["Source", "Sources", "SourcesLike", "find", "natural"]

#: The name of standard input, as on a command line.
STDIN = "-"


class BinaryFile(Protocol):
    """An open file: what it reads is bytes."""

    def read(self, nbytes: int, /) -> bytes:
        """Read up to `nbytes`; none at the end."""


SourceLike = str | os.PathLike[str] | BinaryFile
SourcesLike = SourceLike | Iterable[SourceLike]


def find(sources: SourcesLike, *, but: Collection[str] = ()) -> Sources:
    """Turn what the user gave into the files to read.

    Parameters
    ----------
    sources : str, path, open binary file, or iterable of them
        A file; a pattern (``*``, ``?``, ``[...]``, ``**``); a folder, whose files are taken but for hidden
        ones; a zip archive, or some of its members, ``"logs.zip::2024/*.csv"``; ``"-"`` for standard
        input; a pipe.
        The members of a list stay in the order given.
    but : collection of str
        Absolute paths of files and folders that patterns and folders pass over: what the run itself writes.

    Raises
    ------
    NotFoundError
        A name or pattern stands for no file; a link leads to none.
    OptionError
        `sources` is empty, or not text; an open file gives text instead of bytes.
    IngestError
        A member of an archive that cannot be read.

    Notes
    -----
    Memory: the names, and 24 bytes a file (72 for members of archives); while the files of one pattern are
    sorted, about three times the length of their names.
    """
    found = Sources()
    for one in _listed(sources):
        if hasattr(one, "read"):
            _add_open(found, one)
        else:
            _add_named(found, one, but)
    if not found:
        raise OptionError(
            'sources is empty: there is nothing to read.\nUse a path, or a pattern such as "logs/*.csv".'
        )
    return found


def _listed(sources: Any) -> Iterable[Any]:
    if isinstance(sources, (str, bytes, os.PathLike)) or hasattr(sources, "read"):
        return [sources]
    if isinstance(sources, Iterable):
        return sources
    raise _no_source(sources)


def _add_open(found: Sources, file: Any) -> None:
    if isinstance(file, io.TextIOBase):
        binary = getattr(file, "buffer", None)
        if binary is None:
            raise OptionError(
                f"sources holds {file!r:.60}, which gives text; expected bytes, whose encoding is known.\n"
                'Use io.BytesIO(text.encode()), or open files in binary mode: open(path, "rb").'
            )
        file = binary
    name = getattr(file, "name", None)
    if isinstance(name, str) and _is_whole(file, name):
        found.add_file(os.fsencode(name))
        return
    if found.holds(file):
        raise OptionError(f"sources holds {file!r:.60} twice.\nIt can be read only once: give it once.")
    display = name if isinstance(name, str) else f"<{type(file).__name__}>"
    found.add_once(Once(display, file))


def _is_whole(file: Any, name: str) -> bool:
    """Whether an open file is at the start of the regular file that bears its name: read by it instead."""
    raw = getattr(file, "raw", file)
    if not isinstance(raw, io.FileIO):
        return False  # GzipFile too has a name, and a file number: those of the compressed file
    info = os.fstat(raw.fileno())
    if not stat.S_ISREG(info.st_mode) or file.tell():
        return False
    try:
        return os.path.samestat(info, os.stat(name))
    except FileNotFoundError:
        return False


def _add_named(found: Sources, one: Any, but: Collection[str]) -> None:
    try:
        text = os.path.expanduser(os.fsdecode(one))
    except TypeError:
        raise _no_source(one) from None
    if text == STDIN:
        _add_stdin(found)
        return
    before, mode = len(found), _mode(text)
    if mode is not None and not stat.S_ISDIR(mode):
        found.add_file(os.fsencode(text))
        return
    if mode is None and os.path.islink(text):
        raise gone(text)
    if mode is not None:
        what = "the folder holds no files"
        start = os.fsencode(os.path.join(text, ""))
        for name in names.sort(names.in_folder(text)):
            if not _is_among(start + name, but):
                found.add_file(start + name)
    elif SEPARATOR in text:
        what = "no zip archive of that name"
        archive, pattern = _split(text)
        for path in [archive] if os.path.isfile(archive) else map(os.fsdecode, names.matching(archive)):
            found.add_members(path, pattern)
    else:
        what = "the pattern matches no file" if glob.has_magic(text) else "no file of that name"
        for name in names.matching(text):
            if not _is_among(name, but):
                found.add_file(name)
    if len(found) == before:
        raise NotFoundError(
            f"{text}: {what} (looked from {os.getcwd()}).\nCheck the name; quote patterns in a shell."
        )


def _is_among(path: bytes, but: Collection[str]) -> bool:
    if not any(os.fsencode(os.path.basename(one)) in path for one in but):
        return False  # the usual case, without a look at the current folder
    whole = os.path.abspath(os.fsdecode(path))
    return any(whole == one or whole.startswith(os.path.join(one, "")) for one in but)


def _add_stdin(found: Sources) -> None:
    binary = getattr(sys.stdin, "buffer", None)
    if binary is None:
        raise OptionError(
            f"sources is {STDIN!r}, but standard input is {sys.stdin!r:.60}, which gives no bytes.\n"
            "Use a path, or an open binary file."
        )
    if found.holds(binary):
        raise OptionError(f"sources holds standard input, {STDIN!r}, twice.\nIt can be read only once.")
    found.add_once(Once("<stdin>", binary))


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte in the name
        return None


def _split(text: str) -> tuple[str, str]:
    """Split archive and members, at the first separator that has a file before it."""
    at = text.find(SEPARATOR)
    while at >= 0:
        if os.path.isfile(text[:at]):
            return text[:at], text[at + len(SEPARATOR) :]
        at = text.find(SEPARATOR, at + 1)
    archive, _, pattern = text.partition(SEPARATOR)
    return archive, pattern


def _no_source(one: Any) -> OptionError:
    return OptionError(
        f"sources holds {one!r:.60}, {type(one).__name__}.\n"
        "Use paths, as str or pathlib.Path, or open binary files."
    )
