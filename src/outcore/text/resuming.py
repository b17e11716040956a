"""Decide what a run begins with: nothing, a run that was killed, or a finished target to which files came.

Reads from : text.journal, and the files as they are now
Hands to   : text.ingesting

Guarantees
- What was read before is used again only if the same was asked for and the files are unchanged.
- A file that changed or went is an error that names it, and nothing is touched; with `overwrite` all files
  are read anew.
- Files that are new come after those that were read, in their own order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import ExistsError, IngestError
from outcore.storage import formats
from outcore.storage.publish import drop_second_names
from outcore.text.cutting import Files
from outcore.text.journal import Checkpoint, Fingerprint, Finished, Interrupted, Sidecar, marks
from outcore.text.places import BEGINNING, Place
from outcore.text.reading import absolute, fingerprint
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
    killed : Interrupted or None
        The run that is gone on with.
    grows : bool
        Whether to begin with the rows of the target.
    finished : bool
        Whether there is nothing to do.
    """

    sources: Files
    plan: str | None = None
    checkpoint: Checkpoint = field(default_factory=lambda: Checkpoint(BEGINNING))
    killed: Interrupted | None = None
    grows: bool = False
    finished: bool = False

    @property
    def resumed(self) -> bool:
        """Whether a run that was killed is gone on with."""
        return self.killed is not None


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
        try:
            start = _after_kill(sidecar, killed, sources, address, there=there, overwrite=overwrite)
        except IngestError:
            if not overwrite:
                raise
            start = None
        if start is not None:
            return start
    if overwrite or not there:
        return Start(sources)
    finished = sidecar.finished()
    if finished is None or marks(path, inner) != finished.target:
        raise _exists_already(address)
    if finished.wishes != wishes:
        raise ExistsError(
            f"{address} exists and was made in another way: {_differences(finished.wishes, wishes)}.\n"
            "Use overwrite=True (--overwrite) to make it anew, or another name."
        )
    return _after_end(sidecar, finished, sources, address)


def _after_kill(
    sidecar: Sidecar, killed: Interrupted, sources: Sources, address: str, *, there: bool, overwrite: bool
) -> Start | None:
    """Go on with a run that was killed; None if that is not what is asked for, or not possible any more."""
    path, inner = formats.split(address)
    now = marks(path, inner)
    # A dataset that was there before looks like the new one; as long as the rows are there, it is made again.
    done = killed.complete is not None and now == killed.complete
    again = bool(inner) and overwrite and os.path.exists(killed.partial)
    if done and not again:
        return _after_end(sidecar, _recorded(sidecar, killed, path, inner), sources, address)
    if not (overwrite or killed.grows or not there) or not sidecar.intact(killed):
        return None
    if now != killed.before and not done:
        return None
    ordered, _ = _matched(_read_so_far(sidecar, killed), sources, address)
    return Start(ordered, killed.plan, killed.checkpoint, killed, grows=killed.grows)


def _after_end(sidecar: Sidecar, finished: Finished, sources: Sources, address: str) -> Start:
    """Begin with a finished target, to which files may have come."""
    ordered, n_known = _matched(sidecar.recorded(), sources, address)
    checkpoint = Checkpoint(
        Place(n_known, 0, 1),
        file_row=finished.n_rows,
        n_rows=finished.n_rows,
        n_rejects=finished.n_rejects,
        n_masked=finished.n_masked,
        n_cut=finished.n_cut,
    )
    ended = n_known == len(sources)
    return Start(ordered, finished.plan, checkpoint, grows=not ended, finished=ended)


def _exists(path: str, inner: str) -> bool:
    return os.path.lexists(path) and (not inner or bool(formats.module("hdf5").has(path, inner)))


def _exists_already(address: str) -> ExistsError:
    return ExistsError(
        f"{address} exists and overwrite is False.\n"
        "Use overwrite=True (--overwrite) to replace it, or another name."
    )


def _recorded(sidecar: Sidecar, killed: Interrupted, path: str, inner: str) -> Finished:
    """Complete the record of a run that was killed when its target had its name already."""
    drop_second_names(path)
    if inner:
        Path(killed.partial).unlink(missing_ok=True)
    record = sidecar.record(killed.wishes, killed.plan, killed.complete, killed.checkpoint)
    sidecar.finish(record, repeatable=True)
    return record


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
    # By hashes in arrays: a dictionary of a million names takes 200 MB.
    count = len(sources)
    hashes = np.fromiter((hash(absolute(sources[i].path)) for i in range(count)), np.int64, count)
    by_hash = np.argsort(hashes, kind="stable")
    ordered, free = hashes[by_hash], np.ones(count, np.bool_)
    free[:n_matched] = False
    order = list(range(n_matched))
    for one in chain([known], recorded):
        key = hash(one.path)
        at = int(np.searchsorted(ordered, key))
        while at < count and ordered[at] == key:
            place = int(by_hash[at])
            if free[place] and absolute(sources[place].path) == one.path:
                break
            at += 1
        else:
            raise IngestError(
                f"{one.path} was read into {address}, and is not among the files now.\n"
                "Name it again, or use overwrite=True (--overwrite) to make the array of the files there are."
            )
        _check(one, fingerprint(sources[place]), address)
        free[place] = False
        order.append(place)
    return Reordered(sources, np.concatenate([np.array(order, np.int64), np.flatnonzero(free)])), len(order)


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
