"""Text files into an array on disk, in as many attempts as it takes.

Reads from : text.passes, text.resuming
Hands to   : text.ingesting

Guarantees
- Nothing is touched before the arguments, the target and the budget are known to be good.
- After an error nothing is left behind; after a kill, or Ctrl-C, the same call goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from outcore.array.creating import check_layout
from outcore.array.handle import Array
from outcore.array.opening import open_array
from outcore.errors import WriterConflictError
from outcore.storage import formats
from outcore.storage.publish import check_folder
from outcore.text import schema_file
from outcore.text.journal import Checkpoint, Finished, Journal, Sidecar, dataset_marks, marks
from outcore.text.parse import Plan
from outcore.text.passes import complete_plan, first_plan, go_through
from outcore.text.reading import Limits, Reading
from outcore.text.rejects import RejectsWriter, check_place
from outcore.text.request import Before, Intent, Outcome, Request
from outcore.text.resuming import decide
from outcore.text.room import Room
from outcore.text.sources import Sources
from outcore.text.targets import FlatTarget, Hdf5Target, Target, check_hdf5

#: Noted on the exception where that is so.
GOES_ON = "The same call goes on where it stopped."


@dataclass(frozen=True)
class _Open:
    """What a run writes to."""

    rows: FlatTarget
    target: Target
    journal: Journal
    rejects: RejectsWriter | None
    start: Checkpoint


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
        self._resumable = files.repeatable
        check_folder(self._path)
        if request.on_error != "stop":
            check_place(self._sidecar.rejects)
        self._start = decide(
            self._sidecar,
            address,
            self._wishes,
            files,
            repeatable=self._resumable,
            overwrite=request.overwrite,
        )

    def intent(self) -> Intent:
        """Say what is left to do."""
        start, request = self._start, self._request
        if start.plan is None:
            plan = first_plan(start.sources, request)
        else:
            plan = request.with_policy(schema_file.load(start.plan))
        found = start.checkpoint
        return Intent(start.sources, plan, found.place.file, found.n_rows, self._room, self._before)

    def run(self, tell: Callable[[Intent], None] | None = None) -> Outcome:
        """Do what is left to do.

        Parameters
        ----------
        tell : callable, optional
            Hears what that is, before it is done.
        """
        try:
            return self._run(tell)
        except KeyboardInterrupt as stopped:
            killed = self._sidecar.interrupted() if self._resumable else None
            if killed is not None and killed.wishes == self._wishes:
                stopped.add_note(GOES_ON)
            raise

    def _run(self, tell: Callable[[Intent], None] | None) -> Outcome:
        start, request = self._start, self._request
        intent = self.intent()
        if tell is not None:
            tell(intent)
        plan = intent.plan
        if start.finished:
            return self._outcome(self._opened(plan), plan, start.checkpoint)
        if start.plan is None:
            if self._hdf5:  # the file itself is made at the end of the work, too late to refuse
                check_hdf5(self._address, plan.schema, request.chunks, request.compression)
            plan = complete_plan(
                plan, start.sources, request, self._room, self._address, unicode=not self._hdf5
            )
        with self._writing(plan) as to:
            reading = Reading(
                start.sources,
                plan,
                to.target,
                Limits(request.max_rejects, self._room.chunk_bytes),
                target_name=self._address,
                rejects=to.rejects,
                journal=to.journal,
                start=to.start,
            )
            try:
                go_through(
                    start.sources,
                    plan,
                    reading,
                    self._room,
                    request,
                    what="ingest",
                    start=start.checkpoint.place,
                    first_file=self._first_file(),
                )
            except (KeyboardInterrupt, SystemExit):
                to.journal.write(reading.written, synced=False)
                raise
            array, record = self._finish(reading, plan, to)
        # From here on the target is there: should this fail, the same call does it again.
        self._sidecar.finish(record, repeatable=self._resumable)
        return self._outcome(array, plan, reading.written, reading)

    def _first_file(self) -> int:
        """Return the first of the files that are new, where others are in the target already."""
        finished = self._sidecar.finished() if self._start.grows else None
        return 0 if finished is None else finished.n_files

    @property
    def _before(self) -> Before:
        if self._start.finished:
            return "finished"
        if self._start.resumed:
            return "resumed"
        return "grown" if self._start.grows else ""

    def _outcome(self, array: Array, plan: Plan, done: Checkpoint, reading: Reading | None = None) -> Outcome:
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
            self._before,
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
            except (KeyboardInterrupt, SystemExit, WriterConflictError):
                killed = self._sidecar.interrupted() if self._resumable else None
                if killed is not None and killed.partial == rows.path:
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
        row, killed = (plan.schema.dtype, plan.schema.row_shape), self._start.killed
        partial = None if killed is None else killed.partial
        if self._hdf5:
            self._sidecar.folder.mkdir(exist_ok=True)
            path = str(self._sidecar.folder / "rows.npy")
            return FlatTarget(path, row, npy=True, overwrite=True, resume=partial)
        replaces = self._request.overwrite or self._start.grows
        npy = formats.suffix_of(self._path) == ".npy"
        return FlatTarget(self._path, row, npy=npy, overwrite=replaces, resume=partial)

    def _begin(self, rows: FlatTarget, plan: Plan, stack: ExitStack) -> _Open:
        start, sidecar = self._start, self._sidecar
        finished = None
        if start.killed is not None:
            if sidecar.interrupted() != start.killed:  # between the decision and the lock
                raise WriterConflictError(
                    f"somebody else has just gone on with {self._address}.\nRun again: it goes on from there."
                )
            rows.cut(start.checkpoint.n_rows)
        elif start.grows:
            finished = sidecar.finished()
            with self._opened(plan) as before:
                rows.begin_with(before)
        beginning = {
            "wishes": self._wishes,
            "plan": schema_file.dump(plan),
            "partial": rows.path,
            "grows": start.grows,
            "before": marks(self._path, self._inner),
        }
        sidecar.folder.mkdir(exist_ok=True)
        resume = start.checkpoint if start.resumed else None
        journal = Journal(sidecar, beginning, resume, finished=finished, resumable=self._resumable)
        stack.callback(journal.close)
        rejects = stack.enter_context(RejectsWriter(sidecar.run_rejects))
        if start.resumed:
            rejects.truncate(start.checkpoint.rejects_bytes)
        # Written at once: what was copied and measured is worth going on from.
        begun = replace(start.checkpoint, sources_bytes=journal.sources_bytes, rejects_bytes=rejects.tell())
        journal.write(begun, synced=False)
        used = None if plan.on_error == "stop" else rejects
        return _Open(rows, self._final(rows), journal, used, begun)

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

    def _finish(self, reading: Reading, plan: Plan, to: _Open) -> tuple[Array, Finished]:
        """Give the target its name; return the record of what it was made of."""
        done = reading.complete()
        to.target.finish(done.n_rows)
        complete = marks(to.rows.path)
        if self._hdf5:
            complete = dataset_marks((done.n_rows, *plan.schema.row_shape), plan.schema.dtype)
        if to.rejects is not None:
            to.rejects.sync()
        to.journal.write(done, synced=True, complete=complete)
        array = to.target.commit()
        assert isinstance(array, Array)
        return array, self._sidecar.record(self._wishes, schema_file.dump(plan), complete, done)
