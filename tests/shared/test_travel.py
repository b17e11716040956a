"""Handles on their way: kept until they are received, and no longer."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import HandleLimitError, SegmentGoneError
from outcore.shared import mailbox, segment, travel
from tests.shared import roles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and memfd")


def test_a_handle_keeps_the_memory_until_it_is_loaded() -> None:
    shared = oc.share(np.arange(5))
    nonce = shared._segment.nonce
    pickled = pickle.dumps(shared)
    del shared
    assert travel.travelling() == {nonce: 1}
    loaded = pickle.loads(pickled)
    assert loaded.tolist() == [0, 1, 2, 3, 4]
    assert travel.travelling() == {}
    del loaded
    assert segment.find(nonce, writable=True) is None


def test_each_handle_is_kept_for_itself() -> None:
    shared = oc.share(np.arange(5))
    nonce = shared._segment.nonce
    first, second = pickle.dumps(shared), pickle.dumps(shared[1:])
    assert travel.travelling() == {nonce: 2}
    for _ in range(3):
        pickle.loads(first)
    assert travel.travelling() == {nonce: 1}
    del shared
    assert pickle.loads(second).tolist() == [1, 2, 3, 4]
    assert travel.travelling() == {}


def test_release_lets_go_of_one_or_of_all() -> None:
    one, other = oc.share([1]), oc.share([2])
    pickles = [pickle.dumps(array) for array in (one, one, other)]
    assert travel.release(one._segment.nonce) == 2
    assert travel.travelling() == {other._segment.nonce: 1}
    assert travel.release() == 1
    assert travel.release() == 0
    assert pickle.loads(pickles[0]).tolist() == [1]  # the arrays are here
    del one
    with pytest.raises(SegmentGoneError):
        len(pickle.loads(pickles[0]))


def test_a_token_is_no_handle_on_its_way() -> None:
    shared = oc.share([1])
    shared.token()
    assert travel.travelling() == {}


def test_thousands_on_their_way_cost_no_descriptor_but_their_own() -> None:
    shared = oc.share(np.arange(3))
    pickle.loads(pickle.dumps(shared))
    before = roles.fds()
    pickles = [pickle.dumps(shared) for _ in range(3000)]
    assert roles.fds() == before
    assert travel.travelling() == {shared._segment.nonce: 3000}
    for pickled in pickles:
        pickle.loads(pickled)
    assert travel.travelling() == {}


def drop_and_count(queue: Any, array: Any) -> None:
    queue.put(travel.travelling())
    del array
    made = oc.share(np.arange(3))
    queue.put(made)
    nonce = made._segment.nonce
    del made
    # The companion sweeps: this thread does nothing with shared arrays meanwhile.
    queue.put(bool(roles.wait_until(lambda: segment.find(nonce, writable=True) is None, "the sweep")))


@pytest.mark.parametrize("method", roles.METHODS)
def test_a_worker_lets_go_of_what_was_received_by_itself(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    shared = oc.share(np.arange(3))
    child = context.Process(target=drop_and_count, args=(queue, shared))
    child.start()
    assert queue.get() == {}
    assert queue.get().tolist() == [0, 1, 2]
    assert queue.get() is True
    child.join(roles.PATIENCE_S)
    assert child.exitcode == 0
    child.close()
    queue.close()
    mailbox.own().drain()


def test_a_forked_child_has_sent_nothing() -> None:
    shared = oc.share([1, 2])
    pickled = pickle.dumps(shared)
    if (pid := os.fork()) == 0:
        own = pickle.loads(pickle.dumps(shared))
        os._exit(travel.release() != 0 or own.tolist() != [1, 2])
    assert os.waitpid(pid, 0)[1] == 0
    assert travel.travelling() == {shared._segment.nonce: 1}
    assert pickle.loads(pickled).tolist() == [1, 2]


def test_two_threads_that_send_their_first_array_at_once_lose_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # As the feeder threads of two queues do.
    for _ in range(20):
        monkeypatch.setattr(travel, "_sent", None)
        barrier, pickles = threading.Barrier(4), []

        def send(barrier: threading.Barrier = barrier, pickles: list[bytes] = pickles) -> None:
            array = oc.share(np.arange(3))
            barrier.wait(roles.PATIENCE_S)
            pickles.append(pickle.dumps(array))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(travel.travelling()) == 4
        assert [pickle.loads(pickled).tolist() for pickled in pickles] == [[0, 1, 2]] * 4
        assert travel.travelling() == {}


def test_no_descriptor_left_for_the_board_is_said_when_pickling(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = oc.share([1])

    def full(*args: Any) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(travel, "_sent", None)
        patched.setattr(os, "memfd_create", full)
        with pytest.raises(HandleLimitError, match="sending a shared array needs a file descriptor"):
            pickle.dumps(shared)


def test_outside_of_starting_a_process_nothing_is_inherited() -> None:
    shared = oc.share([1])
    assert travel.send(shared._segment).inherited is None
    travel.release()
