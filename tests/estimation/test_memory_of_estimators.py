"""What fits take is at most what the plan says, and not much less."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("fitting.py")


@pytest.mark.parametrize(
    ("name", "shape", "k", "dtype"),
    [
        ("KMeans.fit", (60_000, 100), 200, "f4"),
        ("KMeans.transform", (200_000, 40), 20, "f8"),
        ("PCA.fit", (20_000, 800), 10, "f8"),
        ("PCA.fit, full", (15_000, 500), 10, "f8"),
        ("PCA.transform", (60_000, 200), 100, "f8"),
    ],
)
def test_the_plan_is_kept(name: str, shape: tuple[int, int], k: int, dtype: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    del x
    command = [sys.executable, str(PROGRAM), name, str(tmp_path / "x.npy"), str(k)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["taken"] <= found["planned"] <= 1.3 * found["taken"], found
