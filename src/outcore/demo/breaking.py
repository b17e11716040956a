"""Third job: a copy of the flights with bad lines in it, and what an ingest says of them.

Reads from : the text files of `texts`
Hands to   : nobody

The lines are broken at places that are known here, so that the list of rejects can be checked.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from outcore.demo.ingesting import NUMBERS
from outcore.demo.stage import Demo
from outcore.errors import OutcoreError

BROKEN, TARGET, REJECTS = "flights-broken.txt", "flights-broken.npy", "flights-broken.rejects.csv"
#: One line in so many is broken.
EVERY = 20_000


@dataclass(frozen=True)
class _Damage:
    """Something done to a line: its fields to others, and where the fault is then (column from 1, kind)."""

    to: Callable[[list[str]], list[str]]
    column: int
    kind: str


def _replaced(column: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda fields: [*fields[: column - 1], text, *fields[column:]]


DAMAGES = (
    _Damage(_replaced(6, "late"), 6, "type"),
    _Damage(lambda fields: fields[:-3], 0, "fields"),
    _Damage(_replaced(16, "1,400"), 0, "fields"),
    _Damage(_replaced(15, "1.6e400"), 15, "range"),
    _Damage(_replaced(13, 'N"14,2"28'), 13, "quote"),
)


def disk_bytes(size: float) -> int:
    """Estimate what the copy of one file and its array will take."""
    return 60_000_000


def work(demo: Demo) -> None:
    """Break a copy of one file, ingest what is left of it, and print the rejects."""
    source = min(demo.folder.glob("flights-[0-9]*.csv"))
    wanted = list(_break(source, demo.folder / BROKEN))
    made = demo.outcore(
        "ingest a broken copy",
        "ingest", BROKEN, TARGET, "--columns", ",".join(NUMBERS), "--dtype", "f8", "--on-error", "reject",
        nbytes=(demo.folder / BROKEN).stat().st_size,
    )  # fmt: skip
    with open(demo.folder / REJECTS, newline="") as file:
        found = list(csv.DictReader(file))
    places = [(int(row["line"]), int(row["column"]), row["kind"]) for row in found]
    if places != wanted or made["n_rejects"] != len(wanted):
        raise OutcoreError(
            f"{REJECTS} lists {places}; the copy was broken at {wanted}.\n"
            "That is a defect of outcore: please report it."
        )
    demo.facts["rejects"] = found
    demo.say(
        f"  {made['shape'][0]:,} rows; {REJECTS} lists the other {len(found)}, each where it was broken:"
    )
    for row in found:
        demo.say(f"    line {row['line']:>7}  column {row['column']:>2}  {row['kind']:<7} {row['text'][:60]}")


def _break(source: Path, copy: Path) -> Iterator[tuple[int, int, str]]:
    """Copy a file with every so many lines broken; yield line, column and kind of each fault."""
    with open(source, "rb") as file, open(copy, "wb") as out:
        numbers = chain([3], range(EVERY, 1 << 62, EVERY))
        at, damages = next(numbers), 0
        for number, line in enumerate(file, start=1):
            if number == at:
                damage = DAMAGES[damages % len(DAMAGES)]
                fields = damage.to(line.decode().rstrip("\n").split(","))
                line = (",".join(fields) + "\n").encode()
                yield number, damage.column, damage.kind
                at, damages = next(numbers), damages + 1
            out.write(line)
