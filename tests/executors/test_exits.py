"""How processes ended."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from outcore.executors import exits


@pytest.mark.parametrize(
    ("status", "said"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-250, "signal 250")],
)
def test_how(status: int, said: str) -> None:
    assert exits.how(status) == said


def test_those_that_the_pool_has_ended_are_not_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "_PATIENCE_S", 0.02)
    codes = {1: 0, 2: -signal.SIGTERM, 3: -signal.SIGKILL, 4: None}
    processes = {pid: SimpleNamespace(exitcode=code) for pid, code in codes.items()}
    assert exits.how_they_ended({**processes, 5: object()}) == ["process 3: SIGKILL"]
