"""Text files to one array: `ingest`.

Reads from : delimited text
Hands to   : users, the command line

Guarantees
- Memory does not depend on the size of the files; it is checked before anything is read.
- Every record becomes one row, in the order of the files, or is listed as one that could not.
- Nothing is cut, wrapped or guessed on the way: what does not fit is an `IngestError` with file and line.
- The target appears whole or not at all, and is the same bytes for any number of workers, any budget, and
  however often the work was interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Literal

from numpy.typing import DTypeLike

from outcore.array.handle import Array
from outcore.settings import MemoryLike, ProgressLike
from outcore.shared.sharedarray import SharedArray
from outcore.text.categories import CategoriesLike
from outcore.text.file_run import FileRun
from outcore.text.journal import Sidecar
from outcore.text.memory_run import into_memory
from outcore.text.request import Intent, OnError, Outcome, Request
from outcore.text.room import make_room
from outcore.text.sources import SourcesLike, find
from outcore.text.wishes import MISSING, SchemaLike, Wishes

TargetLike = str | os.PathLike[str] | SharedArray | None


def ingest(
    sources: SourcesLike,
    target: TargetLike,
    dtype: DTypeLike | str | None = None,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    names: Sequence[str] | None = None,
    columns: Sequence[str | int] | None = None,
    skip_rows: int = 0,
    comment: str | None = None,
    quote: str | None = '"',
    encoding: str = "utf-8",
    decimal: str = ".",
    na_values: Sequence[str] = MISSING,
    fill: float | None = None,
    categories: CategoriesLike | None = None,
    schema: SchemaLike | None = None,
    truncate: bool = False,
    on_error: OnError = "stop",
    max_rejects: int | None = None,
    rejects: str | os.PathLike[str] | None = None,
    memory: MemoryLike | None = None,
    workers: int | None = None,
    progress: ProgressLike | None = None,
    overwrite: bool = False,
    chunks: tuple[int, ...] | Literal[True] | None = None,
    compression: str | int | None = None,
) -> Array | SharedArray:
    r"""Read delimited text into one array, in parallel, within the memory budget.

    Killed, the same call goes on where it was. Finished, it does nothing, but for adding the rows of files
    that are new. Where all columns are numbers that one dtype holds, the result is a matrix; otherwise it has
    structured rows with the names of the header.

    Parameters
    ----------
    sources : str, path, open file, or list of them
        A file, a pattern such as ``"logs/*.csv"``, a folder, a zip archive, or a member of one,
        ``"logs.zip::day1.csv"``; ``"-"`` for standard input. Files of a pattern or folder are read in natural
        order (part2 before part10), those of a list as given. They may be compressed by gzip, bzip2, xz or
        zstd.
    target : str, path, SharedArray or None
        ``"x.npy"``, ``"x.h5::/x"``, or another name for raw binary; see `outcore.create`. A `SharedArray`
        with as many rows as there are records is filled; None makes a new one.
    dtype : dtype or str, optional
        One type for a matrix, such as ``"f4"``; names and types for structured rows, such as
        ``"chr:S10 pos:i4 pct:f4"``. Fields are matched to the header by name, or else by position.
        ``"S"`` and ``"U"`` without a width are measured; ``"category"`` is a column of categories. None looks
        at samples from the start, the middle and the end of every file (of compressed files, the start).
    delimiter : str, optional
        One character, or ``"whitespace"`` for runs of blanks and tabs. None finds it out.
    header : bool, optional
        Whether the first record of each file names the columns. None finds it out; numbers as names are not
        recognised.
    names : sequence of str, optional
        Names for all columns of the files, instead of those of the header.
    columns : sequence of str or int, optional
        The columns to keep, by name or position, in the order wanted.
    skip_rows : int
        Lines to pass over at the start of each file.
    comment : str, optional
        Lines that start with this are passed over.
    quote : str or None
        The character around fields that hold delimiters or newlines, doubled inside; None if quotes mean
        nothing.
    encoding : str
        ``"utf-8"``, ``"ascii"``, ``"latin-1"``, ``"cp1252"``, ``"iso8859-15"``, ``"utf-16"``,
        ``"utf-16-le"`` or ``"utf-16-be"``; a byte order mark has the last word. Text of dtype S is stored as
        UTF-8.
    decimal : {".", ","}
        The decimal mark.
    na_values : sequence of str
        Cells that mean "missing": NaN for floats, NaT for dates, empty text, and `fill` for other types. An
        empty cell is always missing.
    fill : number, optional
        Stands for missing numbers and truth values, those of float columns too.
    categories : str, int, list of them, or dict, optional
        Columns of which each text becomes a whole number: its place in the vocabulary, -1 for missing (or
        `fill`). A dict gives the vocabularies; others are found in a pass over the files, sorted, and kept in
        the schema.
    schema : str, path or dict, optional
        A ``schema.json`` that an earlier run wrote, edited or not: it decides all of the above.
    truncate : bool
        Whether text that is wider than its dtype is cut, at the end of a character, rather than an error.
    on_error : {"stop", "reject", "mask"}
        What becomes of records that cannot be read: the first ones stop the work; all are left out; or their
        bad cells become missing values.
    max_rejects : int, optional
        How many records may be left out, or cells masked, before that is an error.
    rejects : str or path, optional
        The file that lists every bad cell: CSV with the columns file, line, column, byte, field, kind, text.
        ``x.rejects.csv`` beside the target by default; needed where the target is shared memory.
    memory : int, float or str, optional
        Budget for this call; see `outcore.options`.
    workers : int, optional
        Threads; two more than there are processors, or fewer where the budget asks for it.
    progress : bool or callable, optional
        A bar (True), none (False), or ``callable(done_bytes, total_bytes)``, with a total of -1 where that is
        not known; by default a bar for long work on a terminal.
    overwrite : bool
        Whether an existing target may be replaced; it stays until the new one is complete.
    chunks, compression
        For HDF5, as in `outcore.create`.

    Returns
    -------
    Array or SharedArray of shape (n, n_columns), or (n,) for structured rows
        The target, open to read. A matrix holds float64 where ints and floats come together, or where ints
        are missing. Dates of ISO 8601 become datetime64, text S (or U where it is not all ASCII) of the width
        of the longest.

    Raises
    ------
    IngestError
        A record with too few or too many fields, a cell that is not of its column's type, a missing value in
        a column of ints without `fill`, text wider than its dtype, files with different headers, a quote that
        is never closed, a file that changed while it was read, or since it was read into the target. The text
        names file, line, column and cell; nothing stands under the target's name.
    NotFoundError
        A name or pattern stands for no file.
    ExistsError
        The target exists, was not made by the same call, and `overwrite` is False.
    OptionError, DTypeError, ShapeError
        An argument that makes no sense, or does not fit the files.
    MemoryBudgetError
        The budget is too small for the smallest chunk.

    Notes
    -----
    Memory: for each worker 12 times a chunk of text of at most 8 MB (smaller, or fewer workers, where the
    budget asks for it) and what the parser keeps, about 32 MB, whatever the size of the files. A record may
    have a seventh of the budget. A million files take 24 bytes each and their names.

    Disk: the array; for HDF5 twice, as the rows are collected in a flat file first. Beside the target stands
    the folder ``x.npy.ingest``: ``schema.json``, ``sources.csv`` (which rows came from which file) and what
    it takes to go on after a kill.

    Numbers are the nearest values of their type, bit for bit those of Python's ``float``. Blanks around
    numbers are passed over. A number too large for its type is an error.

    Where columns of text without a width are measured, or categories found, the files are read twice; also
    for shared memory, to count the records.

    Examples
    --------
    >>> with open("reads.csv", "w") as f:
    ...     _ = f.write("chr,pos,pct\nchr1,100,0.5\nchr2,20,NA\n")
    >>> x = oc.ingest("reads.csv", "reads.npy")
    >>> x.dtype
    dtype([('chr', 'S4'), ('pos', '<i8'), ('pct', '<f8')])
    >>> oc.ingest("reads.csv", "matrix.npy", "f4", columns=["pct", "pos"])[:]
    array([[  0.5, 100. ],
           [  nan,  20. ]], dtype=float32)

    Bad records can be left out, and are listed:

    >>> with open("bad.csv", "w") as f:
    ...     _ = f.write("pos,pct\n1,0.5\n2,?\n3,0.25\n")
    >>> oc.ingest("bad.csv", "good.npy", "f4", on_error="reject")[:]
    array([[1.  , 0.5 ],
           [3.  , 0.25]], dtype=float32)
    >>> with open("good.rejects.csv") as f:
    ...     print(f.read(), end="")
    file,line,column,byte,field,kind,text
    bad.csv,3,2,14,pct,type,?
    """
    wishes = Wishes(
        dtype,
        delimiter,
        header,
        names,
        columns,
        skip_rows,
        comment,
        quote,
        encoding,
        decimal,
        na_values,
        fill,
        categories,
        schema,
    )
    request = Request(
        wishes,
        truncate,
        on_error,
        max_rejects,
        rejects,
        memory,
        workers,
        progress,
        overwrite,
        chunks,
        compression,
    )
    return run(sources, target, request).array


def run(
    sources: SourcesLike,
    target: TargetLike,
    request: Request,
    tell: Callable[[Intent], None] | None = None,
) -> Outcome:
    """Do what `ingest` does, and tell what became of it.

    Parameters
    ----------
    tell : callable, optional
        Hears what a run into a file is about to do, before anything but samples is read.
    """
    request.check()
    room = make_room(request.memory, request.workers)
    if target is None or isinstance(target, SharedArray):
        with find(sources) as files:
            return into_memory(files, target, request, room)
    with find(sources, but=Sidecar(target, request.rejects).written) as files:
        return FileRun(files, os.fspath(target), request, room).run(tell)


def intend(
    sources: SourcesLike, target: str | os.PathLike[str], request: Request, tell: Callable[[Intent], None]
) -> None:
    """Tell what `run` would do, after the same checks; nothing is written, and only samples are read."""
    request.check()
    room = make_room(request.memory, request.workers)
    with find(sources, but=Sidecar(target, request.rejects).written) as files:
        tell(FileRun(files, os.fspath(target), request, room).intent())
