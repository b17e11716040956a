"""Starting: `import outcore`, its first call, and the command line, each in a fresh process.

Against  : `import numpy`
Targets  : import outcore at most 1.5 times import numpy; outcore --help below 0.15 s
Repeat   : .venv-bench/bin/python -m benchmarks import_time
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

from benchmarks.measure import Skip, Turn, interleave
from benchmarks.report import Report, Table, Target
from benchmarks.settings import Settings

NUMPY, OURS, FIRST, HELP = "import numpy", "import outcore", "import outcore; oc.open", "outcore --help"
#: The clock runs inside the process, around these words alone.
CODE = {NUMPY: "import numpy", OURS: "import outcore", FIRST: "import outcore; outcore.open"}


def run(settings: Settings) -> Report:
    """Start process after process."""
    turns: dict[str, Turn] = {name: partial(_import, code) for name, code in CODE.items()}
    turns["python -c pass"] = partial(_process, [sys.executable, "-c", "pass"])
    turns[HELP] = partial(_process, [sys.executable, "-m", "outcore", "--help"])
    rates = interleave(turns, settings.many_repeats, "starts/s", warm_up=True)
    rows = [
        [name, f"{1e3 / rates.median(name):.1f}", str(rates.ratio(NUMPY, name) or "")] for name in rates.of
    ]
    report = Report("starting, each in a fresh process")
    report.setting = ["imports: the import alone; the others: the whole process, start and end included"]
    report.tables.append(
        Table("", ["", "ms", f"× {NUMPY}"], rows, [f"{k}: {v}" for k, v in rates.skipped.items()],
              {"unit": rates.unit, "rates": rates.of})
    )  # fmt: skip
    ours = rates.ratio(NUMPY, OURS)
    started = 1 / rates.median(HELP) if HELP in rates.of else None
    report.targets += [
        Target(f"{NUMPY}: {OURS}", 1.5, ours.median if ours else None, " ×", at_most=True),
        Target(HELP, 0.15, started, " s", at_most=True, why_not=rates.skipped.get(HELP, "")),
    ]
    return report


def _import(code: str, seed: int) -> float:
    program = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return 1 / float(run.stdout)


def _process(command: list[str], seed: int) -> float:
    begin = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if run.returncode:
        raise Skip(f"exit {run.returncode}: {run.stderr.strip().splitlines()[-1:]}")
    return 1 / seconds
