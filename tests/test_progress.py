"""Bars: shown where somebody watches and the work lasts, silent everywhere else."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import outcore as oc
from outcore import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def a_terminal() -> Iterator[Terminal]:
    # Not a fixture: pytest puts its own standard error in place between setting up and running a test.
    stream = Terminal()
    # TERM=dumb would switch bars off.
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(stream):
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "100")
        yield stream


def test_a_callable_hears_of_the_end() -> None:
    heard: list[tuple[int, int]] = []
    with progress.bar("work", 30, lambda done, total: heard.append((done, total))) as advance:
        for _ in range(3):
            advance(10)
    assert heard[-1] == (30, 30)
    assert heard == sorted(set(heard))


def test_a_callable_is_not_called_for_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    heard: list[int] = []
    with progress.bar("work", 1000, lambda done, total: heard.append(done)) as advance:
        for _ in range(1000):
            now[0] += progress.REFRESH_S / 100
            advance(1)
    assert 10 <= len(heard) <= 12
    assert heard[-1] == 1000


def test_a_callable_hears_no_end_of_work_that_failed() -> None:
    heard: list[int] = []

    def fail() -> None:
        with progress.bar("work", 10, lambda done, total: heard.append(done)) as advance:
            advance(4)
            advance(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert heard == [4]


def test_nothing_is_written_where_standard_error_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.bar("work", 10) as advance:
        advance(10)
    assert capfd.readouterr() == ("", "")


def test_short_work_shows_nothing_on_a_terminal_either() -> None:
    with a_terminal() as terminal, progress.bar("work", 10) as advance:
        advance(10)
    assert terminal.getvalue() == ""


def test_long_work_shows_a_bar_on_a_terminal_and_wipes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    threads = threading.active_count()
    with a_terminal() as terminal, progress.bar("work", 100) as advance:
        advance(10)
        assert terminal.getvalue() == ""
        now[0] = progress.PATIENCE_S
        advance(40)
        assert "work" in terminal.getvalue()
        assert "50%" in terminal.getvalue()
        assert threading.active_count() == threads
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")  # up one line, and erase it


def test_true_shows_a_bar_at_once() -> None:
    with a_terminal() as terminal, progress.bar("work", 10, True, unit="rows") as advance:
        assert "work" in terminal.getvalue()
        advance(10)


def test_false_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    with a_terminal() as terminal, progress.bar("work", 10, False) as advance:
        advance(10)
    assert terminal.getvalue() == ""


def test_the_options_in_force_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    with a_terminal() as terminal, oc.options(progress=False), progress.bar("work", 10) as advance:
        advance(10)
    assert terminal.getvalue() == ""
    heard: list[int] = []
    with oc.options(progress=lambda done, total: heard.append(done)), progress.bar("work", 10) as advance:
        advance(10)
    assert heard == [10]


def test_anything_else_is_refused_before_the_work() -> None:
    with pytest.raises(oc.errors.OptionError, match="progress='yes'"), progress.bar("w", 1, "yes"):  # type: ignore[arg-type]
        pytest.fail("the work started")


def test_the_drawing_library_is_not_imported_without_a_bar() -> None:
    code = (
        "import sys; from outcore.progress import bar\n"
        "with bar('w', 1) as advance: advance(1)\n"
        "print('rich' in sys.modules, 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_what_was_done_before_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []
    with progress.bar("work", 100, lambda done, total: heard.append((done, total)), done=60) as advance:
        advance(0)
        advance(40)
    assert (heard[0], heard[-1]) == ((60, 100), (100, 100))
    with a_terminal() as terminal, progress.bar("work", 100, True, done=60):
        assert "60%" in terminal.getvalue()
        assert " 0%" not in terminal.getvalue()


def test_a_total_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []
    with progress.bar("work", progress.UNKNOWN, lambda done, total: heard.append((done, total))) as advance:
        advance(5)
    assert heard == [(5, -1)]
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with a_terminal() as terminal, progress.bar("work", progress.UNKNOWN, True) as advance:
        now[0] += progress.REFRESH_S
        advance(2_000_000)
        assert "2.0/? MB" in terminal.getvalue()
        assert "%" not in terminal.getvalue()


def test_nothing_to_do_is_no_division_by_zero() -> None:
    with a_terminal() as terminal, progress.bar("work", 0, True) as advance:
        advance(0)
        assert "work" in terminal.getvalue()


def test_details_stand_below_the_bar_and_are_wiped_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    asked: list[int] = []

    def details() -> str:
        asked.append(threading.get_ident())
        return f"{len(asked)} rows [bold]"  # no markup: what is in brackets is shown

    with a_terminal() as terminal, progress.bar("work", 100, details=details) as advance:
        advance(10)
        assert asked == []
        now[0] = progress.PATIENCE_S
        advance(40)
        last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).splitlines()[-1]
        assert last == f"  {len(asked)} rows [bold]"
    assert set(asked) == {threading.get_ident()}
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K\x1b[1A\x1b[2K")  # two lines


def test_details_are_not_asked_for_without_a_bar() -> None:
    def details() -> str:
        pytest.fail("nobody sees them")

    with progress.bar("work", 10, False, details=details) as advance:
        advance(10)
    with progress.bar("work", 10, lambda done, total: None, details=details) as advance:
        advance(10)


@pytest.mark.parametrize("columns", ["20", "60", "80", "200"])
def test_a_bar_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with a_terminal() as terminal:
        monkeypatch.setenv("COLUMNS", columns)
        with progress.bar("ingest", 10**12, True, details=lambda: "1,000,000 rows  " * 4) as advance:
            now[0] += progress.REFRESH_S
            advance(10**11)
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= int(columns)
    if int(columns) >= 80:
        assert any("0.1/1.0 TB" in line for line in lines)
