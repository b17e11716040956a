"""Workers as programs see them: started from anywhere, gone with whoever started them, silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.executors.test_processes import is_there

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0

#: Prints the number of rows by worker processes; what it needs of its own file varies.
PRELUDE = """
import sys
{hidden}
import numpy as np
from outcore.executors.choosing import choose
import operator
{definition}
def total(function, *small):
    with choose(1) as runner:
        placed = runner.place([3, 4, function])
        runner.submit(0, call, placed, *small)
        done = None
        while done is None:
            done = runner.collect(5.0)
        if done.error is not None:
            raise done.error
        return done.value
"""
HIDDEN = 'sys.modules["cloudpickle"] = None'
LIBRARY = "from tests.executors.library import call, plus"
OWN = "def call(placed, *small): return placed[2](placed[0], placed[1])\ndef plus(a, b): return a + b"
RUN = "print('answer', total(plus))"
GUARDED = f'if __name__ == "__main__":\n    {RUN}'


def program(definition: str, run: str, *, hidden: bool = False) -> str:
    return PRELUDE.format(hidden=HIDDEN if hidden else "", definition=definition) + run + "\n"


def started(text: str, way: str, folder: Path, extra: str = "") -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(text)
    command = {
        "script": [str(path)],
        "module": ["-m", "script"],
        "-c": ["-c", text],
        "stdin": ["-"],
    }[way]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    return subprocess.run(
        [sys.executable, *command],
        input=text if way == "stdin" else "",
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("way", ["script", "module", "-c", "stdin"])
def test_a_program_without_a_guard_whose_functions_are_in_modules(way: str, tmp_path: Path) -> None:
    run = started(program(LIBRARY, RUN, hidden=True), way, tmp_path)
    assert (run.stdout, run.stderr) == ("answer 7\n", "")


@pytest.mark.parametrize("way", ["script", "stdin"])
def test_functions_of_the_program_itself_travel_by_value(way: str, tmp_path: Path) -> None:
    pytest.importorskip("cloudpickle")
    run = started(program(OWN, RUN), way, tmp_path)
    assert (run.stdout, run.stderr) == ("answer 7\n", "")


@pytest.mark.parametrize("way", ["script", "module"])
def test_without_cloudpickle_a_guarded_program_is_imported_for_them(way: str, tmp_path: Path) -> None:
    run = started(program(OWN, GUARDED, hidden=True), way, tmp_path)
    assert (run.stdout, run.stderr) == ("answer 7\n", "")


def test_without_cloudpickle_and_guard_the_error_says_what_to_do(tmp_path: Path) -> None:
    run = started(program(OWN, RUN, hidden=True), "script", tmp_path)
    assert run.returncode == 1
    assert 'if __name__ == "__main__":' in run.stderr
    assert "outcore.errors.ExecutorError: worker processes need a function or class" in run.stderr


def test_without_cloudpickle_a_session_is_told_so(tmp_path: Path) -> None:
    run = started(program(OWN, RUN, hidden=True), "stdin", tmp_path)
    assert run.returncode == 1
    assert "ExecutorError: plus is defined in a notebook or an interactive session" in run.stderr


def test_the_start_method_of_the_program_is_left_to_it(tmp_path: Path) -> None:
    text = program(LIBRARY, f"{RUN}\nimport multiprocessing as m\nm.set_start_method('forkserver')")
    run = started(text, "script", tmp_path)
    assert (run.stdout, run.stderr) == ("answer 7\n", "")


def test_what_a_worker_prints_is_printed(tmp_path: Path) -> None:
    text = program("from tests.executors.library import call, say as plus", RUN)
    run = started(text, "script", tmp_path)
    assert sorted(run.stdout.splitlines()) == ["answer None", "on output 3 4"]
    assert run.stderr == "on error 3 4\n"


WAITING = """
import os, sys
from outcore.executors.choosing import choose
from tests.executors.library import wait
with choose(2) as runner:
    placed = runner.place([{work!r}])
    for index in range(4):
        runner.submit(index, wait, placed)
    print("pids", *(member.pid for member in runner._members), flush=True)
    {pause}
    while True:
        runner.collect(5.0)
"""


def waiting(work: str, tmp_path: Path, *, at_once: bool = False) -> tuple[subprocess.Popen[str], list[int]]:
    text = WAITING.format(work=work, pause="")
    run = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert run.stdout is not None
    word, *pids = run.stdout.readline().split()
    assert word == "pids"
    for _ in range(0 if at_once else 2):
        assert run.stdout.readline() == "working\n"
    return run, list(map(int, pids))


def gone(pids: list[int], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(map(is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(is_there, pids))


@pytest.mark.parametrize("work", ["sleep", "compute"])
def test_workers_end_with_a_parent_that_was_killed(work: str, tmp_path: Path) -> None:
    run, pids = waiting(work, tmp_path)
    run.kill()
    assert gone(pids, PATIENCE_S)
    assert run.communicate()[1] == ""


@pytest.mark.parametrize("at_once", [True, False])
def test_ctrl_c_reaches_the_parent_alone(at_once: bool, tmp_path: Path) -> None:
    run, pids = waiting("sleep", tmp_path, at_once=at_once)
    os.killpg(run.pid, signal.SIGINT)  # as the terminal does
    _, said = run.communicate(timeout=PATIENCE_S)
    assert not any(map(is_there, pids))
    assert said.count("Traceback") == 1
    assert said.rstrip().endswith("KeyboardInterrupt")
