"""The line below the bar of an ingest, and what the bar counts."""

from __future__ import annotations

import gzip
import io
import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from outcore.text import meter, targets
from outcore.text.meter import Meter, anonymous_bytes


def test_rows_rate_and_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    now, rows, memory = [10.0], [500], [3_000_000]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    line = Meter(lambda: rows[0], lambda: memory[0])
    assert line() == "500 rows  0 rows/s  peak 3.0 MB"
    now[0], rows[0], memory[0] = 12.0, 2_000_500, 1_000_000
    assert (
        line() == "2,000,500 rows  1,000,000 rows/s  peak 3.0 MB"
    )  # those of earlier runs took no time here
    memory[0] = 5_000_000_000
    assert line().endswith("peak 5.0 GB")


def test_without_the_systems_figures_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(meter, "_STATUS", tmp_path / "nothing")
    assert anonymous_bytes() == 0
    assert Meter(lambda: 1)().endswith(" rows/s")
    (tmp_path / "status").write_text("Name: python\nVmRSS: 5 kB\n")
    monkeypatch.setattr(meter, "_STATUS", tmp_path / "status")
    assert anonymous_bytes() == 0


def test_memory_is_that_which_no_file_stands_behind() -> None:
    before = anonymous_bytes()
    if not before:
        pytest.skip("the system does not tell")
    # Fresh pages: what this process has freed already may be given out again.
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        taken[:] = b"x" * len(taken)
        assert anonymous_bytes() - before > 0.9 * len(taken)


# ---- what a bar, or a callable, hears of an ingest ------------------------------------------------------


def cut_short(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object], *, rows: int) -> None:
    """Let a run be interrupted by Ctrl-C once so many rows are written."""
    write = targets.FlatTarget.write

    def failing(self: targets.FlatTarget, start: int, block: np.ndarray) -> None:
        if start >= rows:
            raise KeyboardInterrupt
        write(self, start, block)

    with monkeypatch.context() as patch:
        patch.setattr(targets.FlatTarget, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            run()


@pytest.mark.parametrize("packed", [False, True])
def test_going_on_the_count_begins_with_what_was_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, packed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    text = b"".join(b"%d,%d\n" % (i, i % 7) for i in range(60_000))
    pack = gzip.compress if packed else bytes
    for name in ("a.csv", "b.csv"):
        Path(name).write_bytes(pack(text))
    first, total = (Path(name).stat().st_size for name in ("a.csv", "b.csv"))
    total += first
    heard: list[tuple[int, int]] = []

    def run() -> oc.Array:
        return oc.ingest(
            "*.csv", "x.npy", "i4", memory="35MB", workers=1, progress=lambda *told: heard.append(told)
        )

    # Stopped within the second file.
    cut_short(monkeypatch, run, rows=80_000)
    heard.clear()
    with run() as made:
        assert made.shape == (120_000, 2)
    assert {of for _, of in heard} == {total}
    assert heard[-1] == (total, total)
    assert heard[0][0] >= first
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_files_that_are_added_are_counted_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("1,2\n" * 1000)
    oc.ingest("*.csv", "x.npy").close()
    Path("b.csv").write_text("3,4\n" * 10)
    heard: list[tuple[int, int]] = []
    oc.ingest("*.csv", "x.npy", progress=lambda *told: heard.append(told)).close()
    assert heard[-1] == (40, 40)


def test_nobody_knows_how_much_a_pipe_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []
    with oc.ingest(
        io.BytesIO(b"1,2\n" * 300), tmp_path / "x.npy", progress=lambda *told: heard.append(told)
    ) as made:
        assert len(made) == 300
    assert heard[-1] == (1200, -1)
