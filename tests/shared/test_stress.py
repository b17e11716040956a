"""Very many arrays between very many processes: what each of them has at the end is what it had at first.

`make matrix` (OUTCORE_TESTS=long) sends 100 000 arrays in each test. The programs are in
tests/shared/exchange.py.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.shared.exchange import N_CHILDREN
from tests.shared.observed import Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

LONG = os.environ.get("OUTCORE_TESTS") == "long"
N_ARRAYS = 100_000 if LONG else 2_000
DEADLINE_S = 900 if LONG else 100
SETTLED_S = 5.0  # senders notice within 0.1 s what was received
GROWTH_BYTES = 4 << 20  # a parent's garbage comes and goes by 3 MB; 50 bytes an array would be more than this
SHARED_BYTES = 1 << 20  # a few arrays

ALL = [f"child {number}" for number in range(N_CHILDREN)]


def n_fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int) -> int:
    """Bytes that a process takes, without files that it has mapped."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(1024 * int(kb) for kb in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status, re.MULTILINE))


def least(look: Callable[[], int], enough: int = 0, patience_s: float = SETTLED_S) -> int:
    """Look again and again until it is little enough; return the least that was seen."""
    deadline = time.monotonic() + patience_s
    found = look()
    while found > enough and time.monotonic() < deadline:
        time.sleep(0.02)
        found = min(found, look())
    return found


@pytest.mark.timeout(DEADLINE_S + 60)
@pytest.mark.parametrize(
    ("program", "method", "roles"),
    [
        (program, method, roles)
        for program, roles in (("siblings", ALL), ("both_ways", [*ALL, "parent"]), ("executor", ["parent"]))
        for method in (("fork", "spawn", "forkserver") if LONG else ("fork",))
    ],
)
def test_descriptors_and_memory_are_flat(program: str, method: str, roles: list[str], tmp_path: Path) -> None:
    with Program("tests.shared.exchange", program, method, str(N_ARRAYS), folder=tmp_path) as running:
        warm = [running.wait_for(role, "warm", DEADLINE_S) for role in roles]
        pids = running.pids()  # also those that have no role: the parent, workers of an executor
        n_fds_warm = {pid: least(lambda pid=pid: n_fds(pid), patience_s=0.1) for pid in pids}
        memory_warm = {pid: memory(pid) for pid in pids}
        shared_warm = running.shared_bytes()
        running.let_go(*warm)

        for role in roles:
            running.wait_for(role, "done", DEADLINE_S)
        assert running.pids() == pids
        for pid in pids:
            # The last answers to each child: a program of its own lets go of them at its next call.
            allowed = n_fds_warm[pid] + (N_CHILDREN if pid == running.process.pid else 0)
            assert least(lambda pid=pid: n_fds(pid), allowed) <= allowed
            assert memory(pid) <= memory_warm[pid] + GROWTH_BYTES
        enough = shared_warm + SHARED_BYTES
        assert least(running.shared_bytes, enough) <= enough

        running.finish()
        ending = running.said("parent", "end")
        assert ending is not None
        assert set(ending["exits"]) <= {0}
        assert running.process.returncode == 0
        assert least(running.shared_bytes, SHARED_BYTES) <= SHARED_BYTES
        assert running.wait_until_gone(SETTLED_S) == set()
        assert running.stderr == ""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_parent_that_sleeps_holds_nothing_that_others_have_received(method: str, tmp_path: Path) -> None:
    with Program("tests.shared.exchange", "pipeline", method, "return", folder=tmp_path) as running:
        asleep = running.wait_for("parent", "asleep")
        assert least(running.shared_bytes, SHARED_BYTES) <= SHARED_BYTES
        n_fds_asleep = n_fds(asleep.pid)
        running.let_go(asleep)
        running.wait_for("parent", "awake")
        assert n_fds(asleep.pid) <= n_fds_asleep
        running.finish()
        assert running.stderr == ""


def test_a_parent_that_wakes_lets_go_of_what_was_received_before_its_sender_was_killed(
    tmp_path: Path,
) -> None:
    with Program("tests.shared.exchange", "pipeline", "fork", "kill", folder=tmp_path) as running:
        asleep = running.wait_for("parent", "asleep")
        n_fds_asleep = n_fds(asleep.pid)
        running.let_go(asleep)
        running.wait_for("parent", "awake")
        assert least(running.shared_bytes, SHARED_BYTES) <= SHARED_BYTES
        assert n_fds(asleep.pid) <= n_fds_asleep
        running.finish()
        assert running.stderr == ""


def test_thousands_of_handles_on_their_way_at_once(tmp_path: Path) -> None:
    count = 5_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3 * count:
        pytest.skip(f"needs a hard limit of {3 * count} descriptors (ulimit -Hn)")
    with Program("tests.shared.exchange", "travelling", str(count), folder=tmp_path) as running:
        n_fds_warm = n_fds(running.wait_for("parent", "warm").pid)
        parent = running.process.pid
        running.let_go(running.wait_for("parent", "warm"))

        child = running.wait_for("child", "alive")
        assert n_fds(child.pid) > count
        running.let_go(running.wait_for("parent", "alive"))
        received = running.wait_for("parent", "alive: received")
        assert n_fds(parent) > count
        assert least(lambda: n_fds(child.pid), 50) <= 50  # the sender need not keep them any longer
        running.let_go(received)
        let_go = running.wait_for("parent", "alive: let go")
        assert least(running.shared_bytes, SHARED_BYTES) <= SHARED_BYTES
        running.let_go(let_go, child)

        child = running.wait_for("child", "killed")
        running.kill(child.pid)
        running.let_go(running.wait_for("parent", "killed"))
        running.let_go(running.wait_for("parent", "killed: received"))
        running.let_go(running.wait_for("parent", "killed: let go"))
        running.wait_for("parent", "done")
        assert least(lambda: n_fds(parent), n_fds_warm) <= n_fds_warm + 2
        assert least(running.shared_bytes, SHARED_BYTES) <= SHARED_BYTES

        running.finish()
        ending = running.said("parent", "end")
        assert ending is not None
        seen_alive, seen_killed = ending["seen"]
        assert seen_alive == count
        assert 200 < seen_killed < count  # as many as fit into the kernel's queue; the others are told apart
        assert running.process.returncode == 0
        assert running.stderr == ""
