"""Anonymous memory of ingest, in fresh processes, and under the kernel's own limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cgroup import Outcome

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")

LONG = os.environ.get("OUTCORE_TESTS") == "long"
BUDGET = 512 * 10**6
MEASURED = """
import json, sys, threading
import numpy, polars
import outcore as oc
oc.ingest, oc.create
polars.read_csv(b"1,2\\n", has_header=False)

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

base, peak, ended = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not ended.wait(0.002):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
oc.ingest(sys.argv[1], sys.argv[2], memory=sys.argv[3], progress=False, **json.loads(sys.argv[4]))
ended.set()
watcher.join()
print(json.dumps([base, peak]))
"""


def table(path: Path, block: str, nbytes: int) -> Path:
    with path.open("w") as file:
        for _ in range(-(-nbytes // len(block))):
            file.write(block)
    return path


@pytest.mark.parametrize(
    "line",
    ["0.12345,-1.23456,2.34567,0.00001,12.5\n", "1,2,3,4,5,6,7,8,9,0\n", "ab,c\n", '"some text","more"\n'],
)
def test_memory_does_not_depend_on_the_size_of_the_files(tmp_path: Path, line: str) -> None:
    source = table(tmp_path / "x.csv", line, 40_000_000)
    command = [sys.executable, "-c", MEASURED, source, tmp_path / "x.npy", "48MB", "{}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    base, peak = json.loads(run.stdout)
    assert peak - base < 48_000_000


TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "narrow": ("".join(f"{i % 10}\n" for i in range(1000)), {}),
    "ints": ("1,2,3,4,5,6,7,8,9,0\n" * 1000, {}),
    "text": ("".join(f'a{i},{"x" * (i % 60)},"quoted {i}",{"ab" * (i % 9)}\n' for i in range(1000)), {}),
    "unicode": ("".join(f"{'é' * (i % 20)},{i}\n" for i in range(1000)), {"dtype": "a:U80 b:i4"}),
    "dates": ("".join(f"2024-0{1 + i % 9}-10,2024-01-10T10:{i % 60:02d}:00\n" for i in range(1000)), {}),
    "empty": (",,,,,,,,,1\n,,,,,,,,,\n" * 1000, {}),
    "wide": ((",".join(f"0.{i}" for i in range(3000)) + "\n") * 10, {}),
    "one fault": (
        "1,2,3,4,5,6,7,8,9,0\n" * 100_000 + "1,2,3,4,5,x,7,8,9,0\n",
        {"dtype": "i4", "on_error": "reject"},
    ),
    "all faults": ("x,y\n" * 1000, {"dtype": "f4", "on_error": "mask"}),
}
SHORT = ("text", "one fault", "empty")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("name", TABLES if LONG else SHORT)
def test_the_budget_holds_under_the_limit_of_a_group(
    tmp_path: Path, cgroup: Callable[..., Outcome], name: str, workers: int
) -> None:
    block, options = TABLES[name]
    nbytes = 20_000_000 if name == "all faults" else 200_000_000 if LONG else 80_000_000
    source = table(tmp_path / "x.csv", block, nbytes)
    with source.open("rb") as file:  # pages that another process brought in are not counted for the group
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    how = json.dumps({"workers": workers, "header": False, **options})
    command = [sys.executable, "-c", MEASURED, source, tmp_path / "x.npy", str(BUDGET), how]
    ran = cgroup(command, BUDGET + (256 << 20), timeout_s=200)
    assert (ran.returncode, ran.oom_kills) == (0, 0), ran.stderr
    base, peak = json.loads(ran.stdout)
    assert peak <= BUDGET
    assert base < peak  # something was measured
