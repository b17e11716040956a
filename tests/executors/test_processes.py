"""Worker processes: which task one died at, and that none is left."""

from __future__ import annotations

import gc
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import ExecutorError, WorkerDiedError
from outcore.executors import member as members
from outcore.executors import processes
from outcore.executors.member import Member
from outcore.executors.processes import Processes
from tests.executors import tasks
from tests.executors.pools import collected, everything


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_task_whose_worker_is_killed_is_run_again_and_the_others_stay(tmp_path: Path) -> None:
    with Processes(2) as runner:
        placed = runner.place({"folder": str(tmp_path), "x": np.arange(20_000)})
        for index in range(6):
            runner.submit(index, tasks.die, placed, index, 1 if index in (1, 4) else 0, "SIGKILL")
        found = {done.index: done for done in everything(runner, 6)}
    assert [found[index].error for index in range(6)] == [None] * 6
    assert {done.value for done in found.values()} == {(index, 199_990_000) for index in range(6)}
    assert sorted(os.listdir(tmp_path)) == ["1-0", "4-0"]


@pytest.mark.parametrize(
    ("how", "said"),
    [("SIGKILL", r"SIGKILL\n[\s\S]*likely out of memory"), ("SIGSEGV", "SIGSEGV"), ("exit", "exit status 3")],
)
def test_a_task_that_kills_two_workers_is_named(how: str, said: str, tmp_path: Path) -> None:
    with Processes(1) as runner:
        placed = runner.place({"folder": str(tmp_path), "x": 0})
        runner.submit(3, tasks.die, placed, 3, 0, how)
        runner.submit(5, tasks.die, placed, 5, 9, how)
        assert collected(runner).value == (3, 0)
        with pytest.raises(WorkerDiedError, match=rf"died at task 5[\s\S]*{said}") as caught:
            collected(runner)
        assert caught.value.indices == (5,)
        assert sorted(os.listdir(tmp_path)) == ["5-0", "5-1"]
        if how != "SIGKILL":
            assert "memory" not in str(caught.value)


def test_a_worker_that_dies_while_it_has_nothing_to_do_is_replaced() -> None:
    with Processes(1) as runner:
        placed = runner.place({"x": np.ones(3)})
        runner.submit(0, tasks.process_id, placed)
        first = collected(runner).value
        os.kill(first, signal.SIGKILL)
        while is_there(first):
            time.sleep(0.01)
        runner.submit(1, tasks.process_id, placed)
        assert collected(runner).value != first


def test_a_result_that_is_gone_with_its_worker_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Processes(1) as runner:
        placed = runner.place({"x": np.ones(50_000)})
        runner.submit(0, tasks.times, placed, 3.0)
        receive = Member.receive
        pids = []

        def late(self: Member) -> Any:
            """The address is read, and then the worker dies."""
            message = receive(self)
            if message is not None and not pids:
                pids.append(self.pid)
                os.kill(self.pid, signal.SIGKILL)
                while is_there(self.pid):
                    time.sleep(0.01)
            return message

        monkeypatch.setattr(Member, "receive", late)
        done = collected(runner)
        assert done.error is None
        assert done.value["product"].sum() == 150_000
        assert done.value["who"] != pids[0]


def test_a_worker_that_cannot_start_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    command = members._command

    def broken(descriptor: int) -> list[str]:
        return [*command(descriptor)[:-1], "raise SystemExit(4)"]

    monkeypatch.setattr(members, "_command", broken)
    with Processes(1) as runner:
        runner.submit(0, tasks.item, runner.place({}), "x")
        with pytest.raises(WorkerDiedError, match="exit status 4, while it started"):
            collected(runner)


def test_a_system_without_room_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with Processes(2) as runner:
        placed = runner.place({"x": np.ones(3)})
        runner.submit(0, tasks.add, placed, 1)
        monkeypatch.setattr(members.subprocess, "Popen", refused)
        runner.submit(1, tasks.add, placed, 2)  # the one that there is does both
        assert {done.value for done in everything(runner, 2)} == {4.0, 5.0}
    with Processes(1) as runner, pytest.raises(ExecutorError, match=r"temporarily[\s\S]*executor=None"):
        runner.submit(0, tasks.add, runner.place({}), 1)


def test_close_ends_what_does_not_end_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "PATIENCE_S", 0.1)
    with Processes(1) as runner:
        placed = runner.place({"folder": str(tmp_path)})
        runner.submit(0, tasks.process_id, placed)
        pid = collected(runner).value
        runner.submit(1, tasks.note, placed, 1, 600.0)
        while not (tmp_path / "1.begun").exists():
            time.sleep(0.01)
    assert not is_there(pid)
    with pytest.raises(ExecutorError, match="closed"):
        runner.submit(2, tasks.item, placed, "x")


def test_a_forked_child_closes_its_copy_and_leaves_the_workers_alone() -> None:
    with Processes(1) as runner:
        placed = runner.place({"x": 3})
        runner.submit(0, tasks.process_id, placed)
        first = collected(runner).value
        pid = os.fork()
        if pid == 0:
            runner.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        runner.submit(1, tasks.process_id, placed)
        assert collected(runner).value == first


def test_a_large_object_reaches_each_worker_once_and_as_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    send = members.Connection.send_bytes

    def counted(self: Any, data: bytes, *args: Any) -> None:
        sizes.append(len(data))
        send(self, data, *args)

    with Processes(2) as runner:
        placed = runner.place({"x": np.ones(1_000_000), "names": ["n" * 100] * 10})
        monkeypatch.setattr(members.Connection, "send_bytes", counted)
        for index in range(20):
            runner.submit(index, tasks.add, placed, index)
        everything(runner, 20)
        assert len(sizes) == 20
        assert max(sizes) < 2000
        assert sorted(sizes)[-3] < sorted(sizes)[-2] - 300  # two of them had the address, the others the task
        monkeypatch.undo()


def test_handles_that_nobody_has_received_do_not_keep_the_memory() -> None:
    shared = oc.share(np.zeros(77_777))
    with Processes(1) as runner:
        runner.place({"x": shared})
        runner.place({"x": shared})
    del shared
    gc.collect()
    assert [segment for segment in oc.segments() if segment.shape == (77_777,)] == []
