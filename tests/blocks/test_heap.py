"""The heap is given back: what was freed in pieces no longer counts as taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from outcore.blocks.heap import give_back

MEASURED = """
import numpy as np
from outcore.blocks.heap import give_back

def taken():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

held = [np.ones(10_000) for _ in range(2000)]
fences = [np.ones(1) for _ in range(2000)]
del held[1::2]
before = taken()
give_back()
print(before - taken())
"""


def test_it_can_be_asked_anywhere() -> None:
    give_back()
    give_back()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_freed_pieces_go_back_to_the_system() -> None:
    run = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    if give_back.__globals__["_trim"]() is None:
        pytest.skip("not glibc")
    assert int(run.stdout) > 20_000_000
