"""What iterating takes, measured in a process of its own: within what was planned, whatever the workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

#: Of the allocator and the interpreter: what a first batch brings into being for good.
TOLERANCE = 6 << 20
BUDGET = 48 << 20

ITERATE = """
import json, sys
import numpy as np, outcore as oc
from tests.blocks.peak import peak
path, options = sys.argv[1], json.loads(sys.argv[2])
window = options.pop("window", None)
if options.pop("halve", False):
    options["transform"] = halve = lambda batch, rng: batch * np.float32(0.5)
window = oc.Window(**window) if window else None
loader = oc.Loader(path, 128, memory=int(sys.argv[3]), window=window, **options)
small = oc.Loader(np.zeros((64, 2), "f4"), 32)
list(small)  # what is imported late, is imported
def run():
    for number, batch in enumerate(loader):
        if number == 400:
            break
_, taken = peak(run)
print(json.dumps([loader.peak_bytes, taken]))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    where = tmp_path_factory.mktemp("memory") / "x.npy"
    rows = np.lib.format.open_memmap(where, "w+", "f4", (100_000, 256))
    for start in range(0, len(rows), 10_000):
        rows[start : start + 10_000] = start
    del rows
    return str(where)


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": "block"},
        {"shuffle": "block", "num_workers": 0},
        {"shuffle": "block", "num_workers": 4},
        {"shuffle": True, "num_workers": 4},
        {"shuffle": False},
        {"shuffle": "block", "halve": True},
        {"shuffle": "block", "window": {"length": 20}},
        {"shuffle": "block", "window": {"length": 20, "sampling_rate": 3}},
        {"shuffle": True, "window": {"length": 20, "sampling_rate": 3}},
    ],
    ids=str,
)
def test_memory_stays_within_what_was_planned(path, options):
    command = [sys.executable, "-c", ITERATE, path, json.dumps(options), str(BUDGET)]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=100, env=os.environ | {"PYTHONPATH": "."}
    )
    assert found.returncode == 0, found.stderr
    planned, taken = json.loads(found.stdout)
    assert planned <= BUDGET
    assert taken <= planned + TOLERANCE
