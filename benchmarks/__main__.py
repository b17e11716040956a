"""Run benchmarks: ``python -m benchmarks [names] [--quick] [--dir DIR] [--turns N] [--keep] [--json]``."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks import machine
from benchmarks.measure import Skip
from benchmarks.report import Report
from benchmarks.settings import DEFAULT_FOLDER, Settings

#: In this order: the ones that are over soon come first.
NAMES = (
    "import_time",
    "open",
    "handover",
    "hot",
    "tasks",
    "write",
    "chunked",
    "ingest",
    "ingest_gzip",
    "ingest_memory",
    "one_read",
    "loader_construct",
    "loader_quality",
    "loader_csv",
    "loader_shuffle",
    "loader_windows",
    "loader_memory",
    "loader_cold",
    "em",
    "products",
    "sequential",
    "rows",
    "windows",
    "full_windows",
    "em_recipe",
    "large_pass",
    "ingest_stream",
)


def main(argv: list[str] | None = None) -> int:
    """Run what was asked for; return 0 unless a benchmark broke. A missed target breaks nothing."""
    options = _parse(argv)
    settings = Settings(options.quick, options.dir.resolve(), options.keep, options.turns)
    settings.folder.mkdir(parents=True, exist_ok=True)
    on = machine.describe(settings.folder)
    if not options.json:
        print(on + (" · QUICK: sizes too small for figures" if settings.quick else ""), end="\n\n")
    found, broken = {}, 0
    for name in options.names or NAMES:
        try:
            report: Report = import_module(f"benchmarks.{name}").run(settings)
        except Skip as reason:
            report = Report("not run", [str(reason)])
        except Exception:
            traceback.print_exc()
            report, broken = Report("broken; the error stands above"), 1
        found[name] = report.as_dict()
        if not options.json:
            print(report.text(name), flush=True)
    if options.json:
        print(
            json.dumps(
                {"machine": on, "quick": settings.quick, "benchmarks": found}, indent=1, ensure_ascii=False
            )
        )
    return broken


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Ratios to the limit of the machine and to other libraries."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; all if none is given"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: to see that it works, not for figures"
    )
    parser.add_argument("--dir", type=Path, default=DEFAULT_FOLDER, help="folder on the disk to measure")
    parser.add_argument("--turns", type=int, help="turns of each contender (5; 15 where a turn is short)")
    parser.add_argument("--keep", action="store_true", help="leave the files there")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, and nothing else")
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
