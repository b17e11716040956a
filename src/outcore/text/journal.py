"""What is known of an ingest on disk: how far it came, and, once finished, what it was made of.

Reads from : the folder ``TARGET.ingest`` beside the target
Hands to   : text.ingesting

Guarantees
- An entry says only what is true after a crash: the rows that it counts were written before it, and an entry
  that is to survive the machine was preceded by a sync of them.
- An entry that was cut short by a crash is passed over, and taken out before others follow.
- The record of a finished target is replaced in one step, after the target itself. Killed in between, what is
  missing can be done again from the last entry, any number of times.

The folder holds ``schema.json`` (types and dialect, to be read and edited), ``sources.csv`` (each file with
its size, time and rows) and ``finished.json``; while a run lasts ``run.jsonl``, ``run.sources.csv`` and, if
need be, ``run.rejects.csv``. A database was rejected: a list that only grows needs none, and text can be
read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outcore.storage import formats
from outcore.storage.file import full
from outcore.storage.publish import sync_folder
from outcore.text.places import Place

VERSION = 1
#: Entries that need only survive this process, and those that are to survive the machine.
PROCESS_S, MACHINE_S = 0.2, 20.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")
SOURCES_HEADER = ("file", "bytes", "mtime_ns", "first_row", "rows")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells a file from a changed one; `path` is absolute."""

    path: str
    nbytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Checkpoint:
    """A place in the text up to which everything is on disk.

    Attributes
    ----------
    place : Place
        The next byte to read.
    current : Fingerprint or None
        The file of `place`, if some of it was read.
    file_row : int
        The first row of that file.
    n_rows, n_rejects, n_masked, n_cut : int
        Rows written; records left out; cells masked; texts cut to fit.
    sources_bytes, rejects_bytes : int
        Lengths of ``run.sources.csv`` and ``run.rejects.csv``.
    """

    place: Place
    current: Fingerprint | None = None
    file_row: int = 0
    n_rows: int = 0
    n_rejects: int = 0
    n_masked: int = 0
    n_cut: int = 0
    sources_bytes: int = 0
    rejects_bytes: int = 0


@dataclass(frozen=True)
class Finished:
    """The record of a finished target: what was asked for and decided, its `marks`, counts, rejects file."""

    wishes: dict[str, Any]
    plan: str
    target: list[int] | None
    n_rows: int
    n_files: int
    n_rejects: int
    n_masked: int
    n_cut: int
    rejects: str


@dataclass(frozen=True)
class Interrupted:
    """The record of a run that was killed.

    Attributes
    ----------
    wishes, plan : dict, str
        What was asked for, and what was decided.
    partial : str
        The flat file with the rows.
    grows : bool
        Whether it began with the rows of a finished target.
    before : list of int or None
        `marks` of the target when the run began; None if there was none.
    checkpoint : Checkpoint
        The last place that is safe.
    complete : list of int or None
        `marks` that the target has once it is there; None before all rows are written.
    """

    wishes: dict[str, Any]
    plan: str
    partial: str
    grows: bool
    before: list[int] | None
    checkpoint: Checkpoint
    complete: list[int] | None


class Sidecar:
    """The folder beside a target.

    Parameters
    ----------
    rejects : str or path, optional
        The file that lists faults; by default it is named after the target.
    """

    def __init__(
        self, address: str | os.PathLike[str], rejects: str | os.PathLike[str] | None = None
    ) -> None:
        path, inner = formats.split(address)
        self._target = path
        stem = path + inner.replace("/", ".")
        self.folder = Path(f"{stem}.ingest")
        self.rejects = Path(rejects or f"{os.path.splitext(path)[0]}{inner.replace('/', '.')}.rejects.csv")
        self.schema = self.folder / "schema.json"
        self.sources = self.folder / "sources.csv"
        self._finished = self.folder / "finished.json"
        self.run = self.folder / "run.jsonl"
        self.run_sources = self.folder / "run.sources.csv"
        self.run_rejects = self.folder / "run.rejects.csv"

    @property
    def written(self) -> tuple[str, ...]:
        """Absolute paths of what runs leave: the target, the folder, the list of rejects."""
        return self._target, str(self.folder), os.path.abspath(self.rejects)

    def finished(self) -> Finished | None:
        """Return the record of the finished target, if there is one."""
        try:
            found = json.loads(self._finished.read_text("utf-8"))
            return Finished(**found["record"]) if found["version"] == VERSION else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, LookupError):  # not what was written: somebody edited it
            return None

    def interrupted(self) -> Interrupted | None:
        """Return the record of a run that did not end, if it got far enough to go on from."""
        lines = _whole_lines(self.run)
        start = next(lines, None)
        if start is None or start.get("version") != VERSION:
            return None
        boot = _boot()
        last = None
        for line in lines:
            if line["boot"] is None or (boot and line["boot"] == boot):
                last = line
        if last is None:
            return None
        return Interrupted(
            start["wishes"],
            start["plan"],
            start["partial"],
            start["grows"],
            start["before"],
            _checkpoint(last["checkpoint"]),
            last["complete"],
        )

    def intact(self, killed: Interrupted) -> bool:
        """Whether everything that a run needs to go on is still there."""
        reached = killed.checkpoint
        return (
            os.path.exists(killed.partial)
            and _size(self.run_sources) >= reached.sources_bytes
            and _size(self.run_rejects) >= reached.rejects_bytes
        )

    def record(
        self, wishes: dict[str, Any], plan: str, target: list[int] | None, done: Checkpoint
    ) -> Finished:
        """Make the record of a run that has ended at `done`."""
        rejects = os.path.abspath(self.rejects) if done.rejects_bytes else ""
        counts = (done.n_rows, done.place.file, done.n_rejects, done.n_masked, done.n_cut)
        return Finished(wishes, plan, target, *counts, rejects)

    def clear_run(self) -> None:
        """Forget a run that did not end; remove the folder where nothing else is in it."""
        for path in (self.run, self.run_sources, self.run_rejects):
            path.unlink(missing_ok=True)
        self._clear_left()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def finish(self, record: Finished, *, repeatable: bool) -> None:
        """Put the record of a run that is complete in the place of the last one's; may be called again.

        Parameters
        ----------
        repeatable : bool
            Whether the sources can be read again; a record of others would be of no use.
        """
        before = self.finished()
        # What is not there was moved by a call that was killed.
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.run_sources, self.sources)
        if record.rejects:
            with contextlib.suppress(FileNotFoundError):
                shutil.move(self.run_rejects, record.rejects)
        elif before is not None and before.rejects == os.path.abspath(self.rejects):
            self.rejects.unlink(missing_ok=True)  # it was about the target that was replaced
        replace_text(self.schema, record.plan)
        if repeatable:
            replace_text(self._finished, json.dumps({"version": VERSION, "record": asdict(record)}, indent=1))
        else:
            self._finished.unlink(missing_ok=True)
        sync_folder(str(self.folder))
        self.run_rejects.unlink(missing_ok=True)
        self._clear_left()
        self.run.unlink(missing_ok=True)  # last: until then the same call completes all this

    def _clear_left(self) -> None:
        """Remove what a call left that was killed in `replace_text`."""
        for left in self.folder.glob(".*.json*.*.partial"):
            left.unlink(missing_ok=True)

    def recorded(self, *, running: bool = False, nbytes: int | None = None) -> Iterator[Fingerprint]:
        """Read the files of a finished target, or of a run up to `nbytes` of its list."""
        path = self.run_sources if running else self.sources
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(_limited(file, nbytes))
            next(reader, None)
            for name, size, mtime_ns, *_ in reader:
                yield Fingerprint(name, int(size), int(mtime_ns))


def _limited(file: io.TextIOBase, nbytes: int | None) -> Iterator[str]:
    for line in file:
        if nbytes is not None:
            nbytes -= len(line.encode("utf-8", "surrogateescape"))
            if nbytes < 0:
                return
        yield line


class Journal:
    """The record of a run while it lasts.

    Parameters
    ----------
    start : dict
        ``wishes``, ``plan``, ``partial``, ``grows`` and ``before``, as `Interrupted` has them.
    resume : Checkpoint, optional
        Go on with the record that is there, from this place.
    finished : Finished, optional
        The record of the target whose rows the run began with.
    resumable : bool
        Whether the run can be gone on with; otherwise there is only the list of files.
    """

    def __init__(
        self,
        sidecar: Sidecar,
        start: dict[str, Any],
        resume: Checkpoint | None,
        *,
        finished: Finished | None = None,
        resumable: bool = True,
    ) -> None:
        self._last_s = self._last_sync_s = time.monotonic()
        self._resumable = resumable
        if resume is None:
            for path in (sidecar.run, sidecar.run_sources, sidecar.run_rejects):
                path.unlink(missing_ok=True)
        with contextlib.ExitStack() as opened:
            self._sources = opened.enter_context(open(sidecar.run_sources, "ab"))
            if resume is not None:
                self._sources.truncate(resume.sources_bytes)
            elif finished is None:
                self._sources.write(_csv_line(SOURCES_HEADER))
            else:
                with open(sidecar.sources, "rb") as known:
                    shutil.copyfileobj(known, self._sources)
                if finished.rejects and os.path.exists(finished.rejects):
                    shutil.copyfile(finished.rejects, sidecar.run_rejects)
            self._sources.seek(0, os.SEEK_END)
            if resumable:
                # Anew, so that nothing stands between its lines that a crash cut short.
                lines = [{"version": VERSION, **start}]
                lines += [] if resume is None else [_entry(resume, boot=_boot())]
                replace_text(sidecar.run, "".join(f"{json.dumps(line)}\n" for line in lines))
                self._run = opened.enter_context(open(sidecar.run, "ab"))
            self._opened = opened.pop_all()

    @property
    def sources_bytes(self) -> int:
        """Length of the list of files."""
        return self._sources.tell()

    def add_source(self, source: Fingerprint, first_row: int, n_rows: int) -> None:
        """Take note of a file that was read to its end."""
        self._sources.write(_csv_line((source.path, source.nbytes, source.mtime_ns, first_row, n_rows)))

    def due(self) -> bool:
        """Whether it is time for an entry."""
        return time.monotonic() - self._last_s >= PROCESS_S

    def sync_due(self) -> bool:
        """Whether the next entry is to survive the machine: the rows must be synced before it."""
        return time.monotonic() - self._last_sync_s >= MACHINE_S

    def write(self, checkpoint: Checkpoint, *, synced: bool, complete: list[int] | None = None) -> None:
        """Add an entry.

        Parameters
        ----------
        synced : bool
            Whether everything that it counts is on the device, not only handed to the system.
        complete : list of int, optional
            `marks` that the target will have, once there is nothing more to read.

        Raises
        ------
        DiskFullError
        """
        try:
            self._sources.flush()
            if synced:
                os.fsync(self._sources.fileno())
            if not self._resumable:
                return
            entry = _entry(checkpoint, boot=None if synced else _boot(), complete=complete)
            self._run.write(json.dumps(entry).encode() + b"\n")
            self._run.flush()
            if synced:
                os.fsync(self._run.fileno())
        except OSError as error:
            raise full(self._sources.name, self._sources.tell(), error) from error
        self._last_s = time.monotonic()
        if synced:
            self._last_sync_s = self._last_s

    def close(self) -> None:
        """Close the files."""
        self._opened.close()


def _entry(checkpoint: Checkpoint, *, boot: str | None, complete: list[int] | None = None) -> dict[str, Any]:
    return {"checkpoint": asdict(checkpoint), "boot": boot, "complete": complete}


def _checkpoint(entry: dict[str, Any]) -> Checkpoint:
    current = entry["current"]
    return Checkpoint(
        **{
            **entry,
            "place": Place(**entry["place"]),
            "current": None if current is None else Fingerprint(**current),
        }
    )


def _csv_line(values: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a journal, up to one that a crash cut short; none if it is not there."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except (FileNotFoundError, NotADirectoryError):
        return
    with file:
        for line in file:
            try:
                found = json.loads(line)
            except ValueError:
                return  # blocks of a file may reach the device out of order
            if not (line.endswith(b"\n") and isinstance(found, dict)):
                return
            yield found


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _boot() -> str:
    """Return what differs after the machine was started anew; empty where nobody can tell."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def marks(path: str, inner: str = "") -> list[int] | None:
    """Return by what a target is known again; None if it is missing.

    Of a flat file, size and time, which a rename does not change. Of a dataset, shape and row size: the file
    around it changes with its other datasets.
    """
    if inner:
        if not os.path.exists(path) or not formats.module("hdf5").has(path, inner):
            return None
        spec = formats.locate(path, inner, "r")
        return dataset_marks(spec.shape, spec.dtype)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def dataset_marks(shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[int]:
    """Return the `marks` of a dataset of that shape and type."""
    return [*shape, dtype.itemsize]


def replace_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole, or as it was."""
    made = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(made, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)
