"""The thread of a worker: it ends the worker with its parent, and exists nowhere else."""

from __future__ import annotations

import multiprocessing
import os
import select
import subprocess
import sys
import threading
from typing import Any

import pytest

from outcore.shared import companion
from tests.shared import roles
from tests.shared.observed import PATIENCE_S, Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc")
HERE = "tests.shared.test_companion"


def test_a_program_of_its_own_has_none() -> None:
    assert not companion.running()
    assert not [thread for thread in threading.enumerate() if "outcore" in thread.name]


def state_of_worker() -> tuple[bool, list[str], bool]:
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("outcore")]
    return companion.running(), [thread.name for thread in threads], all(thread.daemon for thread in threads)


@pytest.mark.parametrize("method", roles.METHODS)
def test_a_worker_has_one_that_does_not_keep_it_from_ending(method: str) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(state_of_worker) == (True, ["outcore-companion"], True)
        pool.close()
        pool.join()


@pytest.mark.parametrize("method", roles.METHODS)
def test_who_wants_orphans_gets_them(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method == "forkserver":
        multiprocessing.forkserver._forkserver._stop()
    monkeypatch.setenv("OUTCORE_ORPHANS", "stay")
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(state_of_worker) == (False, [], True)
        pool.close()
        pool.join()
    if method == "forkserver":
        multiprocessing.forkserver._forkserver._stop()


def test_a_system_without_poll_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")  # Windows
    companion._start()
    assert not companion.running()


def a_forked_child_of_a_worker() -> bool:
    """Fork without multiprocessing, as subprocesses of users do."""
    if (pid := os.fork()) == 0:
        os._exit(companion.running() or companion._wake_fd >= 0)
    return os.waitpid(pid, 0)[1] == 0


def test_a_child_that_a_worker_forks_by_itself_has_none() -> None:
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        assert pool.apply(a_forked_child_of_a_worker)
        pool.close()
        pool.join()


def wait_for_ever(connection: Any) -> None:
    threading.Event().wait()


def parent_of_a_chain(method: str) -> None:
    """A worker that has a worker of its own; both wait."""
    from tests.shared.observed import reach

    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=middle, args=(method,))
    child.start()
    reach("parent", "ready", child=child.pid)


def middle(method: str) -> None:
    from tests.shared.observed import reach

    context: Any = multiprocessing.get_context(method)
    near, far = context.Pipe()
    child = context.Process(target=wait_for_ever, args=(far,))
    child.start()
    reach("middle", "ready", child=child.pid)
    near.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_workers_follow_too(method: str, tmp_path: Any) -> None:
    with Program(HERE, "parent_of_a_chain", method, folder=tmp_path) as program:
        program.wait_for("middle", "ready")
        program.wait_for("parent", "ready")
        assert len(program.pids()) >= 3
        program.kill(program.process.pid)
        assert program.wait_until_gone(PATIENCE_S) == set()
        assert program.stderr == ""


def without_pidfd() -> None:
    """A parent whose worker's kernel is too old to tell when a process ends."""
    from tests.shared.observed import reach

    del os.pidfd_open
    context: Any = multiprocessing.get_context("fork")
    near, far = context.Pipe()
    child = context.Process(target=wait_for_ever, args=(far,))
    child.start()
    reach("parent", "ready", child=child.pid)
    near.close()


def test_where_the_kernel_does_not_tell_the_worker_looks(tmp_path: Any) -> None:
    with Program(HERE, "without_pidfd", folder=tmp_path) as program:
        program.wait_for("parent", "ready")
        assert len(program.pids()) == 2
        program.kill(program.process.pid)
        assert program.wait_until_gone(PATIENCE_S) == set()
        assert program.stderr == ""


FOLLOWER = """
import sys, time
from outcore.shared import companion
companion.follow(int(sys.argv[1]))
assert companion.running()
print("follows", flush=True)
time.sleep(600)
"""


def test_a_worker_that_multiprocessing_did_not_start_follows_whom_it_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as followed:
        command = [sys.executable, "-c", FOLLOWER, str(followed.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline() == "follows\n"
            assert follower.poll() is None
            followed.kill()
            assert follower.wait(PATIENCE_S) == 1
