"""Threads of our own."""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any

import pytest

import outcore as oc
from outcore.errors import ExecutorError
from outcore.executors.threads import Threads
from outcore.settings import current
from tests.executors.pools import collected, everything


def call(placed: Any, function: Any, *small: Any) -> Any:
    return function(*small)


def test_no_thread_before_the_first_task_and_no_more_than_tasks() -> None:
    before = threading.active_count()
    with Threads(3) as runner:
        assert threading.active_count() == before
        runner.submit(0, call, None, threading.get_ident)
        assert threading.active_count() == before + 1
        collected(runner)
    assert threading.active_count() == before


def test_one_worker_works_in_order() -> None:
    seen: list[int] = []
    with Threads(1) as runner:
        for index in range(20):
            runner.submit(index, call, None, seen.append, index)
        assert [done.index for done in everything(runner, 20)] == list(range(20))
    assert seen == list(range(20))


def test_what_is_placed_is_the_object_itself() -> None:
    obj = object()
    with Threads(1) as runner:
        placed = runner.place(obj)
        runner.submit(0, lambda found: found is obj, placed)
        assert collected(runner).value is True


def test_each_task_has_the_options_of_the_moment_it_was_begun() -> None:
    with Threads(1) as runner:
        for index, memory in enumerate(["1GB", "2GB"]):
            with oc.options(memory=memory):
                runner.submit(index, call, None, lambda: current().memory)
        found = {done.index: done.value for done in everything(runner, 2)}
    assert found == {0: "1GB", 1: "2GB"}


def test_close_drops_what_has_not_begun() -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def first() -> None:
        begun.set()
        go_on.wait()
        seen.append(0)

    runner = Threads(1)
    runner.submit(0, call, None, first)
    for index in range(1, 5):
        runner.submit(index, call, None, seen.append, index)
    begun.wait()
    threading.Timer(0.1, go_on.set).start()
    runner.close()
    assert seen == [0]
    runner.close()
    with pytest.raises(ExecutorError, match="closed"):
        runner.submit(9, call, None, seen.append, 9)


def test_ctrl_c_while_waiting_ends_the_wait_and_the_threads() -> None:
    before = threading.active_count()
    go_on = threading.Event()

    def interrupt() -> None:
        time.sleep(0.2)
        _thread.interrupt_main()
        go_on.set()

    def work() -> None:
        with Threads(2) as runner:
            runner.submit(0, call, None, go_on.wait)
            runner.submit(1, call, None, interrupt)
            while True:
                runner.collect(10.0)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert threading.active_count() == before


def test_a_system_without_room_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Threads(2) as runner:
        runner.submit(0, call, None, abs, -1)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refused)
            runner.submit(1, call, None, abs, -2)
        assert {done.value for done in everything(runner, 2)} == {1, 2}
    monkeypatch.setattr(threading.Thread, "start", refused)
    with Threads(2) as runner, pytest.raises(ExecutorError, match="can't start new thread"):
        runner.submit(0, call, None, abs, -1)


def test_an_error_does_not_keep_what_was_placed_alive_in_the_runner() -> None:
    import gc
    import weakref

    class Large:
        pass

    large = Large()
    alive = weakref.ref(large)
    with Threads(1) as runner:
        runner.submit(0, call, runner.place(large), abs, -1)
        collected(runner)
        del large
        gc.collect()
        assert alive() is None
