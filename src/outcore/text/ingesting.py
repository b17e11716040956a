"""Text files to one array on disk: `ingest`.

Reads from : delimited text
Hands to   : users, the command line

Guarantees
- Memory does not depend on the size of the files; it is checked before anything is read.
- Every record becomes one row, in the order of the files; records are counted apart from the parser.
- Nothing is cut, wrapped or guessed on the way: what does not fit is an `IngestError` with file and line.
- The target appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from numpy.typing import DTypeLike

from outcore import budget
from outcore import progress as bars
from outcore.array.creating import create
from outcore.array.handle import Array
from outcore.errors import ExistsError, IngestError
from outcore.settings import MemoryLike, ProgressLike
from outcore.storage import formats
from outcore.text import parse
from outcore.text.chunks import Chunk, read_chunks
from outcore.text.faults import explain
from outcore.text.parse import Plan, Unreadable
from outcore.text.plan import Wishes, make_plan
from outcore.text.sources import Source, Sources, find
from outcore.text.widths import Widths

#: Smaller chunks are slower, larger ones no faster.
CHUNK_BYTES, LEAST_CHUNK_BYTES = 8 << 20, 1 << 16
#: What Polars keeps for its threads, whatever the size of a chunk.
PARSER_BYTES = 16 << 20

MISSING = ("", "NA", "NaN", "nan", "N/A", "NULL", "null")


def ingest(
    sources: Sources,
    target: str | os.PathLike[str],
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
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
    overwrite: bool = False,
    chunks: tuple[int, ...] | Literal[True] | None = None,
    compression: str | int | None = None,
) -> Array:
    r"""Read delimited text into one array on disk, within the memory budget.

    Where all columns are numbers that one dtype holds, the result is a matrix; otherwise it has structured
    rows with the names of the header.

    Parameters
    ----------
    sources : str, path, or list of them
        A file, a pattern such as ``"logs/*.csv"``, or a folder. Files of a pattern or folder are read in
        natural order (part2 before part10). Files may be compressed by gzip, bzip2 or xz.
    target : str or path
        ``"x.npy"``, ``"x.h5::/x"``, or another name for raw binary; see `outcore.create`.
    dtype : dtype or str, optional
        One type for a matrix, such as ``"f4"``; names and types for structured rows, such as
        ``"chr:S10 pos:i4 pct:f4"``. Fields are matched to the header by name, or else by position.
        ``"S"`` and ``"U"`` without a width are measured. None looks at samples from the start, the middle and
        the end of every file (of compressed files, the start).
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
    encoding : {"utf-8", "latin-1", "ascii"}
        Text of dtype S is stored as UTF-8.
    decimal : {".", ","}
        The decimal mark.
    na_values : sequence of str
        Cells that mean "missing": NaN for floats, NaT for dates, empty text, and `fill` for other types. An
        empty cell is always missing.
    fill : number, optional
        Stands for missing numbers and truth values, those of float columns too.
    memory : int, float or str, optional
        Budget for this call; see `outcore.options`.
    progress : bool or callable, optional
        A bar (True), none (False), or ``callable(done_bytes, total_bytes)``; by default a bar for long work
        on a terminal.
    overwrite : bool
        Whether an existing target may be replaced; it stays until the new one is complete.
    chunks, compression
        For HDF5, as in `outcore.create`.

    Returns
    -------
    Array of shape (n, n_columns), or (n,) for structured rows
        The target, open to read. A matrix holds float64 where ints and floats come together, or where ints
        are missing. Dates of ISO 8601 become datetime64, text S (or U where it is not all ASCII) of the width
        of the longest.

    Raises
    ------
    IngestError
        A record with too few or too many fields, a cell that is not of its column's type, a missing value in
        a column of ints without `fill`, text wider than its dtype, files with different headers, a quote that
        is never closed. The text names file, line, column and cell; nothing stands under the target's name.
    NotFoundError
        A name or pattern stands for no file.
    ExistsError
        The target exists and `overwrite` is False.
    OptionError, DTypeError
        An argument that makes no sense, or does not fit the files.
    MemoryBudgetError
        The budget is too small for the smallest chunk.

    Notes
    -----
    Memory: 12 times a chunk of text of at most 8 MB (smaller where the budget asks for it) and what the
    parser keeps, about 16 MB, whatever the size of the files. A record may be up to 64 MB long.

    Numbers are the nearest values of their type, bit for bit those of Python's ``float``. Blanks around
    numbers are passed over. A number too large for its type is an error.

    Where columns of text without a width are measured, the files are read twice.

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
    )
    chunk_bytes = _chunk_bytes(memory)
    files = find(sources)
    _refuse_existing(target, overwrite=overwrite)
    plan = make_plan(files, wishes)
    widths = Widths(plan, guessed=dtype is None)
    total = sum(file.nbytes for file in files) * (2 if widths.needed else 1)
    with bars.bar("ingest", total, progress) as advance:
        run = _Run(files, chunk_bytes, os.fspath(target), advance)
        if widths.needed:
            run.measure(plan, widths)
            plan = replace(plan, schema=plan.schema.with_dtypes(widths.dtypes()))
        shape = (None, *plan.schema.row_shape)
        with create(
            target, shape, plan.schema.dtype, chunks=chunks, compression=compression, overwrite=overwrite
        ) as made:
            run.write(plan, made)
    return made


class _Run:
    """The passes over the files."""

    def __init__(self, files: list[Source], chunk_bytes: int, target: str, advance: bars.Advance) -> None:
        self._files = files
        self._chunk_bytes = chunk_bytes
        self._target = target
        self._advance = advance

    def measure(self, plan: Plan, widths: Widths) -> None:
        """Find the width of text columns."""
        for file in self._files:
            rows = 0
            for chunk in read_chunks(file, plan.dialect, self._chunk_bytes):
                with self._explained(chunk, plan, rows):
                    rows += widths.add(chunk.data, self._chunk_bytes)
                self._advance(chunk.read_bytes)

    def write(self, plan: Plan, made: Array) -> None:
        """Append all rows to `made`, and check that none was lost."""
        records = 0
        for file in self._files:
            before = records
            for chunk in read_chunks(file, plan.dialect, self._chunk_bytes):
                with self._explained(chunk, plan, records - before):
                    records += self._append(chunk.data, plan, made)
                self._advance(chunk.read_bytes)
        if len(made) != records:
            raise IngestError(
                f"{records} records became {len(made)} rows; nothing was written to {self._target}.\n"
                "That is a defect of outcore: please report it, with the files if you can."
            )

    def _append(self, data: bytes, plan: Plan, made: Array) -> int:
        records = 0
        for table in parse.tables(data, plan, self._chunk_bytes):
            for block in parse.blocks(table, plan, self._chunk_bytes):
                made.append(block)
            records += table.height
            del table  # before the next one is made
        return records

    @contextmanager
    def _explained(self, chunk: Chunk, plan: Plan, earlier_rows: int) -> Iterator[None]:
        try:
            yield
        except Unreadable as reason:
            error = explain(chunk, plan, earlier_rows=earlier_rows, target=self._target, reason=reason)
            raise error from None


def _chunk_bytes(memory: MemoryLike | None) -> int:
    """Choose how much text to take at a time."""
    least = {"parser": PARSER_BYTES, "smallest chunk": parse.CHUNK_COST * LEAST_CHUNK_BYTES}
    limit = budget.require("ingest", least, memory)
    return min(CHUNK_BYTES, (limit - PARSER_BYTES) // parse.CHUNK_COST)


def _refuse_existing(target: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Say before the work that the target is there; `create` would say so after the samples were read."""
    path, inner = formats.split(target)
    if overwrite or not os.path.lexists(path) or (inner and not formats.module("hdf5").has(path, inner)):
        return
    raise ExistsError(
        f"{os.fspath(target)} exists and overwrite is False.\n"
        "Use overwrite=True (--overwrite) to replace it, or another name."
    )
