"""Names of files, in an order that does not surprise.

Reads from : the file system
Hands to   : text.sources, text.archives

Guarantees
- The files of a pattern or folder come in natural order, part2 before part10, whatever order the file system
  lists them in.
- Memory is one `bytes` for each name, of about twice its length: a million names fit in about 100 MB while
  they are sorted.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator

_DIGITS = re.compile(rb"([0-9]+)")
#: Behind the sort key of a name, before the name. In a key a zero byte is followed by another one never.
_END = b"\0\0"


def natural(name: str) -> bytes:
    """Sort key that compares numbers inside names as numbers.

    Examples
    --------
    >>> sorted(["part10.csv", "part2.csv"], key=natural)
    ['part2.csv', 'part10.csv']
    """
    return _key(name.encode("utf-8", "surrogateescape"))


def _key(name: bytes) -> bytes:
    # Text and digits alternate, text first. Digits begin with a zero byte, so they come before any text, and
    # with how many there are.
    parts = _DIGITS.split(name)
    for i in range(1, len(parts), 2):
        digits = parts[i].lstrip(b"0")
        count = len(digits)
        parts[i] = (b"\0%c" % (count + 1) if count < 254 else b"\0\xff%020d" % count) + digits
    return b"".join(parts)


def sort(names: Iterable[bytes]) -> Iterator[bytes]:
    """Give names in natural order, each once, and each forgotten when it was given.

    Examples
    --------
    >>> list(sort([b"a10", b"a9", b"a09", b"a9"]))
    [b'a09', b'a9', b'a10']
    """
    # One object for each name instead of a name and a key.
    keyed = [_key(name) + _END + name for name in names]
    keyed.sort(reverse=True)
    last = None
    while keyed:
        key = keyed.pop()
        name = key[key.rindex(_END) + len(_END) :]
        if name != last:
            yield name
        last = name


def in_folder(folder: str, pattern: str = "*") -> Iterator[bytes]:
    """Name the files of one folder that match a pattern, but for hidden ones, in no order.

    A link to nothing is named too: left out, its rows would be missing without a word.
    """
    hidden = pattern.startswith(".")
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.startswith(".") and not hidden:
                continue
            if pattern != "*" and not fnmatch.fnmatchcase(entry.name, pattern):
                continue
            if entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
                yield os.fsencode(entry.name)


def matching(pattern: str) -> Iterator[bytes]:
    """Name the files that match a pattern, in natural order, with their folders."""
    folder, last = os.path.split(pattern)
    if glob.has_magic(folder) or "**" in last:
        found = glob.iglob(pattern, recursive=True)
        yield from sort(
            os.fsencode(path) for path in found if os.path.isfile(path) or not os.path.exists(path)
        )
    elif os.path.isdir(folder or "."):
        # What glob does, without its list of all names.
        start = os.fsencode(os.path.join(folder, ""))
        for name in sort(in_folder(folder, last)):
            yield start + name
