"""Decide what a run begins with: nothing, a run that was killed, or a finished target to which files came.

Reads from : text.journal, and the files as they are now
Hands to   : text.ingesting

Guarantees
- What was read before is used again only if the same was asked for and the files are unchanged.
- A file that changed or went is an error that names it; nothing was touched.
- Files that are new come after those that were read, in their own order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import ExistsError, IngestError
from outcore.storage import formats
from outcore.text.cutting import Files
from outcore.text.journal import Checkpoint, Fingerprint, Finished, Interrupted, Sidecar, marks
from outcore.text.places import BEGINNING, Place
from outcore.text.reading import fingerprint
from outcore.text.sources import Source, Sources


@dataclass(frozen=True)
class Start:
    """What a run begins with.

    Attributes
    ----------
    sources : Sources or Reordered
        The files, those that were read before first.
    plan : str or None
        What was decided before; None: to be decided.
    checkpoint : Checkpoint
        Where to go on.
    partial : str or None
        The flat file to take over.
    grows : bool
        Whether to begin with the rows of the target.
    finished : bool
        Whether there is nothing to do.
    resumed : bool
        Whether a run that was killed is gone on with.
    """

    sources: Files
    plan: str | None = None
    checkpoint: Checkpoint = field(default_factory=lambda: Checkpoint(BEGINNING))
    partial: str | None = None
    grows: bool = False
    finished: bool = False
    resumed: bool = False


class Reordered:
    """Files in another order than they were found in."""

    def __init__(self, sources: Sources, order: NDArray[np.int64]) -> None:
        self._sources = sources
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Source:
        return self._sources[int(self._order[index])]


def decide(
    sidecar: Sidecar,
    address: str,
    wishes: dict[str, Any],
    sources: Sources,
    *,
    repeatable: bool,
    overwrite: bool,
) -> Start:
    """Look at what is there, and say what to begin with.

    Parameters
    ----------
    wishes : dict
        What is asked for.
    repeatable : bool
        Whether all sources can be read again.

    Raises
    ------
    ExistsError
        The target is there, and was made otherwise, or of something else.
    IngestError
        A file that was read before has changed or is gone.
    """
    path, inner = formats.split(address)
    there = _exists(path, inner)
    if not repeatable:
        if there and not overwrite:
            raise _exists_already(address)
        return Start(sources)
    killed = sidecar.interrupted()
    if killed is not None and killed.wishes == wishes:
        if _committed(killed, path, inner):
            return _done(sidecar, killed, sources, address)
        same = marks(path) == killed.before and os.path.exists(killed.partial)
        if same and (overwrite or killed.grows or not there):
            return _go_on(sidecar, killed, sources, address)
    if overwrite or not there:
        return Start(sources)
    finished = sidecar.finished()
    if finished is None or not (inner or marks(path) == finished.target):
        raise _exists_already(address)
    if finished.wishes != wishes:
        raise ExistsError(
            f"{address} exists and was made in another way: {_differences(finished.wishes, wishes)}.\n"
            "Use overwrite=True (--overwrite) to make it anew, or another name."
        )
    ordered, n_known = _matched(sidecar.recorded(), sources, address)
    checkpoint = Checkpoint(
        Place(n_known, 0, 1),
        file_row=finished.n_rows,
        n_rows=finished.n_rows,
        n_rejects=finished.n_rejects,
        n_masked=finished.n_masked,
        n_cut=finished.n_cut,
    )
    return Start(
        ordered, finished.plan, checkpoint, grows=n_known < len(sources), finished=n_known == len(sources)
    )


def _exists(path: str, inner: str) -> bool:
    return os.path.lexists(path) and (not inner or bool(formats.module("hdf5").has(path, inner)))


def _exists_already(address: str) -> ExistsError:
    return ExistsError(
        f"{address} exists and overwrite is False.\n"
        "Use overwrite=True (--overwrite) to replace it, or another name."
    )


def _committed(killed: Interrupted, path: str, inner: str) -> bool:
    """Whether the run was killed after the target got its name."""
    if killed.complete is None:
        return False
    if not inner:
        return marks(path) == killed.complete
    if marks(path) == killed.before or not _exists(path, inner):
        return False
    rows: int = formats.locate(path, inner, "r").shape[0]
    return rows == killed.checkpoint.n_rows


def _go_on(sidecar: Sidecar, killed: Interrupted, sources: Sources, address: str) -> Start:
    ordered, _ = _matched(_read_so_far(sidecar, killed), sources, address)
    return Start(ordered, killed.plan, killed.checkpoint, killed.partial, grows=killed.grows, resumed=True)


def _done(sidecar: Sidecar, killed: Interrupted, sources: Sources, address: str) -> Start:
    """Complete the record of a run that was killed between its last two steps."""
    if os.path.exists(killed.partial):
        os.unlink(killed.partial)  # a hard link to the target, or the flat file of an HDF5 target
    _, inner = formats.split(address)
    found = killed.checkpoint
    record = Finished(
        killed.wishes,
        killed.plan,
        None if inner else killed.complete,
        found.n_rows,
        found.place.file,
        found.n_rejects,
        found.n_masked,
        found.n_cut,
    )
    sidecar.finish(record, repeatable=True)
    return decide(sidecar, address, killed.wishes, sources, repeatable=True, overwrite=False)


def _read_so_far(sidecar: Sidecar, killed: Interrupted) -> Iterator[Fingerprint]:
    yield from sidecar.recorded(running=True, nbytes=killed.checkpoint.sources_bytes)
    if killed.checkpoint.current is not None:
        yield killed.checkpoint.current


def _matched(recorded: Iterator[Fingerprint], sources: Sources, address: str) -> tuple[Files, int]:
    """Put the files that were read before first; return all, and how many these are."""
    n_known = 0
    for known in recorded:
        now = fingerprint(sources[n_known]) if n_known < len(sources) else None
        if now is None or now.path != known.path:
            return _reordered(known, recorded, sources, n_known, address)
        _check(known, now, address)
        n_known += 1
    return sources, n_known


def _reordered(
    known: Fingerprint, recorded: Iterator[Fingerprint], sources: Sources, n_matched: int, address: str
) -> tuple[Reordered, int]:
    places = {fingerprint(sources[i]).path: i for i in range(n_matched, len(sources))}
    order = list(range(n_matched))
    for one in (known, *recorded):
        place = places.pop(one.path, None)
        if place is None:
            raise IngestError(
                f"{one.path} was read into {address}, and is not among the files now.\n"
                "Name it again, or use overwrite=True (--overwrite) to make the array of the files there are."
            )
        _check(one, fingerprint(sources[place]), address)
        order.append(place)
    n_known = len(order)
    return Reordered(sources, np.array([*order, *places.values()], np.int64)), n_known


def _check(known: Fingerprint, now: Fingerprint, address: str) -> None:
    if known == now:
        return
    raise IngestError(
        f"{known.path} has changed since it was read into {address}: it had {known.nbytes} bytes of "
        f"{_time(known.mtime_ns)}, and has {now.nbytes} of {_time(now.mtime_ns)}.\n"
        "Use overwrite=True (--overwrite) to read all files anew."
    )


def _time(ns: int) -> str:
    return str(np.datetime64(ns, "ns")) if ns else "an unknown time"


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in (*before, *now) if before.get(name) != now.get(name)]
    return ", ".join(f"{n} was {before.get(n)!r}, is {now.get(n)!r}" for n in dict.fromkeys(names))
