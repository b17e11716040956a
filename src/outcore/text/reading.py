"""What is done to each chunk: parsed, its faults found, its rows placed, counted and written.

Reads from : text.pipeline (chunks)
Hands to   : text.targets (rows), text.rejects, text.journal (how far it came)

Guarantees
- Rows lie in the order of the records, and their place depends only on the text before them.
- The first fault in the text is the one that stops the work.
- Rows of a chunk are made in parts where all of them would not fit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import IngestError
from outcore.text import parse
from outcore.text.boundaries import count_byte
from outcore.text.cleaning import clean
from outcore.text.cutting import Files
from outcore.text.faults import defect, examine
from outcore.text.journal import Checkpoint, Fingerprint, Journal
from outcore.text.listing import Fault, Faults
from outcore.text.messages import error
from outcore.text.parse import Plan, Unreadable
from outcore.text.places import Chunk, Piece, Place
from outcore.text.records import count
from outcore.text.rejects import RejectsWriter
from outcore.text.sources import Source
from outcore.text.stretches import in_stretches, short_stretches
from outcore.text.targets import Target

#: Bytes of rows for each byte of a chunk's size that are made at a time.
ROWS_COST = 2
#: Faults that wait together for their turn; each takes about 100 bytes.
FAULTS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Part:
    """Rows of a chunk, or of a part of it.

    Attributes
    ----------
    pieces : tuple of Piece
        What it was made of.
    rows : ndarray
    counts : ndarray of int, shape (n_pieces,)
        How many rows each piece gave.
    faults : sequence of Faults
        Those of each stretch that has some.
    """

    pieces: tuple[Piece, ...]
    rows: NDArray[Any]
    counts: NDArray[np.int64]
    faults: tuple[Faults, ...]
    n_rejects: int
    n_cut: int

    @property
    def n_faults(self) -> int:
        """How many faults there are."""
        return sum(map(len, self.faults))


@dataclass(frozen=True)
class Placed:
    """Where a part goes, what is on disk once it is written, and which files it completes."""

    start: int
    checkpoint: Checkpoint
    completed: tuple[tuple[Fingerprint, int, int], ...]


@dataclass(frozen=True)
class Limits:
    """How much may go wrong, and how much room there is.

    Attributes
    ----------
    max_rejects : int or None
        Records left out, or cells masked.
    chunk_bytes : int
    """

    max_rejects: int | None
    chunk_bytes: int


class Reading:
    """The steps of a run; see `outcore.text.pipeline.Steps`."""

    def __init__(
        self,
        sources: Files,
        plan: Plan,
        target: Target,
        limits: Limits,
        *,
        target_name: str,
        rejects: RejectsWriter | None = None,
        journal: Journal | None = None,
        start: Checkpoint,
    ) -> None:
        self._sources = sources
        self._plan = plan
        self._target = target
        self._limits = limits
        self._target_name = target_name
        self._rejects = rejects
        self._journal = journal
        self._reached = start  # placed
        self._written = start  # on disk
        self._file = start.place.file
        self._file_row = start.file_row
        self._completed: list[tuple[Fingerprint, int, int]] = []  # by parts of the chunk in work
        self.first_faults: list[Fault] = []

    @property
    def written(self) -> Checkpoint:
        """How far everything is written."""
        return self._written

    @property
    def n_done(self) -> int:
        """Rows that are written, those of earlier runs included."""
        return self._written.n_rows

    # ------------------------------------------------------------------------------- side by side

    def parse(self, chunk: Chunk) -> tuple[Part, Iterator[Part]]:
        """Make rows of a chunk."""
        parts = self._parts(chunk)
        return next(parts), parts

    def _parts(self, chunk: Chunk) -> Iterator[Part]:
        plan = self._plan
        # A single long record gets room for one row as long as itself, beside all that it takes to parse it.
        room = max(ROWS_COST * self._limits.chunk_bytes, len(chunk.data))
        for stretch in in_stretches(chunk, plan.dialect, plan.schema.row_bytes, room):
            if (part := self._read(stretch)) is not None:
                yield part
                del part
            else:
                yield from self._looked_at(stretch)

    def _read(self, chunk: Chunk) -> Part | None:
        """Make rows where nothing is wrong."""
        try:
            made = parse.rows(clean(chunk.data, self._plan.dialect), self._plan)
        except Unreadable:
            return None
        return Part(chunk.pieces, made.values, _counts(chunk, self._plan, len(made.values)), (), 0, made.cut)

    def _looked_at(self, chunk: Chunk) -> Iterator[Part]:
        """Make rows, and find out what is wrong, in short stretches: that takes more memory than parsing."""
        waiting: list[Part] = []
        for stretch in short_stretches(chunk, self._plan.dialect):
            part = self._read(stretch) or self._examined(stretch)
            if part.n_faults and self._stops:
                yield from waiting
                yield part
                return
            waiting.append(part)
            if sum(part.n_faults for part in waiting) >= FAULTS_AT_ONCE:
                yield _joined(waiting)
                waiting = []
        if waiting:
            yield _joined(waiting)

    def _examined(self, chunk: Chunk) -> Part:
        found = examine(chunk, self._plan)
        if found.rows is None:
            none = np.zeros((0, *self._plan.schema.row_shape), self._plan.schema.dtype)
            return Part(chunk.pieces, none, np.zeros(len(chunk.pieces), np.int64), (found.faults,), 0, 0)
        counts = _counts(chunk, self._plan, found.n_records) - found.left_out
        n_rejects = found.n_records - len(found.rows)
        return Part(chunk.pieces, found.rows, counts, (found.faults,), n_rejects, found.cut)

    def write(self, part: Part, placed: Placed) -> None:
        """Write rows to their place."""
        if len(part.rows):
            self._target.write(placed.start, part.rows)

    # ----------------------------------------------------------------------------------- in order

    def place(self, chunk: Chunk, part: Part, *, last: bool) -> Placed:
        """Choose the place of a part's rows, and take note of its faults.

        Raises
        ------
        IngestError
            A fault, where these are to stop the work; or one too many.
        """
        before, completed = self._reached, self._completed
        n_rows, began = before.n_rows, (self._file, before.n_rows - self._file_row)
        for piece, n_new in zip(part.pieces, part.counts.tolist(), strict=True):
            completed += self._complete_until(piece.place.file, n_rows)
            n_rows += n_new
        if part.faults:
            self._note(part, began)
        if last:
            completed += self._complete_until(chunk.after.file, n_rows)
        if n_rows != before.n_rows + len(part.rows):
            raise defect(chunk, f"{n_rows - before.n_rows} records became {len(part.rows)} rows")
        at = chunk.after if last else before.place
        if last:
            self._completed = []
        self._reached = replace(
            before,
            place=at,
            current=self._fingerprint(at.file) if at.byte else None,
            file_row=self._file_row,
            n_rows=n_rows,
            n_rejects=before.n_rejects + part.n_rejects,
            n_masked=before.n_masked + (part.n_faults - part.n_rejects if self._masks else 0),
            n_cut=before.n_cut + part.n_cut,
            rejects_bytes=self._rejects.tell() if self._rejects is not None else 0,
        )
        return Placed(before.n_rows, self._reached, tuple(completed))

    @property
    def _masks(self) -> bool:
        return self._plan.on_error == "mask"

    @property
    def _stops(self) -> bool:
        return self._plan.on_error == "stop"

    def _complete_until(self, file: int, n_rows: int) -> Iterator[tuple[Fingerprint, int, int]]:
        """Yield the files before `file` that are complete now, with their first row and number of rows."""
        while self._file < file:
            yield self._fingerprint(self._file), self._file_row, n_rows - self._file_row
            self._file += 1
            self._file_row = n_rows

    def _fingerprint(self, file: int) -> Fingerprint:
        return fingerprint(self._sources[file])

    def _note(self, part: Part, began: tuple[int, int]) -> None:
        """Deal with faults; `began` is the file that the part goes on with, and its rows so far."""
        if self._stops or self._rejects is None:
            faults, (file, n_rows) = part.faults[0], began
            earlier = n_rows if part.pieces[faults[0].piece].place.file == file else 0
            raise error(faults, earlier_rows=earlier, target=self._target_name)
        for faults in part.faults:
            self._rejects.add(faults)
            room = 10 - len(self.first_faults)
            self.first_faults.extend(faults[:room] if room else ())
        limit = self._limits.max_rejects
        counted = self._reached.n_rejects + self._reached.n_masked + max(part.n_rejects, 1)
        if self._masks:
            counted = self._reached.n_rejects + self._reached.n_masked + part.n_faults
        if limit is not None and counted > limit:
            what = "cells and records" if self._masks else "records"
            last = part.faults[-1][-1]
            raise IngestError(
                f"{counted} {what} cannot be read up to {last.place}; max_rejects={limit}.\n"
                f"  The first one: {self.first_faults[0].place}  {self.first_faults[0].what}\n"
                f"Nothing was written to {self._target_name}. Allow more by max_rejects= (--max-rejects), "
                "or correct what the types say of the files."
            )

    def commit(self, placed: Placed) -> None:
        """Take note that everything up to here is written."""
        sources_bytes = 0
        if self._journal is not None:
            for source, first_row, n_rows in placed.completed:
                self._journal.add_source(source, first_row, n_rows)
            sources_bytes = self._journal.sources_bytes
        self._written = replace(placed.checkpoint, sources_bytes=sources_bytes)

    def rest(self) -> None:
        """Add an entry to the journal when it is time."""
        if self._journal is None or not self._journal.due():
            return
        written = self._written
        synced = self._journal.sync_due()
        if synced:
            self._target.sync()
            if self._rejects is not None:
                self._rejects.sync()
        self._journal.write(written, synced=synced)

    def complete(self) -> Checkpoint:
        """Take note of files without records behind the last one that had some; return the end."""
        completed = tuple(self._complete_until(len(self._sources), self._reached.n_rows))
        place = Place(len(self._sources), 0, 1)
        self._reached = replace(self._reached, place=place, current=None, file_row=self._file_row)
        self.commit(Placed(self._reached.n_rows, self._reached, completed))
        return self._written


def fingerprint(source: Source) -> Fingerprint:
    """Return what tells a file from a changed one."""
    return Fingerprint(absolute(source.path), source.nbytes, source.mtime_ns)


def absolute(path: str) -> str:
    """Return the name of a file that holds from any folder."""
    if path.startswith("/") and "/." not in path and "//" not in path and not path.endswith("/"):
        return path  # a tenth of the time, for a million files
    return os.path.abspath(path)


def _counts(chunk: Chunk, plan: Plan, n_records: int) -> NDArray[np.int64]:
    """Count the records of each piece; there are `n_records` in all."""
    starts = [piece.start for piece in chunk.pieces]
    if len(starts) == 1:
        return np.array([n_records])
    texts = [chunk.data[start:stop] for start, stop in zip(starts, [*starts[1:], None], strict=True)]
    found = np.array([count_byte(text, 0x0A) for text in texts])
    found[-1] += not chunk.data.endswith(b"\n")
    if found.sum() == n_records:  # no line is blank, a comment, or within quotes
        return found
    return np.array([count(clean(text, plan.dialect), plan.dialect).records for text in texts])


def _joined(parts: list[Part]) -> Part:
    """Put parts behind one another."""
    if len(parts) == 1:
        return parts[0]
    return Part(
        tuple(piece for part in parts for piece in part.pieces),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.counts for part in parts]),
        tuple(faults for part in parts for faults in part.faults),
        sum(part.n_rejects for part in parts),
        sum(part.n_cut for part in parts),
    )
