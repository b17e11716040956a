"""Anonymous memory of ingest, in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MEASURED = """
import sys, threading
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
oc.ingest(sys.argv[1], sys.argv[2], memory=sys.argv[3], progress=False)
ended.set()
watcher.join()
print(peak - base)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "line",
    ["0.12345,-1.23456,2.34567,0.00001,12.5\n", "1,2,3,4,5,6,7,8,9,0\n", "ab,c\n", '"some text","more"\n'],
)
def test_memory_does_not_depend_on_the_size_of_the_files(tmp_path: Path, line: str) -> None:
    source = tmp_path / "x.csv"
    source.write_text(line * (40_000_000 // len(line)))
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, source, tmp_path / "x.npy", "48MB"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout) < 48_000_000
