"""Passes over the text that write nothing: counting records, measuring columns.

Reads from : text.pipeline (chunks)
Hands to   : text.passes
"""

from __future__ import annotations

from collections.abc import Iterator

from outcore.text.cleaning import clean
from outcore.text.faults import examine, inspect
from outcore.text.messages import error
from outcore.text.parse import Plan, Unreadable
from outcore.text.places import Chunk
from outcore.text.records import count
from outcore.text.stretches import short_stretches
from outcore.text.survey import Survey


class _Silent:
    """Steps that place nothing; the order of chunks is kept for errors."""

    def __init__(self) -> None:
        self.n_done = 0

    def place(self, chunk: Chunk, part: int, *, last: bool) -> int:
        return part

    def write(self, part: int, placed: int) -> None:
        """Nothing is written."""

    def commit(self, placed: int) -> None:
        """Add the records up."""
        self.n_done += placed

    def rest(self) -> None:
        """Nothing waits."""


class Counting(_Silent):
    """Counts records, bad ones among them."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    def parse(self, chunk: Chunk) -> tuple[int, Iterator[int]]:
        """Count the records of a chunk."""
        return count(clean(chunk.data, self._plan.dialect), self._plan.dialect).records, iter(())


class Surveying(_Silent):
    """Adds chunks to a survey; records that cannot be read are left out, or stop the work."""

    def __init__(self, plan: Plan, survey: Survey, target: str) -> None:
        super().__init__()
        self._plan = plan
        self._survey = survey
        self._target = target

    def parse(self, chunk: Chunk) -> tuple[int, Iterator[int]]:
        """Add a chunk.

        Raises
        ------
        IngestError
            A record that cannot be read, where that is to stop the work.
        """
        try:
            return self._survey.add(clean(chunk.data, self._plan.dialect)), iter(())
        except Unreadable:
            stretches = short_stretches(chunk, self._plan.dialect)  # looking closer takes more memory
            return sum(map(self._looked_at, stretches)), iter(())

    def _looked_at(self, chunk: Chunk) -> int:
        try:
            return self._survey.add(clean(chunk.data, self._plan.dialect))
        except Unreadable:
            # By the columns in question alone: whether the others can be read depends on what else is in the
            # chunk, and so on where it was cut.
            plan = self._survey.plan
            if plan.on_error == "stop":
                # Other chunks may hold earlier faults, so how many rows came before is not known here.
                raise error(examine(chunk, plan).faults, earlier_rows=0, target=self._target) from None
            return self._survey.add(inspect(chunk, plan).data)
