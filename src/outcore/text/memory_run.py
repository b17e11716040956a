"""Text files into shared memory.

Reads from : text.passes
Hands to   : text.ingesting

The records are counted first, in a pass of its own: memory is taken once, for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from outcore.errors import DTypeError, OptionError, ReadOnlyError, ShapeError
from outcore.shared.sharedarray import SharedArray
from outcore.shared.sharing import shared_empty
from outcore.storage.publish import Partial
from outcore.text.counting import Counting
from outcore.text.journal import Checkpoint
from outcore.text.passes import complete_plan, first_plan, go_through, refuse_rereading
from outcore.text.places import BEGINNING
from outcore.text.reading import Limits, Reading
from outcore.text.rejects import RejectsWriter, check_place
from outcore.text.request import Outcome, Request
from outcore.text.room import Room
from outcore.text.sources import Sources
from outcore.text.targets import MemoryTarget


def into_memory(files: Sources, given: SharedArray | None, request: Request, room: Room) -> Outcome:
    """Read the files into a shared array, a new one if none is given.

    Raises
    ------
    OptionError
        Options that mean nothing here, or a source that can be read only once.
    DTypeError, ShapeError
        The files do not fit the array; it is unchanged.
    MemoryBudgetError
        There is no room for the rows.
    """
    _check(request)
    if given is not None and not given.flags.writeable:
        raise ReadOnlyError(
            f"the shared array {given.shape} {given.dtype} can only be read: it was frozen.\n"
            "Give one that can be written, or target=None for a new one."
        )
    if given is not None and request.wishes.dtype is None and request.wishes.schema is None:
        request = replace(request, wishes=replace(request.wishes, dtype=given.dtype))
    refuse_rereading(files, "records are counted before shared memory is taken for them")
    plan = complete_plan(first_plan(files, request), files, request, room, "the shared array")
    counting = Counting(plan)
    go_through(files, plan, counting, room, request, what="count")
    shape, dtype = (counting.n_done, *plan.schema.row_shape), plan.schema.dtype
    stops = plan.on_error == "stop"
    if given is not None:
        _check_fits(given, shape, dtype, exact=stops)
    rows = shared_empty(shape, dtype) if given is None else given
    target = MemoryTarget(rows, exact=given is not None and stops)
    with _rejects(request) as writer:
        reading = Reading(
            files,
            plan,
            target,
            Limits(request.max_rejects, room.chunk_bytes),
            target_name="the shared array",
            rejects=writer,
            start=Checkpoint(BEGINNING),
        )
        go_through(files, plan, reading, room, request, what="ingest")
        done = reading.complete()
        target.finish(done.n_rows)
    return Outcome(
        target.commit(),
        plan,
        len(files),
        done.n_rows,
        done.n_rejects,
        done.n_masked,
        done.n_cut,
        str(request.rejects) if done.rejects_bytes else "",
        reading.first_faults,
    )


@contextmanager
def _rejects(request: Request) -> Iterator[RejectsWriter | None]:
    """Open a list of rejects that gets its name in the end; after an error there is none."""
    if request.rejects is None or request.on_error == "stop":
        yield None
        return
    final = os.path.abspath(request.rejects)
    partial = Partial(final, overwrite=True)
    try:
        with RejectsWriter(partial.path) as writer:
            yield writer
            listed = writer.tell() > 0
    except BaseException:
        partial.discard()
        raise
    if listed:
        partial.commit()
    else:
        partial.discard()
        with suppress(FileNotFoundError):  # it was about other rows
            os.unlink(final)


def _check(request: Request) -> None:
    if request.chunks is not None or request.compression is not None or request.overwrite:
        raise OptionError(
            f"chunks={request.chunks}, compression={request.compression!r} and overwrite={request.overwrite} "
            "mean nothing for shared memory.\nLeave them out, or give the name of a file."
        )
    if request.on_error != "stop" and request.rejects is None:
        raise OptionError(
            f"on_error={request.on_error!r} lists bad cells in a file, and shared memory has no name to "
            'put it beside.\nUse rejects="x.rejects.csv".'
        )
    if request.rejects is not None and request.on_error != "stop":
        check_place(request.rejects)


def _check_fits(given: SharedArray, shape: tuple[int, ...], dtype: np.dtype[Any], *, exact: bool) -> None:
    if given.dtype != dtype:
        raise DTypeError(
            f"the shared array holds {given.dtype}; the files are read as {dtype}.\n"
            "Leave dtype out, or give target=None for a new array."
        )
    if given.shape == shape or (not exact and given.shape[1:] == shape[1:] and len(given) >= shape[0]):
        return
    raise ShapeError(
        f"the shared array has shape {given.shape}; the files have records for {shape}.\n"
        f"Make it with oc.shared_empty({shape}, ...), or give target=None for a new one."
    )
