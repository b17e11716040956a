"""Words of shared memory that processes sleep on."""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time

import numpy as np
import pytest

from outcore.shared import futex
from outcore.shared.futex import EVERYBODY, Word

TIMEOUT_S = 60


@pytest.fixture(params=["the kernel", "polling"])
def word(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Word:
    if request.param == "polling":
        monkeypatch.setattr(futex, "SUPPORTED", False)
    return Word(np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.uint32, 1))


def test_a_change_wakes_a_sleeper_in_another_process(word: Word) -> None:
    seen = word.value
    child = os.fork()
    if not child:
        word.wait(seen, TIMEOUT_S)
        os._exit(0 if word.value == seen + 1 else 1)
    time.sleep(0.05)
    word.changed()
    word.wake(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_change_before_the_sleep_ends_it_at_once(word: Word) -> None:
    seen = word.value
    word.changed()
    word.wait(seen, 10 * TIMEOUT_S)  # longer than a test may take
    assert word.value == seen + 1


def test_a_sleep_has_an_end(word: Word) -> None:
    seen = word.value
    word.wait(seen, 0.02)
    assert word.value == seen


def test_everybody_is_woken(word: Word) -> None:
    seen = word.value
    sleepers = [threading.Thread(target=word.wait, args=(seen, TIMEOUT_S)) for _ in range(4)]
    for sleeper in sleepers:
        sleeper.start()
    time.sleep(0.05)
    word.changed()
    word.wake(EVERYBODY)
    for sleeper in sleepers:
        sleeper.join(TIMEOUT_S / 2)
        assert not sleeper.is_alive()


def test_the_count_begins_anew_after_four_thousand_million_changes(word: Word) -> None:
    word._memory[0] = 2**32 - 1
    word.changed()
    assert word.value == 0


def test_a_signal_ends_the_sleep(word: Word) -> None:
    class Interrupted(Exception):  # noqa: N818
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(Interrupted):
            word.wait(word.value, TIMEOUT_S)
    finally:
        signal.signal(signal.SIGALRM, before)
