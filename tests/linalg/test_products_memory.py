"""What the plan says of memory, against what a fresh process takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

N_ROWS, N_COLUMNS = 40_000, 400

MEASURED = """
import json, sys, threading, time
import numpy as np, outcore as oc

def taken():
    with open("/proc/self/status") as lines:
        return sum(int(l.split()[1]) * 1024 for l in lines if l.startswith(("RssAnon", "RssShmem")))

def run(X, what, **options):
    n, d = X.shape
    rng = np.random.default_rng(1)
    operation, arguments = {
        "gram": lambda: (oc.gram, ()),
        "gram, weights": lambda: (oc.gram, (rng.random(n),)),
        "gram, 4 weights": lambda: (oc.gram, (rng.random((n, 4)),)),
        "gram, 30 weights": lambda: (oc.gram, (rng.random((n, 30)),)),
        "quadratic_form": lambda: (oc.quadratic_form, (rng.random((4, d, d)),)),
        "matmul": lambda: (oc.matmul, (rng.random((d, 100)),)),
        "cov": lambda: (oc.cov, ()),
        "describe": lambda: (oc.describe, ()),
    }[what]()
    before = taken()
    most = [before]
    ended = threading.Event()

    def watch():
        while not ended.wait(0.001):
            most.append(taken())

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = operation(X, *arguments, workers=2, progress=False, **options)
    most.append(taken())
    ended.set()
    watcher.join()
    return oc.plan(operation, X, *arguments, workers=2, **options), max(most) - before

what, path, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
run(oc.asarray(np.random.default_rng(0).random((600, 20))), what)  # modules are loaded
X = np.load(path)[:12_000].astype("f8") if options.pop("in_memory", False) else oc.open(path)
plan, measured = run(X, what, **options)
print(json.dumps([plan.mode, plan.peak_bytes, measured]))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "x.npy"
    np.save(path, np.random.default_rng(0).random((N_ROWS, N_COLUMNS)).astype("f4"))
    return path


@pytest.mark.parametrize(
    ("what", "options", "mode"),
    [
        ("gram", {}, "rows"),
        ("gram, weights", {}, "rows"),
        ("gram, 4 weights", {}, "rows"),
        ("gram, 30 weights", {"memory": "55MB", "in_memory": True}, "parts"),
        ("quadratic_form", {}, "rows"),
        ("matmul", {}, "rows"),
        ("cov", {}, "rows"),
        ("describe", {}, "rows"),
    ],
)
def test_the_plan_is_kept_and_not_much_too_large(
    file: Path, what: str, options: dict[str, object], mode: str
) -> None:
    command = [sys.executable, "-c", MEASURED, what, str(file), json.dumps(options)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found, planned, measured = json.loads(run.stdout)
    assert found == mode
    print(f"{what}: planned {planned / measured:.2f} x measured")
    assert measured <= planned <= 1.3 * measured
