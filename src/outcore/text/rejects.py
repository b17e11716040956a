r"""The list of bad cells beside the target: a CSV file that only grows.

Reads from : text.listing
Hands to   : text.ingesting

Guarantees
- The file is UTF-8 with the header `HEADER`, written once; lines end with ``\n``; fields that need it are
  quoted as RFC 4180 says. Bytes that are no text, in names of files too, are written with backslashes.
- There is no file before the first fault.
- `tell` and `truncate` make it possible to go on where a journal says that it was.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from itertools import islice
from typing import Self

from outcore.errors import ExistsError, IngestError
from outcore.storage import formats
from outcore.storage.file import full
from outcore.storage.publish import check_folder
from outcore.text.listing import Fault

HEADER = "file,line,column,byte,field,kind,text"
#: Faults that are made text at a time.
_AT_A_TIME = 1000
_SPECIAL = frozenset(',"\n\r')


class RejectsWriter:
    """Writes faults to a file, behind what is there.

    Parameters
    ----------
    path : str
        Opened with the first fault; an existing file is continued, see `truncate`.

    Examples
    --------
    >>> with RejectsWriter("x.rejects.csv") as rejects:
    ...     rejects.add([Fault("x.csv", 3, 2, 14, "pct", "type", "1,5")])
    >>> with open("x.rejects.csv") as file:
    ...     print(file.read(), end="")
    file,line,column,byte,field,kind,text
    x.csv,3,2,14,pct,type,"1,5"
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._file: io.FileIO | None = None

    def add(self, faults: Iterable[Fault]) -> None:
        """Write faults.

        Raises
        ------
        DiskFullError
            There is no room for them.
        """
        rest = iter(faults)
        while some := list(islice(rest, _AT_A_TIME)):
            self._write("".join(map(_line, some)))

    def tell(self) -> int:
        """Return how many bytes are in the file, all of them handed to the system."""
        return self._size()  # nothing waits in a buffer

    def truncate(self, nbytes: int) -> None:
        """Forget what was written behind the first `nbytes`; with 0, the file.

        Raises
        ------
        IngestError
            The file has fewer bytes.
        """
        size = self.tell()
        if nbytes > size:
            raise IngestError(
                f"{self._path} has {size} bytes; {nbytes} were written: it was cut or removed.\n"
                "Use overwrite=True (--overwrite) to begin again."
            )
        self.close()
        if nbytes == 0:
            if os.path.lexists(self._path):
                os.unlink(self._path)
        elif nbytes < size:
            os.truncate(self._path, nbytes)

    def sync(self) -> None:
        """Wait until everything is on the disk, what earlier runs wrote too."""
        try:
            fd = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the file; what was written stays, and more can be added."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, text: str) -> None:
        if self._file is None:
            # Without a buffer: after an error nothing is tried once more when it is closed.
            self._file = io.FileIO(self._path, "ab")
        data = text if self._size() else f"{HEADER}\n{text}"
        _write_all(self._file, memoryview(data.encode("utf-8", "backslashreplace")), self._path)

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0


def _write_all(file: io.FileIO, data: memoryview, path: str) -> None:
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        raise full(path, file.tell(), error) from error


def check_place(path: str | os.PathLike[str]) -> None:
    """Check that a list of rejects may stand at `path`: nothing is there, or a list that may be replaced.

    Raises
    ------
    NotFoundError
        Its folder is missing.
    ExistsError
        Something else is there: a source, perhaps.
    """
    place = os.path.abspath(path)
    check_folder(place)
    if not os.path.lexists(place):
        return
    start = b""
    if os.path.isfile(place):
        with open(place, "rb") as file:
            start = file.read(len(HEADER))
    if start != HEADER.encode():
        raise ExistsError(
            f"{place} is there and is no list of rejects: it does not begin with {HEADER}.\n"
            'Remove it, or name another file: rejects="x.rejects.csv" (--rejects x.rejects.csv).'
        )


def rejects_path(target: str | os.PathLike[str]) -> str:
    """Name the rejects file that belongs to a target.

    Examples
    --------
    >>> rejects_path("x.npy"), rejects_path("run.h5::/group/x")
    ('x.rejects.csv', 'run.group.x.rejects.csv')
    """
    path, _, inner = os.fspath(target).partition(formats.SEPARATOR)
    name = f".{inner.strip('/')}".replace("/", ".") if inner else ""
    return f"{os.path.splitext(path)[0]}{name}.rejects.csv"


def _line(fault: Fault) -> str:
    return (
        f"{_quoted(fault.path)},{fault.line},{fault.column},{fault.byte},{_quoted(fault.field)},{fault.kind},"
        f"{_quoted(fault.text)}\n"
    )


def _quoted(text: str) -> str:
    return text if _SPECIAL.isdisjoint(text) else '"' + text.replace('"', '""') + '"'
