"""From a handle to its segment, by each of the four ways, and what is said if none leads there."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import SegmentGoneError
from outcore.shared import memfd, resolving, travel
from outcore.shared.travel import Handle
from tests.shared import roles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc and memfd")


class Ways:
    """Notes by which paths segments are opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, closed: str = "") -> None:
        self.taken: list[str] = []
        real = memfd.attach

        def attach(path: str, nonce: bytes, mode: str) -> Any:
            if closed and path.startswith(closed):
                return None
            found = real(path, nonce, mode)
            if found is not None:
                self.taken.append(path.rsplit("/", 2)[0])
            return found

        monkeypatch.setattr(memfd, "attach", attach)


def test_the_first_way_is_the_map_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(monkeypatch)
    shared = oc.share(np.arange(3))
    assert pickle.loads(pickle.dumps(shared))._segment is shared._segment
    assert ways.taken == []


def ways_of_a_child(arguments: Any, connection: Any, closed: str) -> None:
    """Tell by which way an argument and a message came."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        ways = Ways(monkeypatch, closed=closed)
        array = connection.recv()
        connection.send((ways.taken, array.tolist(), arguments.tolist()))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_that_is_started_inherits_its_arguments_and_asks_for_the_rest(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    first, second = oc.share(np.arange(3)), oc.share(np.arange(4))
    child = context.Process(target=ways_of_a_child, args=(first, theirs, ""))
    child.start()
    ours.send(second)
    assert ours.recv() == ([f"/proc/{os.getpid()}"], [0, 1, 2, 3], [0, 1, 2])
    child.join(roles.PATIENCE_S)
    assert child.exitcode == 0
    child.close()
    ours.close()
    theirs.close()


def test_arguments_are_inherited_also_where_the_owners_descriptors_may_not_be_opened() -> None:
    # As with hidepid, or Yama, for processes of the same user.
    context: Any = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=inherited_only, args=(Checked(oc.share(np.arange(3))), theirs))
    child.start()
    assert ours.poll(roles.PATIENCE_S)
    assert ours.recv() == [0, 1, 2]
    child.join(roles.PATIENCE_S)
    child.close()
    ours.close()
    theirs.close()
    travel.release()  # the child could not reach the page of its sender either


class Checked:
    """An argument that is loaded while the owner's folder in /proc cannot be read."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        return load_closed, (os.getpid(), Later(self.array))


class Later:
    """What is unpickled by its function only."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> Any:
        function, arguments = self.array.__reduce_ex__(5)
        return _keep, (function, arguments)


def _keep(function: Any, arguments: Any) -> Any:
    return function, arguments


def load_closed(owner: int, kept: Any) -> Any:
    real = os.readlink
    function, arguments = kept

    def readlink(path: str) -> str:
        if path.startswith(f"/proc/{owner}/"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    os.readlink = readlink  # type: ignore[assignment]
    try:
        return function(*arguments)
    finally:
        os.readlink = real


def inherited_only(array: Any, connection: Any) -> None:
    connection.send(array.tolist())


def test_the_last_way_is_the_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        pid = pool.apply(os.getpid)
        ways = Ways(monkeypatch, closed=f"/proc/{pid}/")
        array = pool.apply(roles.share_range, (5,))
        assert array.tolist() == [0, 1, 2, 3, 4]
        assert ways.taken == ["/proc/self"]
        pool.close()
        pool.join()


# ---- nowhere --------------------------------------------------------------------------------------


def handle_of(array: Any, **changes: Any) -> Handle:
    _, owner, fd, path = travel.address(array._segment).place
    facts = {"nonce": bytes(16), "owner": owner, "fd": fd, "path": path} | changes
    return Handle(tuple(facts.values()), travel.address(array._segment).ticket)


def test_an_owner_that_lives_has_let_go_of_it() -> None:
    shared = oc.share([1])
    before = roles.fds()
    with pytest.raises(
        SegmentGoneError, match=f"process {os.getpid()} lives, but has let go of it"
    ) as caught:
        resolving.resolve(handle_of(shared), "r+")
    assert "oc.convert" in str(caught.value)
    assert roles.fds() == before


def test_an_owner_that_has_ended_was_no_child() -> None:
    with pytest.raises(SegmentGoneError, match="ended before the array was received here") as caught:
        resolving.resolve(handle_of(oc.share([1]), owner=(2**30, 7)), "r+")
    assert "oc.shared_empty" in str(caught.value)


def test_a_handle_that_could_not_be_received_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pickled = pool.apply(pickled_range, (5,))
        with monkeypatch.context() as patched:
            patched.setattr(memfd, "attach", lambda path, nonce, mode: None)
            lost = pickle.loads(pickled)
            with pytest.raises(SegmentGoneError):
                len(lost)
        assert pickle.loads(pickled).tolist() == [0, 1, 2, 3, 4]
        pool.close()
        pool.join()


def pickled_range(n: int) -> bytes:
    return pickle.dumps(oc.share(np.arange(n)))


def test_what_was_frozen_on_the_way_arrives_read_only() -> None:
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        shared = oc.share(np.arange(3))
        pickled = pickle.dumps(shared)  # to be written to
        shared.freeze()
        assert pool.apply(writeable, (pickled,)) is False
        pool.close()
        pool.join()


def writeable(pickled: bytes) -> bool:
    return bool(pickle.loads(pickled).flags.writeable)
