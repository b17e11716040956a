"""Passes over the files: what every kind of run has in common.

Reads from : text.sources
Hands to   : text.file_run, text.memory_run
"""

from __future__ import annotations

from typing import Any

from outcore import progress as bars
from outcore.errors import OptionError
from outcore.text.counting import Surveying
from outcore.text.cutting import Cutter, Files
from outcore.text.meter import Meter
from outcore.text.parse import Plan
from outcore.text.pipeline import Pipeline, Steps
from outcore.text.places import BEGINNING, Place
from outcore.text.plan import header_check, make_plan
from outcore.text.request import Request
from outcore.text.room import Room, check_row
from outcore.text.survey import Survey


def first_plan(files: Files, request: Request) -> Plan:
    """Decide how to read the files, from samples of them.

    Raises
    ------
    IngestError, OptionError, DTypeError
        The files, or the wishes, do not fit together.
    """
    return request.with_policy(make_plan(files, request.wishes))


def complete_plan(
    plan: Plan, files: Files, request: Request, room: Room, target: str, *, unicode: bool = True
) -> Plan:
    """Measure what samples cannot tell, in a pass over the files; without that, return the plan as it is.

    Parameters
    ----------
    unicode : bool
        Whether text that is not all ASCII may become U; otherwise it is S.

    Raises
    ------
    IngestError
        A record that cannot be read, where that is to stop the work.
    OptionError
        A source that can be read only once.
    DTypeError
        More categories than their type holds.
    MemoryBudgetError
        There is no room for a row.
    """
    guessed = unicode and request.wishes.dtype is None and request.wishes.schema is None
    survey = Survey(plan, guessed=guessed)
    if survey.needed:
        refuse_rereading(files, "text columns without a width are measured first")
        go_through(files, plan, Surveying(plan, survey, target), room, request, what="measure")
        plan = survey.result()
    check_row(plan.schema.row_bytes, len(plan.schema.file_names), request.memory)
    return plan


def go_through(
    files: Files,
    plan: Plan,
    steps: Steps[Any, Any],
    room: Room,
    request: Request,
    *,
    what: str,
    start: Place = BEGINNING,
    first_file: int = 0,
) -> None:
    """Take all chunks from `start` on through the steps, with a progress bar.

    Parameters
    ----------
    first_file : int
        Where the work began that this is the rest of; the bar counts from there.
    """
    done, total = _done_and_total(files, start, first_file)
    with (
        Cutter(
            files,
            plan.dialect,
            room.chunk_bytes,
            start=start,
            check_header=header_check(plan),
            record_bytes=room.record_bytes,
            threads=room.threads,
        ) as cutter,
        bars.bar(what, total, request.progress, done=done, details=Meter(lambda: steps.n_done)) as advance,
    ):
        Pipeline(cutter, steps, room.in_flight_bytes).run(room.n_workers, advance)


def _done_and_total(files: Files, start: Place, first_file: int) -> tuple[int, int]:
    """Count the bytes on disk before `start`, and all of them; `UNKNOWN` where not all are in files."""
    done = total = 0
    for i in range(first_file, len(files)):
        nbytes = files[i].nbytes
        if nbytes < 0:
            return done, bars.UNKNOWN
        total += nbytes
        done += nbytes if i < start.file else 0
    if start.byte and not files[start.file].compression:
        done += start.byte
    return done, total


def refuse_rereading(files: Files, why: str) -> None:
    """Refuse sources that can be read only once.

    Raises
    ------
    OptionError
    """
    for i in range(len(files)):
        if not files[i].repeatable:
            raise OptionError(
                f"{files[i].path} can be read only once, and {why}.\n"
                "Give the path of a file; or widths and categories by dtype=, categories= or schema=, and "
                "the name of a file as target."
            )
