"""Seventh job: worker processes parse text, the parent gets their arrays and writes one HDF5 file.

Reads from : the weather files of `texts`, the array that `ingesting` made of them
Hands to   : demo.report

The workers parse with np.loadtxt and return shared arrays; `oc.combine` writes them into one file from where
they are. What ends up in the file is compared with what `outcore ingest` read, by another parser, and with
the rows and missing cells that the csv module counted.

How an array gets from a worker to its parent is then timed by itself, beside a pickled array and beside
multiprocessing.shared_memory as people use it.
"""

from __future__ import annotations

from typing import Any

from outcore.budget import format_bytes
from outcore.demo.ingesting import WEATHER
from outcore.demo.report import aligned
from outcore.demo.stage import BUDGET_BYTES, Demo, Step, Table, quantity
from outcore.demo.texts import SOURCES, YEARS
from outcore.errors import OutcoreError

#: All of them are in shared memory at the same time, whatever the size of the demo.
MOST_FILES = YEARS
HDF5 = "weather-shared.h5"
#: As `outcore.demo.handing` knows them.
OURS, PICKLED = "outcore", "pickled"
WAYS = (OURS, PICKLED, "shared_memory")
WORKERS = 2
#: Files in the larger one of the arrays that are timed.
LARGER = 4
#: Of the structured rows that np.loadtxt makes of a line.
ROW_BYTES = 100
EXPLAINED = """\
  copied in: the worker puts the array into shared memory; handed over: until the parent has it;
  touched: the parent reads one byte of each page. Medians of {} turns; x: times as long as outcore"""


def disk_bytes(size: float) -> int:
    """Estimate what the HDF5 file will take."""
    return round(SOURCES[1].rows * ROW_BYTES * min(MOST_FILES, YEARS * size))


def work(demo: Demo) -> None:
    """Parse, share, combine and compare; then time the hand-over."""
    weather = demo.tables["weather"]
    files = sorted(path.name for path in demo.folder.glob(weather.pattern))[:MOST_FILES]
    demo.say(
        f"shared arrays: weather of {len(files)} {'year' if len(files) == 1 else 'years'}, parsed by"
        f" {WORKERS} worker processes\n"
        "  arrays = dict(zip(names, pool.map(parse_and_share, files)))\n"
        f'  oc.combine(arrays, "{HDF5}")'
    )
    finished = demo.python(
        "combining shared arrays",
        *("-m", "outcore.demo.sharers", HDF5, WEATHER, str(BUDGET_BYTES), str(WORKERS), *files),
        processes=1 + WORKERS,
    )
    made = finished.answer
    _check(made, weather, len(files))
    note = f"{1 + WORKERS} processes together"
    if demo.limit.parent is None:
        note += ", what they share counted for each"
    read_bytes = weather.nbytes * len(files) // weather.files
    demo.steps.append(Step("share and combine", finished.seconds, read_bytes, finished.peak_bytes, note))
    amount = quantity(made["rows"], made["nbytes"])
    demo.say(f"  {amount} in shared memory; in the file, each value as outcore ingest read it")
    found = demo.python(
        "handing over an array", "-m", "outcore.demo.handing", *files[:LARGER], processes=2
    ).answer
    demo.say(f"{_table(found['arrays'])}\n{EXPLAINED.format(found['rounds'])}")
    demo.facts["sharing"] = made | {"workers": WORKERS} | found


def _check(made: dict[str, Any], table: Table, files: int) -> None:
    """Compare with what the csv module counted; all files have the same rows but for their dates."""
    expected = {name: count * files // table.files for name, count in table.missing.items()}
    rows = table.rows * files // table.files
    if made["rows"] != rows or made["missing"] != {name: expected.get(name, 0) for name in made["missing"]}:
        raise OutcoreError(
            f"{HDF5} has {made['rows']} rows and the missing values {made['missing']};\n"
            f"the text has {rows} and {expected}. That is a defect of outcore: please report it."
        )
    if made["differs"]:
        raise OutcoreError(
            f"{HDF5} and {WEATHER} hold different values in {', '.join(made['differs'])}.\n"
            "That is a defect of outcore: please report it."
        )


def _table(arrays: list[dict[str, Any]]) -> str:
    """Write what a hand-over takes, for each array and way; ratios are to ours."""
    rows = [["worker to parent", "copied in", "handed over", "", "touched", "in all", "", "in the pipe"]]
    for array in arrays:
        ours = array["ways"][OURS]
        for name in WAYS:
            way = array["ways"][name]
            mine = name == OURS
            rows.append(
                [
                    f"{format_bytes(array['nbytes'])}, {name}",
                    "-" if name == PICKLED else _ms(way["copied_s"]),
                    _ms(way["handed_s"]),
                    "" if mine else f"{way['handed_s'] / ours['handed_s']:.1f} x",
                    _ms(way["touched_s"]),
                    _ms(_total(way)),
                    "" if mine else f"{_total(way) / _total(ours):.1f} x",
                    format_bytes(way["pipe_bytes"]),
                ]
            )
    return aligned(rows, indent="  ")


def _total(way: dict[str, float]) -> float:
    return way["copied_s"] + way["handed_s"] + way["touched_s"]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"
