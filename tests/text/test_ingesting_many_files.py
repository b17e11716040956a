"""Very many tiny files: few descriptors, little memory, right rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")

LONG = os.environ.get("OUTCORE_TESTS") == "long"
N_FILES = 1_000_000 if LONG else 20_000
#: In each folder; file systems are slow with a million names in one.
IN_FOLDER = 10_000

MEASURED = """
import json, os, sys, threading, time
import numpy as np
import outcore as oc
from outcore.text import file_run

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

peak, most, ended, took = 0, 0, threading.Event(), {}

def watch():
    global peak, most
    while not ended.wait(0.005):
        peak, most = max(peak, anonymous()), max(most, len(os.listdir("/proc/self/fd")))

def timed(name):
    real = getattr(file_run, name)
    def call(*args, **kwargs):
        start = time.perf_counter()
        try:
            return real(*args, **kwargs)
        finally:
            took[name] = time.perf_counter() - start
    setattr(file_run, name, call)

for name in ("decide", "first_plan", "go_through"):
    timed(name)
watcher = threading.Thread(target=watch)
watcher.start()
start = time.perf_counter()
x = oc.ingest(sys.argv[1], sys.argv[2], "i4", memory=sys.argv[3], progress=False)
took["all"] = time.perf_counter() - start
ended.set()
watcher.join()
right = bool(np.array_equal(x[:], np.stack([np.arange(len(x)), np.arange(len(x)) % 7], 1)))
print(json.dumps({"peak": peak, "fds": most, "n": len(x), "right": right, "took": took}))
"""


def write_files(folder: Path, first: int, stop: int) -> None:
    for start in range(first, stop, IN_FOLDER):
        inner = folder / f"d{start // IN_FOLDER:04d}"
        inner.mkdir(parents=True, exist_ok=True)
        for i in range(start, min(start + IN_FOLDER, stop)):
            with open(inner / f"p{i}.csv", "w") as file:
                file.write(f"a,b\n{2 * i},{2 * i % 7}\n{2 * i + 1},{(2 * i + 1) % 7}")


@pytest.mark.timeout(3000)
def test_very_many_tiny_files(tmp_path: Path) -> None:
    write_files(tmp_path / "in", 0, N_FILES)
    command = [
        *(sys.executable, "-c", MEASURED, str(tmp_path / "in" / "*" / "*.csv")),
        *(str(tmp_path / "x.npy"), str(512 * 10**6)),
    ]
    for n_new in (0, 10, 0):
        write_files(tmp_path / "in", N_FILES, N_FILES + n_new)
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)
        print({name: f"{seconds / N_FILES * 1e6:.1f} us a file" for name, seconds in found["took"].items()})
        assert found["right"]
        assert found["peak"] < 512 * 10**6
        assert found["fds"] < 40
    assert found["n"] == 2 * (N_FILES + 10)
    listed = (tmp_path / "x.npy.ingest" / "sources.csv").read_text().splitlines()
    assert len(listed) == N_FILES + 11
    assert listed[-1].endswith(
        f"/p{N_FILES + 9}.csv,{listed[-1].split(',')[1]},{listed[-1].split(',')[2]},{2 * N_FILES + 18},2"
    )
