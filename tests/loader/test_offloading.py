"""Transforms in processes: the same batches as in threads, whatever is killed."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from outcore.loader.buffers import Closed
from outcore.loader.keys import generator
from outcore.loader.offloading import Offloaded
from tests.loader import transforms_away as away

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def filled(offloaded: Offloaded, values: Any) -> Any:
    values = np.asarray(values)
    made = offloaded.empty(values.shape, values.dtype)
    made[...] = values
    return made


def made(offloaded: Offloaded, values: Any, position: int = 0) -> Any:
    rows = filled(offloaded, values)
    try:
        return offloaded(rows, (3, 1, position))
    finally:
        offloaded.release([rows])


@pytest.fixture
def kept() -> Iterator[Callable[..., Offloaded]]:
    """Make `Offloaded`s that are closed in the end."""
    all_: list[Offloaded] = []

    def make(*transforms: Any, n_workers: int = 1) -> Offloaded:
        all_.append(Offloaded(transforms, n_workers))
        return all_[-1]

    yield make
    for offloaded in all_:
        offloaded.close()


# ---- the batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 30_000])
def test_the_batches_are_those_of_threads(kept: Callable[..., Offloaded], n: int) -> None:
    transforms = (away.noisy, away.noisy)
    offloaded = kept(*transforms, n_workers=2)

    def away_(position: int) -> Any:
        x = filled(offloaded, np.full((n, 2), position, "f4"))
        y = filled(offloaded, np.arange(n))
        result = offloaded((x, y), (5, 2, position))
        assert np.all(x == position)  # changed in place, but not here
        offloaded.release([x, y])
        return result

    def here(position: int) -> Any:
        batch: Any = np.full((n, 2), position, "f4"), np.arange(n)
        rng = generator(5, 2, position)
        for transform in transforms:
            batch = transform(batch, rng)
        return batch

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(away_, range(12)))
    for position, (x, y) in enumerate(found):
        expected_x, expected_y = here(position)
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)
        assert (x.dtype, y.dtype) == (expected_x.dtype, expected_y.dtype)


@pytest.mark.parametrize("n", [4, 40_000])
def test_whatever_a_transform_returns(kept: Callable[..., Offloaded], n: int) -> None:
    x = np.arange(3 * n, dtype="f4").reshape(n, 3)
    offloaded = kept(away.shaped)
    for which, (name, expected) in enumerate(away.shapes(x).items()):
        _compare(offloaded((filled(offloaded, x), np.array(which)), (0, 0, 0)), expected, name)


def _compare(found: Any, expected: Any, which: str) -> None:
    assert type(found) is type(expected), which
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            _compare(found[key], expected[key], which)
    elif isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _compare(one, other, which)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert found.flags.writeable
        assert found.flags.fnc == expected.flags.fnc
    else:
        assert found == expected


def test_a_transform_gets_an_array_of_its_own(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.facts)
    assert made(offloaded, np.ones((20_000, 2))).all()
    assert offloaded(np.ones(3), (0, 0, 0)).all()  # not from `empty`
    assert offloaded(np.ones(50_000), (0, 0, 0)).all()
    frozen = np.ones(50_000)
    frozen.flags.writeable = False
    assert offloaded(frozen, (0, 0, 0)).all()


def test_a_batch_that_a_transform_keeps_stays_as_it_is(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.Kept())
    found = [made(offloaded, np.full(30_000, value)) for value in range(5)]
    for value in range(4):
        assert np.all(found[value + 1] == value)


def test_batches_stay_as_they_are_and_hold_nothing(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.doubled)
    made(offloaded, np.zeros(30_000))
    gc.collect()
    before = fds()
    found = [made(offloaded, np.full(30_000, value)) for value in range(50)]
    assert fds() == before
    for value, array in enumerate(found):
        assert np.all(array == 2 * value)
        array += 1
    assert [array[0] for array in found] == [2 * value + 1 for value in range(50)]


def test_a_thousand_batches_leave_no_descriptor_and_no_segment(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.counted, n_workers=2)

    def some(first: int) -> set[int]:
        counts = set()
        for position in range(first, first + 250):
            n = 20_000 if position % 50 else 7
            batch, count = made(offloaded, np.full(n, position), position)
            assert batch[-1] == position
            counts.add(int(count[0]))
        return counts

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(some, (0, 250)))
        gc.collect()
        before = fds(), len(oc.segments())
        counts = set().union(*threads.map(some, (500, 750)))
        gc.collect()
    assert fds() <= before[0]
    assert len(oc.segments()) <= before[1]
    assert max(counts) - min(counts) <= 2


def test_a_worker_takes_no_more_than_is_said(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.who)
    pid = int(made(offloaded, np.zeros(1))[0])
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:"))
    assert pss < Offloaded.overhead_bytes(1)
    assert Offloaded.overhead_bytes(3, 1000) == Offloaded.overhead_bytes(3) + 15_000


# ---- the transforms ----------------------------------------------------------------------------


def test_large_arrays_of_transforms_are_in_memory_once(kept: Callable[..., Offloaded]) -> None:
    table = np.arange(99_991) * 3
    offloaded = kept(away.Table(table), n_workers=2)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda i: made(offloaded, np.array([i, 5])).tolist(), range(8)))
    assert found == [[3 * i, 15] for i in range(8)]
    assert len([one for one in oc.segments() if table.nbytes <= one.nbytes < table.nbytes + 8192]) == 1
    offloaded.close()
    gc.collect()
    assert [one for one in oc.segments() if table.nbytes <= one.nbytes < table.nbytes + 8192] == []


def test_a_shared_array_in_a_transform_goes_with_its_last_reference(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.Table(oc.share(np.arange(77_777))))
    assert made(offloaded, np.array([6])).tolist() == [6]
    offloaded.close()
    gc.collect()
    assert [one for one in oc.segments() if one.shape == (77_777,)] == []


def test_lambdas_travel_by_value(kept: Callable[..., Offloaded]) -> None:
    pytest.importorskip("cloudpickle")
    assert made(kept(lambda batch, rng: batch + 1), np.ones(2)).tolist() == [2, 2]


def test_a_transform_that_cannot_travel_says_which_and_what_to_type() -> None:
    holding = away.Table(threading.Lock())
    with pytest.raises(ExecutorError, match=r'transform Table cannot[\s\S]*lock[\s\S]*worker_type="thread"'):
        Offloaded((away.same, holding), 2)


def test_the_error_of_a_transform_comes_with_its_traceback_and_ends_nothing(
    kept: Callable[..., Offloaded],
) -> None:
    offloaded = kept(away.failing)
    pid = made(offloaded, np.zeros(3))[0]
    with pytest.raises(ZeroDivisionError, match="thirteen") as caught:
        made(offloaded, np.full(20_000, 13))
    assert "transforms_away.py" in caught.value.__notes__[0]
    assert made(offloaded, np.zeros(3))[0] == pid


# ---- workers that die --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 20_000])
def test_a_batch_whose_worker_is_killed_is_made_again_from_the_same_rows(
    kept: Callable[..., Offloaded], tmp_path: Path, n: int
) -> None:
    offloaded = kept(away.Dies(tmp_path, 1))
    rows = filled(offloaded, np.full((n, 2), 7))
    found = offloaded(rows, (3, 1, 64))
    assert os.listdir(tmp_path) == ["0"]
    np.testing.assert_array_equal(found, 14 + generator(3, 1, 64).integers(0, 1000, (n, 2)))
    assert np.all(rows == 7)


@pytest.mark.parametrize(
    ("how", "said"), [("SIGKILL", "out of memory"), ("SIGSEGV", "thread"), ("exit", "status 3")]
)
def test_the_second_death_is_an_error_that_names_the_batch(
    kept: Callable[..., Offloaded], tmp_path: Path, how: str, said: str
) -> None:
    offloaded = kept(away.Dies(tmp_path, 2, how=how))
    with pytest.raises(
        WorkerDiedError, match=rf"position 640 of epoch 1[\s\S]*process \d+[\s\S]*{said}"
    ) as caught:
        made(offloaded, [7, 1], 640)
    assert caught.value.indices == (640,)
    assert len(caught.value.deaths) == 2
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]
    assert made(offloaded, [8])[0] >= 16  # another batch, on a new worker


def test_the_other_workers_go_on(kept: Callable[..., Offloaded], tmp_path: Path) -> None:
    offloaded = kept(away.Dies(tmp_path, 1), n_workers=2)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda p: made(offloaded, np.full(3, p), p), range(20)))
    for position, array in enumerate(found):
        expected = 2 * position + generator(3, 1, position).integers(0, 1000, 3)
        np.testing.assert_array_equal(array, expected)


def test_a_worker_that_is_killed_while_it_waits_is_replaced(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.who)
    first = int(made(offloaded, np.zeros(1))[0])
    os.kill(first, signal.SIGKILL)
    until(lambda: not is_there(first))
    assert made(offloaded, np.zeros(1))[0] != first


def test_a_worker_that_is_killed_while_it_starts_is_replaced(
    kept: Callable[..., Offloaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    popen = subprocess.Popen

    def killed(*args: Any, **options: Any) -> Any:
        process = popen(*args, **options)
        started.append(process.pid)
        if len(started) in doomed:
            os.kill(process.pid, signal.SIGKILL)
        return process

    monkeypatch.setattr(members.subprocess, "Popen", killed)
    doomed = {1}
    assert made(kept(away.who), np.zeros(1))[0] == started[1]
    started.clear()
    doomed = {1, 2}
    with pytest.raises(WorkerDiedError, match=r"position 5 of[\s\S]*SIGKILL, while it started"):
        made(kept(away.who), np.zeros(1), 5)


def test_a_result_whose_worker_dies_behind_it_is_made_again(
    kept: Callable[..., Offloaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    offloaded = kept(away.doubled)
    made(offloaded, np.zeros(1))
    receive = Member.receive
    killed: list[int] = []

    def late(self: Member) -> Any:
        message = receive(self)
        if message is not None and not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
            until(lambda: not is_there(self.pid))
        return message

    monkeypatch.setattr(Member, "receive", late)
    assert np.all(made(offloaded, np.full(30_000, 4)) == 8)
    assert killed


# ---- the end -----------------------------------------------------------------------------------


def test_workers_outlive_the_thread_that_started_them_and_end_with_close(
    kept: Callable[..., Offloaded],
) -> None:
    offloaded = kept(away.who)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(made(offloaded, np.zeros(1))[0]))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert made(offloaded, np.zeros(1))[0] == found[0]
    offloaded.close()
    assert not is_there(int(found[0]))
    offloaded.close()
    with pytest.raises(Closed):
        made(offloaded, np.zeros(1))


def test_close_ends_whoever_waits(
    kept: Callable[..., Offloaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE_S", 0.1)
    offloaded = kept(away.Waits(tmp_path), n_workers=2)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            made(offloaded, np.zeros(1))
        except Closed as error:
            raised.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]  # one more than workers
    for thread in threads:
        thread.start()
    begun = until(lambda: len(os.listdir(tmp_path)) == 2 and os.listdir(tmp_path))
    closers = [threading.Thread(target=offloaded.close) for _ in range(2)]
    for thread in closers:
        thread.start()
    offloaded.close()
    assert not any(is_there(int(name.split("-")[1])) for name in begun)
    for thread in (*threads, *closers):
        thread.join(PATIENCE_S)
    assert len(raised) == 3


def test_nothing_is_started_before_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(members.subprocess, "Popen")
    before = fds(), threading.active_count()
    offloaded = Offloaded((away.same,), 4)
    assert (fds(), threading.active_count()) == before
    offloaded.close()


def test_after_ctrl_c_the_next_answer_is_to_the_next_batch(
    kept: Callable[..., Offloaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    offloaded = kept(away.doubled)
    collect = Processes.collect

    def interrupted(self: Processes, timeout_s: float) -> Any:
        monkeypatch.setattr(Processes, "collect", collect)
        raise KeyboardInterrupt

    monkeypatch.setattr(Processes, "collect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(offloaded, np.full(20_000, 1))
    assert np.all(made(offloaded, np.full(20_000, 2)) == 4)


def test_a_system_without_room_for_a_process(
    kept: Callable[..., Offloaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **options: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    offloaded = kept(away.same)
    with monkeypatch.context() as patch:
        patch.setattr(members.subprocess, "Popen", refused)
        with pytest.raises(ExecutorError, match=r'temporarily unavailable[\s\S]*worker_type="thread"'):
            made(offloaded, np.zeros(1))
    assert made(offloaded, np.ones(1)) == 1


def test_a_forked_child_leaves_the_workers_alone(kept: Callable[..., Offloaded]) -> None:
    offloaded = kept(away.who)
    first = made(offloaded, np.zeros(1))[0]
    pid = os.fork()
    if pid == 0:
        try:
            offloaded(np.zeros(1), (0, 0, 0))
        except ExecutorError:
            offloaded.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert made(offloaded, np.zeros(1))[0] == first


PROGRAM = """
import threading, time
from pathlib import Path
import numpy as np
from outcore.loader.offloading import Offloaded
from tests.loader.transforms_away import Waits
offloaded = Offloaded((Waits(Path({folder!r})),), 2)
for _ in range(2):
    threading.Thread(target=offloaded, args=(np.zeros(1), (0, 0, 0)), daemon=True).start()
while len(list(Path({folder!r}).iterdir())) < 2:
    time.sleep(0.01)
print("begun", flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["time.sleep(60)", "raise SystemExit(0)"])
def test_workers_end_with_their_parent(tmp_path: Path, then: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(folder=str(tmp_path), then=then)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"begun\n"
        pids = [int(name.split("-")[1]) for name in os.listdir(tmp_path)]
        assert all(map(is_there, pids))
        if "sleep" in then:
            program.kill()
        program.wait(PATIENCE_S)
        until(lambda: not any(map(is_there, pids)))
