"""Run the command: in this process, or as one of its own."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from outcore.cli import main

COMMAND = [sys.executable, "-m", "outcore"]


@dataclass
class Run:
    stdout: str
    stderr: str


def outcore(folder: Path, *arguments: str, code: int = 0) -> Run:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            returned = main(arguments)
        except SystemExit as left:  # argparse leaves this way
            returned = left.code or 0
    run = Run(out.getvalue(), err.getvalue())
    assert returned == code, run
    assert "\x1b" not in run.stdout + run.stderr  # no colour where nobody sees it
    return run


def process(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    run = subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    assert "\x1b" not in run.stdout + run.stderr
    return run
