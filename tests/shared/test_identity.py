"""Who a process is, and whether it still is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from outcore.shared import identity
from tests.shared import roles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


def test_a_process_is_itself_and_a_forked_child_is_somebody_else() -> None:
    mine = identity.own()
    assert mine == (os.getpid(), identity.started(os.getpid()))
    assert identity.is_alive(mine)
    if (pid := os.fork()) == 0:
        os._exit(identity.own() == mine or identity.own()[0] != os.getpid())
    assert os.waitpid(pid, 0)[1] == 0


def test_an_id_that_is_used_again_is_not_the_same_process() -> None:
    pid, since = identity.own()
    assert not identity.is_alive((pid, since - 1))


def test_a_process_that_has_ended_is_not_alive() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        its = (process.pid, identity.started(process.pid))
        assert identity.is_alive(its)  # type: ignore[arg-type]
        process.kill()
    assert identity.started(its[0]) is None
    assert not identity.is_alive(its)  # type: ignore[arg-type]


def test_the_name_of_a_program_may_hold_anything(tmp_path: object) -> None:
    program = os.path.join(str(tmp_path), "a) R 1 (b")
    os.symlink("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        roles.wait_until(lambda: b"R 1" in open_stat(process.pid), "the program")
        assert identity.started(process.pid) >= identity.own()[1]  # type: ignore[operator]
        process.kill()


def open_stat(pid: int) -> bytes:
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return stat.read()


def test_a_program_of_its_own_has_no_parent() -> None:
    assert identity.parent() is None  # although somebody has started it


def test_the_parent_of_a_worker_is_who_asked_for_it() -> None:
    # Under forkserver it is not the process above it.
    import multiprocessing

    for method in roles.METHODS:
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(identity.parent) == identity.own()
            pool.close()
            pool.join()
