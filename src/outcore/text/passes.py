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
from outcore.text.headers import HeaderCheck
from outcore.text.parse import Plan
from outcore.text.pipeline import Pipeline, Steps
from outcore.text.places import BEGINNING, Place
from outcore.text.plan import make_plan
from outcore.text.request import Request
from outcore.text.room import Room
from outcore.text.survey import Survey


def decide_plan(files: Files, request: Request, room: Room, target: str) -> Plan:
    """Decide how to read the files; measure what samples cannot tell.

    Raises
    ------
    IngestError, OptionError, DTypeError
        The files, or the wishes, do not fit together.
    """
    plan = request.with_policy(make_plan(files, request.wishes))
    survey = Survey(plan, guessed=request.wishes.dtype is None and request.wishes.schema is None)
    if survey.needed:
        refuse_rereading(files, "text columns without a width are measured first")
        go_through(files, plan, Surveying(plan, survey, target), room, request, what="measure")
        plan = survey.result()
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
) -> None:
    """Take all chunks from `start` on through the steps, with a progress bar."""
    total = sum(max(files[i].nbytes, 0) for i in range(start.file, len(files)))
    with (
        Cutter(
            files,
            plan.dialect,
            room.chunk_bytes,
            start=start,
            check_header=HeaderCheck(plan),
            record_bytes=room.record_bytes,
            threads=room.n_workers,
        ) as cutter,
        bars.bar(what, total, request.progress) as advance,
    ):
        Pipeline(cutter, steps, room.in_flight_bytes).run(room.n_workers, advance)


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
