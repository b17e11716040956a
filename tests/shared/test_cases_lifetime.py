"""Cases 1 to 9 of what other ways of sharing memory fail at: lifetimes. Each names the public thread."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import OutcoreError, SegmentGoneError
from outcore.shared import identity, memfd, travel
from tests.hygiene import held_by_others
from tests.shared import roles
from tests.shared.observed import PATIENCE_S, Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and memfd")
HERE = "tests.shared.test_cases_lifetime"
#: What multiprocessing says of the semaphores of its own queues when their program was killed.
OF_SEMAPHORES = re.compile(r"leaked semaphore objects|^ +warnings\.warn\('resource_tracker: There appear")


@pytest.fixture(autouse=True)
def silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever dies, nothing is printed by anybody."""
    yield
    assert capfd.readouterr().err == ""


def end(how: str) -> None:
    """End this process."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "os._exit":
        os._exit(0)


# ---- 1: a child that attaches and ends ------------------------------------------------------------


def attach_and_end(array: Any, how: str) -> None:
    array[1] = 11
    end(how)


@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("fork", "returns"),
        ("fork", "killed"),
        ("spawn", "killed"),
        ("spawn", "os._exit"),
        ("forkserver", "returns"),
    ],
)
def test_01_a_child_attaches_and_ends_and_the_parents_data_stay(method: str, how: str) -> None:
    # cpython#82300, dlrover#856: the child's tracker deletes the parent's memory.
    shared = oc.share(np.arange(5))
    child = multiprocessing.get_context(method).Process(target=attach_and_end, args=(shared, how))
    child.start()
    child.join(roles.PATIENCE_S)
    assert child.exitcode == (-signal.SIGKILL if how == "killed" else 0)
    child.close()
    assert shared.tolist() == [0, 11, 2, 3, 4]
    assert oc.attach(shared.token()).tolist() == [0, 11, 2, 3, 4]
    assert roles.holders(roles.inode(shared)) == {os.getpid()}


# ---- 2 and 3: the parent, or everybody, is killed ---------------------------------------------------


def parent_of_workers(method: str, orphans: str = "") -> None:
    """Share an array, have two idle workers hold it and one that never received it; then wait."""
    from tests.shared.observed import reach

    shared = oc.share(np.zeros(1 << 20))
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        workers = list(pool.map(hold, [shared] * 2))
        queue = multiprocessing.get_context(method).Queue()
        queue.put(shared)  # nobody will ever take it out
        reach("parent", "ready", inode=roles.inode(shared), workers=sorted(set(workers)))
        queue.cancel_join_thread()


_held: list[Any] = []


def hold(array: Any) -> int:
    _held.append(array)
    return os.getpid()


@pytest.mark.parametrize(
    ("method", "group"), [("fork", False), ("spawn", False), ("forkserver", False), ("spawn", True)]
)
def test_02_and_03_when_the_parent_or_all_are_killed_idle_workers_end_and_the_memory_is_freed(
    method: str, group: bool, tmp_path: Path
) -> None:
    # sglang#28089, vllm#51317: SIGKILL of the tree kills the tracker too, and the segments stay.
    # cpython#111873, bbot#3207: idle workers of a dead parent wait for ever, and pin what they hold.
    before = set(os.listdir("/dev/shm"))
    with Program(HERE, "parent_of_workers", method, folder=tmp_path) as program:
        ready = program.wait_for("parent", "ready")
        number, workers = ready.facts["inode"], set(ready.facts["workers"])
        assert roles.holders(number) >= {program.process.pid, *workers}
        program.note_semaphores()
        program.kill(program.process.pid, group=group)
        assert program.wait_until_gone(PATIENCE_S) == set()
        # A process that ends gives back its memory first, and is not seen any more; then its descriptors.
        roles.wait_until(lambda: not roles.holders(number), "the end of the last holder")
        for name in program.semaphores:  # of multiprocessing's queues, whose program was killed
            (Path("/dev/shm") / name).unlink(missing_ok=True)
        new = [name for name in set(os.listdir("/dev/shm")) - before if not name.startswith("sem.")]
        assert [name for name in new if not held_by_others(name)] == []
        assert [line for line in program.stderr.splitlines() if not OF_SEMAPHORES.search(line)] == []


def stay(connection: Any) -> None:
    connection.send(os.getpid())
    connection.recv()
    connection.send("alive")


@pytest.mark.parametrize("method", roles.METHODS)
def test_03_a_worker_started_by_a_thread_outlives_that_thread(method: str) -> None:
    # A signal at the parent's death (PR_SET_PDEATHSIG) comes when the *thread* ends that started the worker,
    # and not at all if the parent dies first: cognee#4249; macOS has none: sglang#27190.
    ours, theirs = multiprocessing.get_context(method).Pipe()
    started: list[Any] = []

    def start() -> None:
        started.append(multiprocessing.get_context(method).Process(target=stay, args=(theirs,)))
        started[0].start()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert ours.poll(roles.PATIENCE_S)
    assert ours.recv() == started[0].pid
    ours.send(None)
    assert ours.poll(roles.PATIENCE_S)
    assert ours.recv() == "alive"
    started[0].join(roles.PATIENCE_S)
    assert started[0].exitcode == 0
    started[0].close()
    ours.close()
    theirs.close()


# ---- 4: the producer ends first -----------------------------------------------------------------


def produce(put: Callable[[Any], None], how: str) -> None:
    made = oc.share(np.arange(100_000))
    put((made[::2], made))
    del made
    end(how)


def produce_into_pipe(connection: Any, how: str) -> None:
    produce(connection.send, how)


def produce_into_queue(queue: Any, how: str) -> None:
    produce(queue.put, how)  # a SimpleQueue: put() returns when the pipe has it


def produce_into_thread_queue(queue: Any, how: str) -> None:
    produce(queue.put, "returns")
    queue.close()
    queue.join_thread()
    end(how)


@pytest.mark.parametrize(
    ("way", "method", "how"),
    [
        *[(way, "fork", how) for way in ("Pipe", "SimpleQueue", "Queue") for how in ("returns", "killed")],
        *[("Pipe", "spawn", "killed"), ("Queue", "spawn", "returns")],
        *[("SimpleQueue", "forkserver", "killed"), ("Queue", "forkserver", "killed")],
    ],
)
def test_04_the_producer_may_die_before_the_consumer_unpickles(way: str, method: str, how: str) -> None:
    # pytorch#65418, #45831, #67844, cpython#110468: "connection refused", or the memory is gone.
    context: Any = multiprocessing.get_context(method)
    if way == "Pipe":
        ours, theirs = context.Pipe()
        target, get = produce_into_pipe, ours.recv
    else:
        ours = theirs = getattr(context, way)()
        target, get = (produce_into_queue if way == "SimpleQueue" else produce_into_thread_queue), ours.get
    producer = context.Process(target=target, args=(theirs, how))
    producer.start()
    producer.join(roles.PATIENCE_S)
    assert producer.exitcode == (-signal.SIGKILL if how == "killed" else 0)
    pid = producer.pid
    producer.close()
    assert identity.started(pid) is None
    part, whole = get()
    assert np.shares_memory(part, whole)
    assert whole.sum() == 4_999_950_000
    assert part.tolist() == list(range(0, 100_000, 2))
    for end_of_it in {id(ours): ours, id(theirs): theirs}.values():
        end_of_it.close()
    if way == "Queue":
        ours.join_thread()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_04_a_sibling_of_a_dead_producer_is_told_who_died_and_what_to_do(method: str) -> None:
    # The documented limit: only the parent of a dead producer has what it sent.
    context: Any = multiprocessing.get_context(method)
    queue, answers = context.SimpleQueue(), context.SimpleQueue()
    producer = context.Process(target=produce_into_queue, args=(queue, "killed"))
    producer.start()
    producer.join(roles.PATIENCE_S)
    consumer = context.Process(target=consume, args=(queue, answers))
    consumer.start()
    text = answers.get()
    assert f"process {producer.pid} ended before the array was received here" in text
    assert "oc.shared_empty" in text
    consumer.join(roles.PATIENCE_S)
    assert consumer.exitcode == 0
    travel.release()
    for closed in (queue, answers, producer, consumer):
        closed.close()
    drop_arrivals()


def drop_arrivals() -> None:
    """Take out and let go of what a dead child sent to this process and nobody will ask for."""
    from outcore.shared import mailbox

    box = mailbox.own()
    box.drain()
    for number in list(box.arrivals):
        os.close(box.arrivals.pop(number).fd)


def consume(queue: Any, answers: Any) -> None:
    part, _ = queue.get()
    try:
        answers.put(str(part.sum()))
    except SegmentGoneError as error:
        answers.put(str(error))


# ---- 5: the consumer never unpickles --------------------------------------------------------------


def test_05_a_handle_that_nobody_loads_is_counted_and_can_be_let_go() -> None:
    # pytorch#973: files that are deleted, and held for ever.
    shared = oc.share(np.zeros(1 << 16))
    nonce, number = shared._segment.nonce, roles.inode(shared)
    pickled = [pickle.dumps(shared) for _ in range(3)]
    del shared
    assert travel.travelling() == {nonce: 3}
    assert roles.holders(number) == {os.getpid()}
    assert travel.release(nonce) == 3
    assert travel.travelling() == {}
    roles.wait_until(lambda: not roles.holders(number), "the end of the last holder")
    lost = pickle.loads(pickled[0])
    with pytest.raises(SegmentGoneError, match="lives, but has let go of it"):
        lost.sum()


def send_and_return(connection: Any, n: int) -> None:
    for _ in range(n):
        connection.send_bytes(pickle.dumps(oc.share(np.zeros(1000))))
    connection.recv()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_05_what_was_sent_to_a_consumer_that_dropped_it_goes_with_its_sender(method: str) -> None:
    # hivemind#517: the reverse. Thousands of results that nobody looks at cost the parent nothing in the end.
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=send_and_return, args=(theirs, 20))
    child.start()
    pickles = [ours.recv_bytes() for _ in range(20)]
    ours.send(None)
    child.join(roles.PATIENCE_S)
    assert child.exitcode == 0
    child.close()
    assert len(pickle.loads(pickles[7])) == 1000  # and what somebody does look at is there
    drop_arrivals()
    ours.close()
    theirs.close()


# ---- 6: one pickle, many loads --------------------------------------------------------------------


def total(array: Any) -> int:
    return int(array.sum())


def load_and_total(pickled: bytes) -> int:
    return int(pickle.loads(pickled).sum()) + int(pickle.loads(pickled)[1:].sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_06_the_same_pickle_is_loaded_twice_and_in_two_workers(method: str) -> None:
    # multiprocessing's own DupFd.detach "should only be called once".
    shared = oc.share(np.arange(10))
    pickled = pickle.dumps(shared)
    assert np.shares_memory(pickle.loads(pickled), pickle.loads(pickled))
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(load_and_total, [pickled] * 6)) == [90] * 6
        assert list(pool.map(total, [shared, shared[5:]] * 2)) == [45, 35] * 2
    assert np.shares_memory(pickle.loads(pickled), shared)


# ---- 7: a start that fails midway -----------------------------------------------------------------

STEPS: dict[str, tuple[Any, str]] = {
    "made": (os, "memfd_create"),
    "sized": (os, "ftruncate"),
    "reserved": (os, "posix_fallocate"),
    "described": (os, "pwrite"),
    "mapped": (memfd, "map_file"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOMEM, errno.EMFILE])
def test_07_a_start_that_fails_midway_leaves_nothing_and_the_next_one_works(
    step: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # wool#340: what was never registered is unregistered, and the tracker complains.
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number))

    before, names = roles.fds(), set(os.listdir("/dev/shm"))
    with monkeypatch.context() as patched:
        patched.setattr(*STEPS[step], fail)
        with pytest.raises((MemoryError, OSError)) as caught:
            oc.shared_empty(1000)
    assert isinstance(caught.value, OutcoreError)
    assert roles.fds() == before
    assert not {name for name in set(os.listdir("/dev/shm")) - names if "outcore" in name}
    assert oc.shared_empty(1000).sum() == 0


# ---- 8: again after a crash -----------------------------------------------------------------------


def crash_after_sharing(name: str) -> None:
    array = oc.shared_empty((1000,), "i8")
    assert not array.any()  # nothing of the program before
    array[:] = int(name)
    print(array._segment.fd, array.token(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def test_08_after_a_crash_the_same_program_starts_anew_without_a_trace() -> None:
    # streaming#781, UltraDict#16: FileExistsError, or the data of the run before.
    tokens = []
    for name in (1, 2):
        ended = roles.run_program("crash_after_sharing", name, module=HERE)
        assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, "")
        tokens.append(ended.stdout.split()[1])
    assert len(set(tokens)) == 2
    for token in tokens:
        with pytest.raises(SegmentGoneError, match="ended before the array was received here"):
            oc.attach(token)


def test_08_a_process_id_that_is_used_again_is_not_taken_for_the_owner() -> None:
    # CereLink#193. The id and the descriptor of the handle now belong to another segment.
    old, new = oc.share(np.arange(5)), oc.share(np.arange(5, 10))
    receiver, (place, ticket, _) = pickle.loads(pickle.dumps(0)), travel.address(old._segment)
    assert receiver == 0
    forged = travel.Handle((b"\1" * 16, (os.getpid(), place[1][1] - 1), new._segment.fd, ""), ticket)
    from outcore.shared.resolving import resolve

    with pytest.raises(SegmentGoneError, match=f"process {os.getpid()} ended"):
        resolve(forged, "r+")


# ---- 9: noise -------------------------------------------------------------------------------------


def use_it_in_every_way() -> None:
    import loky

    shared = oc.share(np.arange(10))
    for method in roles.METHODS:
        context: Any = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            assert pool.map(total, [shared] * 4) == [45] * 4
            assert sum(array.sum() for array in pool.map(roles.share_range, [10] * 4)) == 180
        with ProcessPoolExecutor(1, context) as executor:
            made = list(executor.map(roles.share_range, [10] * 4))
            assert [total(array) for array in made] == [45] * 4
        queue = context.Queue()
        child = context.Process(target=produce_into_thread_queue, args=(queue, "killed"))
        child.start()
        assert queue.get()[1].sum() == 4_999_950_000
        child.join()
        queue.close()
        queue.join_thread()
        with ProcessPoolExecutor(1, context) as executor:
            try:
                executor.submit(attach_and_end, oc.share(np.arange(3)), "killed").result()
                raise AssertionError
            except BrokenProcessPool:
                pass
    with loky.ProcessPoolExecutor(1) as executor:
        assert list(executor.map(total, [shared] * 2)) == [45] * 2
    globals()["_kept_at_exit"] = shared
    print("done")


def test_09_nothing_is_printed_by_anybody() -> None:
    # wool#336, mlcommons/storage#777, cpython#116849, pygeoprocessing#247: "leaked shared_memory objects",
    # dozens of tracebacks of KeyErrors.
    ended = roles.run_program("use_it_in_every_way", module=HERE)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("done\n", "", 0)
