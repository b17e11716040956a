"""Text files into an array on disk, in as many attempts as it takes.

Reads from : text.passes, text.resuming
Hands to   : text.ingesting

Guarantees
- Nothing is touched before the arguments, the target and the budget are known to be good.
- After an error nothing is left behind; after a kill, or Ctrl-C, the same call goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

from outcore.array.creating import check_layout
from outcore.array.handle import Array
from outcore.array.opening import open_array
from outcore.storage import formats
from outcore.text import schema_file
from outcore.text.journal import Checkpoint, Finished, Journal, Sidecar, marks
from outcore.text.parse import Plan
from outcore.text.passes import decide_plan, go_through
from outcore.text.reading import Limits, Reading
from outcore.text.rejects import RejectsWriter
from outcore.text.request import Outcome, Request
from outcore.text.resuming import decide
from outcore.text.room import Room
from outcore.text.sources import Sources
from outcore.text.targets import FlatTarget, Hdf5Target, Target


@dataclass(frozen=True)
class _Open:
    """What a run writes to."""

    rows: FlatTarget
    target: Target
    journal: Journal | None
    rejects: RejectsWriter | None


class FileRun:
    """One call that writes into a file.

    Parameters
    ----------
    address : str
        As in `outcore.create`.
    """

    def __init__(self, files: Sources, address: str, request: Request, room: Room) -> None:
        self._hdf5 = check_layout(address, chunks=request.chunks, compression=request.compression)
        self._address = address
        self._path, self._inner = formats.split(address)
        self._request = request
        self._room = room
        self._sidecar = Sidecar(address, request.rejects)
        self._wishes = request.as_json()
        self._resumable = all(source.repeatable for source in files)
        self._start = decide(
            self._sidecar,
            address,
            self._wishes,
            files,
            repeatable=self._resumable,
            overwrite=request.overwrite,
        )

    def run(self) -> Outcome:
        """Do what is left to do."""
        start, request = self._start, self._request
        if start.plan is None:
            plan = decide_plan(start.sources, request, self._room, self._address)
        else:
            plan = request.with_policy(schema_file.load(start.plan))
        if start.finished:
            return self._outcome(self._opened(plan), plan, start.checkpoint)
        with self._writing(plan) as to:
            reading = Reading(
                start.sources,
                plan,
                to.target,
                Limits(request.max_rejects, self._room.chunk_bytes),
                target_name=self._address,
                rejects=to.rejects,
                journal=to.journal,
                start=start.checkpoint,
            )
            try:
                place = start.checkpoint.place
                go_through(start.sources, plan, reading, self._room, request, what="ingest", start=place)
            except (KeyboardInterrupt, SystemExit):
                if to.journal is not None:
                    to.journal.write(reading.written, synced=False)
                raise
            array, done = self._finish(reading, plan, to)
        return self._outcome(array, plan, done, reading)

    def _outcome(self, array: Array, plan: Plan, done: Checkpoint, reading: Reading | None = None) -> Outcome:
        before: Literal["", "resumed", "grown", "finished"] = ""
        if self._start.finished:
            before = "finished"
        elif self._start.resumed:
            before = "resumed"
        elif self._start.grows:
            before = "grown"
        faulty = done.n_rejects + done.n_masked > 0
        return Outcome(
            array,
            plan,
            len(self._start.sources),
            done.n_rows,
            done.n_rejects,
            done.n_masked,
            done.n_cut,
            str(self._sidecar.rejects) if faulty else "",
            reading.first_faults if reading is not None else (),
            before,
        )

    def _opened(self, plan: Plan) -> Array:
        if self._hdf5 or formats.suffix_of(self._path) == ".npy":
            return open_array(self._address)
        return open_array(self._address, dtype=plan.schema.dtype, shape=(-1, *plan.schema.row_shape))

    @contextmanager
    def _writing(self, plan: Plan) -> Iterator[_Open]:
        """Hold what is written to; on an error it goes, on an interruption it stays."""
        with ExitStack() as stack:
            rows = self._rows(plan)
            try:
                made = self._begin(rows, plan, stack)
                yield made
            except (KeyboardInterrupt, SystemExit):
                if self._resumable and self._sidecar.interrupted() is not None:
                    rows.keep()
                else:
                    self._undo(rows)
                raise
            except BaseException:
                stack.close()
                self._undo(rows)
                raise

    def _undo(self, rows: FlatTarget) -> None:
        rows.discard()
        self._sidecar.clear_run()

    def _rows(self, plan: Plan) -> FlatTarget:
        """Open the flat file that takes the rows: the target's own, or one beside an HDF5 file."""
        row, partial = (plan.schema.dtype, plan.schema.row_shape), self._start.partial
        if self._hdf5:
            self._sidecar.folder.mkdir(exist_ok=True)
            path = str(self._sidecar.folder / "rows.npy")
            return FlatTarget(path, row, npy=True, overwrite=True, resume=partial)
        replaces = self._request.overwrite or self._start.grows
        npy = formats.suffix_of(self._path) == ".npy"
        return FlatTarget(self._path, row, npy=npy, overwrite=replaces, resume=partial)

    def _begin(self, rows: FlatTarget, plan: Plan, stack: ExitStack) -> _Open:
        start, sidecar = self._start, self._sidecar
        if start.resumed:
            rows.cut(start.checkpoint.n_rows)
        elif start.grows:
            with self._opened(plan) as before:
                rows.begin_with(before)
        beginning = {
            "wishes": self._wishes,
            "plan": schema_file.dump(plan),
            "partial": rows.path,
            "grows": start.grows,
            "before": marks(self._path),
        }
        journal = Journal(sidecar, beginning, start.checkpoint if start.resumed else None)
        stack.callback(journal.close)
        rejects = None
        if plan.on_error != "stop":
            rejects = stack.enter_context(RejectsWriter(sidecar.run_rejects))
            if start.resumed:
                rejects.truncate(start.checkpoint.rejects_bytes)
        return _Open(rows, self._final(rows), journal, rejects)

    def _final(self, rows: FlatTarget) -> Target:
        request = self._request
        if not self._hdf5:
            return rows
        return Hdf5Target(
            self._address,
            rows,
            chunks=request.chunks,
            compression=request.compression,
            memory=request.memory,
            progress=request.progress,
            overwrite=request.overwrite or self._start.grows,
        )

    def _finish(self, reading: Reading, plan: Plan, to: _Open) -> tuple[Array, Checkpoint]:
        """Give the target its name, and leave a record of what it was made of."""
        done = reading.complete()
        to.target.finish(done.n_rows)
        complete = marks(to.rows.path)
        if to.journal is not None:
            to.journal.write(done, synced=True, complete=complete)
        array = to.target.commit()
        assert isinstance(array, Array)
        record = Finished(
            self._wishes,
            schema_file.dump(plan),
            None if self._hdf5 else complete,
            done.n_rows,
            len(self._start.sources),
            done.n_rejects,
            done.n_masked,
            done.n_cut,
        )
        self._sidecar.finish(record, repeatable=self._resumable)
        return array, done
