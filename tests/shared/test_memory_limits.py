"""What does not fit is refused before it is touched, and refusals say what to type."""

from __future__ import annotations

import errno

import pytest

import outcore as oc
from outcore import budget
from outcore.errors import HandleLimitError, MemoryBudgetError
from outcore.shared.memory_limits import check_room, explain

MB = 1 << 20


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(budget, "surely_fits", lambda nbytes: False)
    monkeypatch.setattr(budget, "machine_memory", lambda: budget.Memory(512 * MB, 128 * MB))
    return 128 * MB


@pytest.mark.parametrize(
    ("nbytes", "fits"), [(0, True), (120 * MB, True), (126 * MB, False), (128 * MB, False)]
)
def test_the_kernels_own_lists_have_to_fit_too(free: int, nbytes: int, fits: bool) -> None:
    if fits:
        check_room(nbytes, "an array")
    else:
        with pytest.raises(MemoryBudgetError, match=r"134\.2 MB of 536\.9 MB are free"):
            check_room(nbytes, "an array")


def test_the_refusal_has_both_sizes_and_the_cure(free: int) -> None:
    with pytest.raises(MemoryError) as caught:
        oc.shared_empty((1000, 1000, 100), "f8")
    text = str(caught.value)
    assert "shape (1000, 1000, 100) and dtype float64 needs 800.0 MB" in text
    assert "134.2 MB of 536.9 MB are free" in text
    assert "reserve=False" in text
    assert oc.shared_empty((1000, 1000, 100), "f8", reserve=False).nbytes == 800_000_000


def test_what_the_system_says_becomes_what_to_do() -> None:
    found = explain(OSError(errno.EMFILE, "Too many open files"), 5, "an array")
    assert isinstance(found, HandleLimitError)
    assert "of this process are in use" in str(found)
    found = explain(OSError(errno.ENFILE, "Too many open files in system"), 5, "an array")
    assert isinstance(found, HandleLimitError)
    assert "of this machine are in use" in str(found)
    for number in (errno.ENOMEM, errno.ENOSPC, errno.EFBIG):
        found = explain(OSError(number, "no"), 5000, "an array")
        assert isinstance(found, MemoryBudgetError)
        assert "an array needs 5.0 kB of shared memory: the system has no such room (no)" in str(found)
    unknown = OSError(errno.EIO, "Input/output error")
    assert explain(unknown, 5, "an array") is unknown
