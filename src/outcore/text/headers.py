"""Whether each file has the header of the others.

Reads from : text.cutting
Hands to   : text.passes

The plan was made from files that had it; others may have come since.
"""

from __future__ import annotations

from outcore.errors import IngestError
from outcore.text.cleaning import clean
from outcore.text.dialect import split
from outcore.text.parse import Plan


class HeaderCheck:
    """Compares headers with that of the plan."""

    def __init__(self, plan: Plan) -> None:
        self._dialect = plan.dialect
        self._wanted = list(plan.schema.header)
        self._last = b""

    def __call__(self, path: str, data: bytes) -> None:
        """Check the header of a file, given as text.

        Raises
        ------
        IngestError
            It is another one.
        """
        if data == self._last:
            return
        (found,) = split(clean(data, self._dialect).decode(errors="replace"), self._dialect, 1) or [[]]
        if self._wanted and found != self._wanted:
            raise IngestError(
                f"{path} has another header than the files before it:\n"
                f"  {', '.join(self._wanted)}\n  {', '.join(found)}\n"
                "Ingest files of one kind at a time; if only the names differ, use header=False, skip_rows=1."
            )
        self._last = data
