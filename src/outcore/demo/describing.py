"""Fifth job: count, missing, minimum, maximum, mean and deviation of each column.

Reads from : the matrix of `ingesting`
Hands to   : demo.report
"""

from __future__ import annotations

from outcore.demo.ingesting import FLIGHTS, NUMBERS
from outcore.demo.report import aligned
from outcore.demo.stage import Demo
from outcore.demo.windows import forget
from outcore.errors import OutcoreError

STATISTICS = ("count", "missing", "min", "max", "mean", "std")


def disk_bytes(size: float) -> int:
    """Nothing is written."""
    return 0


def work(demo: Demo) -> None:
    """Print the table, and check that as many values are missing as in the text."""
    forget(demo.folder / FLIGHTS)
    found = demo.outcore("describe", "describe", FLIGHTS, nbytes=demo.facts["array"]["nbytes"])
    columns = [column | {"name": name} for column, name in zip(found["columns"], NUMBERS, strict=True)]
    rows = [[c["name"], *(_cell(c[word]) for word in STATISTICS)] for c in columns]
    demo.say(aligned([["column", *STATISTICS], *rows], indent="  "))
    expected = demo.tables["flights"].missing
    for column in columns:
        in_text = expected.get(column["name"], 0)
        if column["missing"] != in_text:
            name, missing = column["name"], column["missing"]
            raise OutcoreError(
                f"{missing} values of column {name} are missing in {FLIGHTS}, {in_text} in its text.\n"
                "That is a defect of outcore: please report it."
            )
    demo.say("  as many missing values in each column as in the text")
    demo.facts["columns"] = columns


def _cell(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
