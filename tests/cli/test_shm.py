"""``outcore shm``: what is printed about the shared arrays on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.cli import main, shm
from outcore.shared.census import SharedSegment
from outcore.shared.holders import Holder

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
DTYPE = np.dtype([("chr", "S10"), ("pos", "<i4"), ("pct", "<f4"), ("c", "<i4"), ("t", "<i4"), ("u", "<i4")])


def record(**facts: Any) -> SharedSegment:
    """A segment of 1 MB, held by two processes."""
    held = (
        Holder(12, "python train.py", "mapped r+", 500_000, 10_000_000),
        Holder(345, "python " + "x" * 100, "descriptor"),
    )
    usual: dict[str, Any] = {
        "nonce": "0123456789abcdef" * 2,
        "nbytes": 1_000_000,
        "allocated_bytes": 750_000,
        "shape": (1000, 125),
        "dtype": np.dtype("f8"),
        "made_at": "load.py:12 in parse",
        "made_by": 12,
        "age_s": 7300.0,
        "frozen": False,
        "holders": held,
    }
    return SharedSegment(**(usual | facts))


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *segments: SharedSegment
) -> list[str]:
    monkeypatch.setattr(shm, "segments", lambda: list(segments))
    assert main(["shm"]) == 0
    return capsys.readouterr().out.splitlines()


@LINUX
def test_another_process_sees_who_holds_an_array() -> None:
    array = oc.share(np.zeros((300, 2), DTYPE))
    array["pos"] = 1
    command = [sys.executable, "-m", "outcore", "shm"]
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
    (mine,) = (s for s in found["segments"] if s["nonce"] == array._segment.nonce.hex())
    assert (mine["shape"], mine["nbytes"], mine["frozen"]) == ([300, 2], array.nbytes, False)
    assert mine["dtype"][1] == ["pos", "<i4"]
    assert mine["made_at"].startswith("test_shm.py:")
    assert [(holder["pid"], holder["how"]) for holder in mine["holders"]] == [(os.getpid(), "mapped r+")]
    assert mine["holders"][0]["pss_bytes"] == mine["pss_bytes"] >= array.nbytes
    assert found["nbytes"] >= array.nbytes
    assert found["allocated_bytes"] >= array.nbytes
    assert found["pss_bytes"] >= array.nbytes
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"\n{mine['nonce'][:8]} " in table
    assert f"\n  {os.getpid()}  mapped r+, PSS " in table


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    head, first, *holders, second, last_holder, other_holder, total = printed(
        monkeypatch, capsys, record(), record(nonce="ff" * 16, dtype=DTYPE, frozen=True)
    )
    assert head.split("  ")[0] == "segment"
    cells = "01234567 (1000,125) float64 1.0 MB 750.0 kB 2 h 12 load.py:12 in parse"
    assert " ".join(first.split()) == cells
    assert holders == [
        "  12  mapped r+, PSS 500.0 kB  python train.py",
        f"  345  descriptor  python {'x' * 50}...",
    ]
    assert [last_holder, other_holder] == holders
    assert "  chr:S10 pos:i4 pct:f4 c:i4 t:..." in second
    assert second.endswith("load.py:12 in parse (frozen)")
    assert total == "2 shared arrays, 2.0 MB; 1.5 MB of memory; PSS of the holders 1.0 MB"


def test_what_is_not_known_is_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = record(
        nonce="", shape=None, dtype=None, allocated_bytes=None, age_s=None, made_by=None, frozen=None
    )
    assert printed(monkeypatch, capsys, unknown)[1].split()[:3] == ["?", "?", "?"]
    _, _, held, total = printed(monkeypatch, capsys, record(holders=(), path="/tmp/x/0123"))
    assert held == "  holders unknown; file /tmp/x/0123"
    assert total.startswith("1 shared array,")


def test_nothing_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(monkeypatch, capsys) == [
        "no shared arrays: no process that this user may look at holds one"
    ]
    assert main(["shm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["segments"] == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86400 * 2.9, "3 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert shm._age(seconds) == text
