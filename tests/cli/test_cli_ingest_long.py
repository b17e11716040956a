"""``outcore ingest`` that takes a while: bars on a terminal, Ctrl-C, and going on."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from tests.cli.commands import COMMAND, outcore, process

pty = pytest.importorskip("pty")

DEADLINE_S = 60
#: Each write takes a while, so that there is time to interrupt.
SLOWLY = """
import sys, time
from outcore.cli import main
from outcore.text.targets import FlatTarget

write = FlatTarget.write

def slowly(self, start, rows):
    time.sleep(0.05)
    write(self, start, rows)

FlatTarget.write = slowly
sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Screen:
    """A terminal that is standard error of a process."""

    fd: int
    shown: bytes = b""

    def look(self) -> bytes:
        """Take in what was written until now."""
        while select.select([self.fd], [], [], 0.02)[0]:
            try:
                piece = os.read(self.fd, 1 << 16)
            except OSError:  # the other end is closed
                break
            self.shown += piece
        return self.shown


@dataclass
class Watched:
    running: subprocess.Popen[bytes]
    screen: Screen

    def finish(self) -> tuple[bytes, bytes]:
        """Wait for the end; return what was printed, and all that the screen has shown."""
        deadline = time.monotonic() + DEADLINE_S
        if self.running.stdin is not None:
            self.running.stdin.close()
        while self.running.poll() is None:
            self.screen.look()  # a screen that nobody looks at fills up, and the process waits
            assert time.monotonic() < deadline, self.screen.shown
        assert self.running.returncode == 0, self.screen.look()
        assert self.running.stdout is not None
        return self.running.stdout.read(), self.screen.look()


@contextlib.contextmanager
def on_a_terminal(folder: Path, *arguments: str, pipe: bool = False) -> Iterator[Watched]:
    parent, child = pty.openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, "ingest", *arguments],
            cwd=folder,
            stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=child,
            env=os.environ | {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "100"},
        ) as running:
            os.close(child)
            child = -1
            try:
                yield Watched(running, Screen(parent))
            finally:
                if running.poll() is None:
                    running.kill()
    finally:
        os.close(parent)
        if child >= 0:
            os.close(child)


def feed(
    watched: Watched, write: Callable[[bytes], object], data: bytes, until: Callable[[bytes], bool]
) -> int:
    """Write the data again and again, until the screen shows what is wanted; return how often."""
    deadline = time.monotonic() + DEADLINE_S
    n = 0
    while not until(watched.screen.look()):
        assert watched.running.poll() is None, watched.screen.shown
        assert time.monotonic() < deadline, watched.screen.shown
        write(data)
        n += 1
    return n


def test_a_long_run_shows_rows_and_memory_below_the_bar(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow")
    line = b"1,2\n" * 10_000
    with on_a_terminal(
        tmp_path, "slow", "x.npy", "--dtype", "i4", "--delimiter", ",", "--no-header"
    ) as watched:
        with open(tmp_path / "slow", "wb", buffering=0) as fifo:
            n = feed(watched, fifo.write, line, lambda shown: b"rows/s" in shown)  # after two seconds
        told, shown = watched.finish()
    assert b"ingest" in shown
    assert b" rows  " in shown
    if Path("/proc/self/status").exists():
        assert b"  peak " in shown
    assert b"%" not in shown  # of what, nobody knows
    assert b"/? " in shown
    assert shown.rstrip().endswith(b"\x1b[2K")  # the last thing is to wipe it
    assert f"{n * 10_000:,} rows of 1 file".encode() in told
    assert b"\x1b" not in told
    assert np.load(tmp_path / "x.npy").shape == (n * 10_000, 2)


def test_standard_input_may_be_slow(tmp_path: Path) -> None:
    with on_a_terminal(tmp_path, "-", "x.npy", "--dtype", "i4", "--progress", "--json", pipe=True) as watched:
        assert watched.running.stdin is not None
        n = feed(watched, watched.running.stdin.write, b"1,2\n" * 50_000, lambda shown: b"rows/s" in shown)
        told, _ = watched.finish()
    assert json.loads(told)["n_rows"] == n * 50_000


def test_a_bar_is_shown_on_a_terminal_only_when_asked_or_long(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2\n" * 1000)
    for option, shown in (("--progress", True), ("--no-progress", False), ("--json", False)):
        with on_a_terminal(tmp_path, "x.csv", "x.npy", "--overwrite", option) as watched:
            told, written = watched.finish()
        assert (b"ingest" in written) is shown
        assert (b"1,000 rows" in written) is shown
        assert b"\x1b[3" not in written  # NO_COLOR
        assert b"ingest" not in told


def interrupted(folder: Path, *arguments: str, sent: signal.Signals) -> tuple[int, bytes]:
    """Run it slowly, and send a signal once there is something to go on from."""
    journal = folder / "x.npy.ingest" / "run.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", SLOWLY, "ingest", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as running:
        deadline = time.monotonic() + DEADLINE_S
        while not (journal.exists() and _rows(journal)):
            assert running.poll() is None, "it ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(sent)
        _, errors = running.communicate(timeout=DEADLINE_S)
    assert b"Traceback" not in errors
    return running.returncode, errors


def _rows(journal: Path) -> int:
    whole = [line for line in journal.read_bytes().splitlines(keepends=True)[1:] if line.endswith(b"\n")]
    return json.loads(whole[-1])["checkpoint"]["n_rows"] if whole else 0


LONG = ("x.csv", "x.npy", "--dtype", "i4", "--memory", "36MB", "--workers", "2")


@pytest.fixture
def long_table(tmp_path: Path) -> np.ndarray:
    rows = np.arange(400_000).reshape(-1, 4)
    np.savetxt(tmp_path / "x.csv", np.tile(rows, (10, 1)), fmt="%d", delimiter=",")
    return np.tile(rows, (10, 1))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted_it_goes_on(
    tmp_path: Path, long_table: np.ndarray, sent: signal.Signals, code: int
) -> None:
    returned, errors = interrupted(tmp_path, *LONG, sent=sent)
    assert returned == code
    if sent == signal.SIGINT:
        assert errors == b"outcore: interrupted; the same command goes on where it stopped\n"
    assert not (tmp_path / "x.npy").exists()
    rehearsed = outcore(tmp_path, "ingest", *LONG, "--dry-run").stdout
    assert "would go on after " in rehearsed
    run = process(tmp_path, "ingest", *LONG)
    n_before = rehearsed.partition("would go on after ")[2].split()[0]
    assert n_before != "0"
    assert f"went on after {n_before} rows\n" in run.stdout
    assert np.array_equal(np.load(tmp_path / "x.npy"), long_table)
    assert sorted(os.listdir(tmp_path)) == ["x.csv", "x.npy", "x.npy.ingest"]


def test_interrupted_the_bar_goes_on_from_there(tmp_path: Path, long_table: np.ndarray) -> None:
    total = (tmp_path / "x.csv").stat().st_size
    interrupted(tmp_path, *LONG, sent=signal.SIGINT)
    reached = json.loads((tmp_path / "x.npy.ingest" / "run.jsonl").read_text().splitlines()[-1])["checkpoint"]
    with on_a_terminal(tmp_path, *LONG, "--progress") as watched:
        told, shown = watched.finish()
    assert b"went on after" in told
    # As it is drawn first.
    assert f" {reached['place']['byte'] / 1e6:.1f}/{total / 1e6:.1f} MB ".encode() in shown
    assert f"\r\n  {reached['n_rows']:,} rows  0 rows/s".encode() in shown


def test_only_the_same_call_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text("1,2,a\n" * 1000)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    def notes(**options: object) -> list[str]:
        with pytest.raises(KeyboardInterrupt) as caught:
            oc.ingest("x.csv", "x.npy", progress=interrupt, **options)
        return getattr(caught.value, "__notes__", [])

    assert notes() == []  # while the texts were measured
    assert notes(dtype="a:i4 b:i4 c:S1") == ["The same call goes on where it stopped."]
    assert notes() == []  # what was interrupted before is another call
    assert not Path("x.npy").exists()


def test_interrupted_before_there_is_anything_it_leaves_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow")
    with (
        subprocess.Popen(
            [*COMMAND, "ingest", "slow", "x.npy"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running,
        open(tmp_path / "slow", "wb", buffering=0) as fifo,
    ):  # as soon as it is opened there
        fifo.write(b"1,2\n")
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=DEADLINE_S)
    assert (running.returncode, errors) == (130, b"outcore: interrupted; nothing is left half done\n")
    assert os.listdir(tmp_path) == ["slow"]
