"""Counted loops on threads that end with the call."""

import threading

import pytest

from outcore.storage.threads import run_threads


def test_every_job_is_done_once() -> None:
    done: list[int] = []
    run_threads(1000, done.append, 4)
    assert sorted(done) == list(range(1000))


def test_the_first_error_is_raised_and_all_threads_end() -> None:
    before = threading.active_count()

    def step(job: int) -> None:
        if job == 5:
            raise ValueError("five")

    with pytest.raises(ValueError, match="five"):
        run_threads(10_000, step, 4)
    assert threading.active_count() == before


def test_where_no_thread_can_be_started_the_caller_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    run_threads(10, done.append, 4)
    assert done == list(range(10))


def test_an_interrupt_while_waiting_is_raised_after_all_threads_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain_join = threading.Thread.join
    interrupts = [KeyboardInterrupt()]
    go_on, ended = threading.Event(), []

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        go_on.set()
        if interrupts:
            raise interrupts.pop()
        plain_join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join)
    here = threading.current_thread()
    started = threading.Event()

    def step(job: int) -> None:
        if threading.current_thread() is here:
            started.wait(10)  # so that each of the two has one job
        else:
            started.set()
            go_on.wait(10)
            ended.append(job)

    with pytest.raises(KeyboardInterrupt):
        run_threads(2, step, 2)
    assert len(ended) == 1
