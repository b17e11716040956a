from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import cgroup as memory_cgroup
from tests.cgroup import Outcome

MB = 1 << 20


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_exit_code_and_peak_of_anonymous_memory(cgroup: Callable[..., Outcome]) -> None:
    code = "import sys, time; b = b'x' * (64 << 20); time.sleep(0.1); print('out'); sys.exit(3)"
    outcome = cgroup(python(code), 256 * MB)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (3, "out\n", "")
    assert 64 * MB <= outcome.peak_anonymous < 100 * MB
    assert outcome.oom_kills == 0


def test_page_cache_is_not_anonymous_memory(cgroup: Callable[..., Outcome], tmp_path: Path) -> None:
    code = "f = open('big', 'wb')\nfor _ in range(48): f.write(bytes(1 << 20))"
    outcome = cgroup(python(code), 256 * MB, cwd=tmp_path)
    assert outcome.peak_anonymous < 32 * MB
    assert outcome.peak_total == 0 or outcome.peak_total > 48 * MB


def test_the_kernel_ends_a_command_over_the_limit(cgroup: Callable[..., Outcome]) -> None:
    outcome = cgroup(python("b = b'x' * (256 << 20)"), 64 * MB)
    assert outcome.returncode == -9
    assert outcome.oom_kills >= 1


def test_a_command_over_its_time_is_killed_with_its_children(cgroup: Callable[..., Outcome]) -> None:
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    with pytest.raises(subprocess.TimeoutExpired):
        cgroup(python(code), 256 * MB, timeout_s=0.5)


def test_a_machine_without_cgroups_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory_cgroup, "MOUNT", tmp_path / "none")
    with pytest.raises(memory_cgroup.Unavailable, match="does not exist"):
        memory_cgroup.check()
