"""Commands as children: measured, limited where possible, and never left running."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import outcore as oc
from outcore.demo.children import Finished, run_child
from outcore.demo.groups import Limit, find_limit

MB = 10**6
HOLD = """
import json, time
held = bytearray({0})
held[::4096] = b"x" * len(held[::4096])
time.sleep(0.2)
print(json.dumps({{"n": len(held)}}))
"""


def child(code: str, folder: Path, limit: Limit, **more: Any) -> Finished:
    return run_child([sys.executable, "-c", code], shown="the test", folder=folder, limit=limit, **more)


@pytest.fixture
def unlimited() -> Limit:
    return Limit(0)


@pytest.fixture
def limited() -> Limit:
    limit = find_limit(100 * MB)
    if limit.parent is None:
        pytest.skip(f"needs a memory cgroup of its own: {limit.reason}")
    return limit


def groups_of(limit: Limit) -> list[Path]:
    assert limit.parent is not None
    return list(limit.parent.glob(f"outcore-demo-{os.getpid()}-*"))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_is_measured_without_a_control_group(tmp_path: Path, unlimited: Limit) -> None:
    finished = child(HOLD.format(50 * MB), tmp_path, unlimited)
    assert finished.answer == {"n": 50 * MB}
    assert finished.peak_bytes is not None
    assert 50 * MB < finished.peak_bytes < 90 * MB


def test_a_limit_holds_memory_is_measured_and_the_group_is_removed(tmp_path: Path, limited: Limit) -> None:
    finished = child(HOLD.format(50 * MB), tmp_path, limited)
    assert finished.peak_bytes is not None
    assert 50 * MB < finished.peak_bytes <= 100 * MB
    with pytest.raises(oc.errors.OutcoreError, match=r"needed more than 100\.0 MB"):
        child(HOLD.format(200 * MB), tmp_path, limited)
    assert groups_of(limited) == []


def test_the_group_of_a_killed_run_is_removed(limited: Limit) -> None:
    assert limited.parent is not None
    left = limited.parent / f"outcore-demo-{2**30}-1"  # no process has so high a number
    left.mkdir()
    find_limit(100 * MB)
    assert not left.exists()


def test_progress_lines_are_handed_on_and_the_last_other_line_is_the_answer(
    tmp_path: Path, unlimited: Limit
) -> None:
    code = 'print("{\\"done\\": 1}\\n{\\"done\\": 2}\\n{\\"answer\\": 3}")'
    lines: list[dict[str, Any]] = []
    finished = child(code, tmp_path, unlimited, on_line=lines.append)
    assert (lines, finished.answer) == ([{"done": 1}, {"done": 2}], {"answer": 3})


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
    ],
)
def test_a_failure_names_the_command_and_how_it_ended(
    code: str, how: str, tmp_path: Path, unlimited: Limit
) -> None:
    with pytest.raises(oc.errors.OutcoreError, match=f"`the test` {how}"):
        child(code, tmp_path, unlimited)


def test_an_interrupt_ends_the_command(tmp_path: Path, unlimited: Limit) -> None:
    # The hygiene of the tests finds a child that is still there.
    def interrupt(line: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    code = 'import time; print("{\\"done\\": 1}", flush=True); time.sleep(600)'
    with pytest.raises(KeyboardInterrupt):
        child(code, tmp_path, unlimited, on_line=interrupt)
