"""Second job: text to arrays, through the command line.

Reads from : the text files of `texts`
Hands to   : demo.windows, demo.describing

Flights become a matrix: their columns of numbers, float64 because values are missing. The weather becomes
structured rows: every column, each with its own type.
"""

from __future__ import annotations

from typing import Any

from outcore.demo.stage import BUDGET_BYTES, Demo, quantity
from outcore.demo.texts import SOURCES, YEARS
from outcore.errors import OutcoreError

#: The columns of the flights that are numbers.
NUMBERS = (
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time",
    "arr_delay", "flight", "air_time", "distance", "hour", "minute",
)  # fmt: skip
FLIGHTS, WEATHER = "flights.npy", "weather.npy"
#: Estimate of a row of the weather as structured values.
WEATHER_ROW_BYTES = 128


def disk_bytes(size: float) -> int:
    """Estimate what the arrays will take."""
    rows = {source.name: source.rows for source in SOURCES}
    year = rows["flights"] * 8 * len(NUMBERS) + rows["weather"] * WEATHER_ROW_BYTES
    return round(year * YEARS * size)


def work(demo: Demo) -> None:
    """Make ``flights.npy`` and ``weather.npy``, and check that no row is missing."""
    flights, weather = demo.tables["flights"], demo.tables["weather"]
    columns = ("--columns", ",".join(NUMBERS))
    made = demo.outcore("ingest flights", "ingest", flights.pattern, FLIGHTS, *columns, nbytes=flights.nbytes)
    _check(made, flights.rows, (len(NUMBERS),))
    demo.facts["array"] = {"shape": made["shape"], "dtype": made["dtype"], "nbytes": made["nbytes"]}
    times = made["nbytes"] / BUDGET_BYTES
    compared = f"{times:.1f} times the budget" if times > 1 else "smaller than the budget, a trial run"
    amount = quantity(made["shape"][0], made["nbytes"])
    demo.say(f"  {len(NUMBERS)} columns of {made['dtype'].lstrip('<>')}, {amount}: {compared}")
    made = demo.outcore("ingest weather", "ingest", weather.pattern, WEATHER, nbytes=weather.nbytes)
    _check(made, weather.rows, ())
    demo.say(f"  {len(made['dtype'])} fields, {quantity(made['shape'][0], made['nbytes'])}")
    demo.say(f"  as many rows as lines of text: {flights.rows:,} and {weather.rows:,}")


def _check(made: dict[str, Any], rows: int, inner: tuple[int, ...]) -> None:
    shape = tuple(made["shape"])
    if shape != (rows, *inner):
        raise OutcoreError(
            f"{made['address']} has shape {shape}; {(rows, *inner)} was expected from its text.\n"
            "That is a defect of outcore: please report it."
        )
