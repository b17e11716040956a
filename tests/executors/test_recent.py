"""What tasks in somebody else's worker share."""

from __future__ import annotations

import os
import threading
import time
import weakref

import pytest

from outcore.executors import recent as module
from outcore.executors.recent import Recent


class Thing:
    pass


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> Recent:
    monkeypatch.setattr(module, "KEEP_S", 0.05)
    return Recent()


def gone(reference: weakref.ref[Thing]) -> bool:
    deadline = time.monotonic() + 30
    while reference() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    return reference() is None


def test_tasks_of_one_pass_open_it_once(recent: Recent) -> None:
    first = recent.borrow("a", 1, Thing)
    assert recent.borrow("a", 1, Thing) is first
    assert recent.users("a") == 2
    recent.give_back("a", 1)
    recent.give_back("a", 1)
    assert recent.users("a") == 0
    recent.drop("a")


def test_it_is_dropped_a_moment_after_the_last_use_and_not_before(recent: Recent) -> None:
    thing = weakref.ref(recent.borrow("a", 1, Thing))
    recent.borrow("b", 1, Thing)
    recent.give_back("b", 1)
    time.sleep(0.3)
    assert thing() is not None
    recent.give_back("a", 1)
    assert gone(thing)


def test_a_newer_object_takes_its_place_before_it_is_opened(recent: Recent) -> None:
    thing = weakref.ref(recent.borrow("a", 1, Thing))
    recent.give_back("a", 1)
    seen = []
    recent.borrow("a", 2, lambda: seen.append(thing()))
    assert seen == [None]
    recent.give_back("a", 1)  # of a task that began with the older one
    assert recent.users("a") == 1
    recent.give_back("a", 2)
    recent.drop("a")


def test_runners_do_not_share(recent: Recent) -> None:
    assert recent.borrow("a", 1, Thing) is not recent.borrow("b", 1, Thing)
    for runner in "ab":
        recent.give_back(runner, 1)
        recent.drop(runner)
        assert recent.users(runner) == 0


def test_what_fails_to_open_is_not_kept(recent: Recent) -> None:
    with pytest.raises(ZeroDivisionError):
        recent.borrow("a", 1, lambda: 1 / 0)
    assert recent.borrow("a", 1, lambda: 5) == 5
    recent.give_back("a", 1)
    recent.drop("a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_begins_anew() -> None:
    module.recent.borrow("a", 1, Thing)
    held = threading.Thread(target=module.recent._lock.acquire)
    held.start()
    held.join()  # by a thread that a child does not have
    if (pid := os.fork()) == 0:
        os._exit(module.recent.users("a"))
    assert os.waitpid(pid, 0)[1] == 0
    module.recent.forget()
