"""Cases 17 to 22 of what other ways of sharing memory fail at: numbers and pools. Each names the thread."""

from __future__ import annotations

import errno
import fcntl
import gc
import multiprocessing
import os
import pickle
import re
import resource
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import HandleLimitError
from outcore.shared import mailbox, travel
from tests.shared import roles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc, control groups and memfd")
HERE = "tests.shared.test_cases_scale"
MB = 1 << 20


# ---- 17: few descriptors --------------------------------------------------------------------------


def make_5000_arrays() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    arrays = []
    try:
        for _ in range(5000):
            arrays.append(oc.share(np.arange(10)))
    except HandleLimitError as error:
        text = str(error)
    n_made = len(arrays)
    assert 200 < n_made < 256, n_made
    assert all(array.sum() == 45 for array in arrays)
    arrays.clear()
    arrays.append(oc.share(np.arange(10)))  # at once, without a collection
    # As the error says: one array, and slices of it.
    whole = oc.shared_empty((5000, 10), "i8")
    slices = list(whole)
    for number, part in enumerate(slices):
        part[:] = number
    pickled = pickle.dumps(slices)
    loaded = pickle.loads(pickled)
    assert len(loaded) == 5000
    assert [array[0] for array in loaded] == list(range(5000))
    print(text)


def test_17_5000_arrays_with_256_descriptors_name_the_limit_and_the_cure_which_works() -> None:
    # pytorch#11201: "Too many open files", without a word of what to do.
    ended = roles.run_program("make_5000_arrays", module=HERE)
    assert ended.stderr == ""
    assert "all 256 of this process are in use" in ended.stdout
    assert "put many small arrays into one" in ended.stdout
    assert "ulimit -n" in ended.stdout


def receive_too_many() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        pool.submit(abs, 1).result()
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        results = [pool.submit(roles.share_range, 10).result() for _ in range(150)]
        lost = []
        for array in results:
            try:
                assert array.sum() == 45
            except HandleLimitError as error:
                lost.append(str(error))
            except LookupError as error:
                lost.append(str(error))
        assert 30 < len(lost) < 150, len(lost)
        assert all("ulimit -n 65536" in text for text in lost), lost
        del results, array
        assert pool.submit(roles.share_range, 10).result().sum() == 45
    print("named")


def test_17_a_receiver_without_descriptors_is_told_the_limit_and_goes_on() -> None:
    # pytorch#34768: "received 0 items of ancdata".
    ended = roles.run_program("receive_too_many", module=HERE)
    assert (ended.stdout, ended.stderr) == ("named\n", "")


# ---- 18: many arguments ---------------------------------------------------------------------------


def add_up(arrays: list[Any], answers: Any) -> None:
    answers.send((len(arrays), sum(int(array.sum()) for array in arrays)))
    for array in arrays:
        array += 1


@pytest.mark.parametrize("method", roles.METHODS)
def test_18_more_than_300_arrays_are_arguments_of_one_process(method: str) -> None:
    # The server that forks refuses more than some 250 inherited descriptors (forkserver.MAXFDS_TO_SEND).
    arrays = [oc.share(np.full(3, i)) for i in range(320)]
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=add_up, args=(arrays, theirs))
    child.start()
    assert ours.poll(roles.PATIENCE_S)
    assert ours.recv() == (320, 3 * 319 * 160)
    child.join(roles.PATIENCE_S)
    assert child.exitcode == 0
    child.close()
    ours.close()
    theirs.close()
    assert [array[0] for array in arrays] == list(range(1, 321))


# ---- 19: a worker that is out of memory -----------------------------------------------------------


def lose_a_worker() -> None:
    sparse = oc.shared_empty(600 * MB, "u1", reserve=False)
    kept = oc.share(np.arange(5))
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        try:
            print(pool.submit(touch, sparse).result())
        except BrokenProcessPool as error:
            print(type(error).__name__)
    assert kept.tolist() == [0, 1, 2, 3, 4]
    travel.release()


def touch(array: Any) -> int:
    Path("/proc/self/oom_score_adj").write_text("1000")  # of those in the group, this is to go
    array[:] = 1  # more than the group has
    return 1


def test_19_a_worker_killed_for_memory_is_an_error_and_no_hang(cgroup: Any) -> None:
    # cpython#96062, pathos#230, LiCSBAS2#164: Pool.map waits for ever. So nothing here uses a Pool.
    code = f"from {HERE} import lose_a_worker; lose_a_worker()"
    ended = cgroup([sys.executable, "-X", "dev", "-W", "error", "-c", code], 256 * MB, cwd=roles.ROOT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "BrokenProcessPool\n", "")
    assert ended.oom_kills >= 1


# ---- 20: collections, forks and the end of the interpreter -------------------------------------------


class Sends:
    """Garbage whose finalizer shares, sends and receives: in whatever moment it is found."""

    n = 0

    def __init__(self) -> None:
        self.itself = self
        self.array = oc.shared_empty(1)

    def __del__(self) -> None:
        Sends.n += 1
        pickle.loads(pickle.dumps(self.array))
        oc.share([1])


def collect_everywhere() -> None:
    gc.set_threshold(1, 1, 1)
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        futures = [pool.submit(roles.share_range, 10) for _ in range(40)]
        for future in futures:
            Sends()
            assert future.result().sum() == 45
        for i in range(300):
            Sends()
            array = oc.share(np.full(3, i))
            loaded = pickle.loads(pickle.dumps(array))
            assert loaded.tolist() == [i, i, i]
            oc.attach(array.token())
    gc.set_threshold(700, 10, 10)
    gc.collect()
    travel.sweep()
    assert Sends.n == 340
    assert travel.travelling() == {}
    print("done")


def test_20_a_collection_may_run_finalizers_inside_of_our_locks() -> None:
    # cpython#109593: the resource tracker deadlocks on its own lock.
    ended = roles.run_program("collect_everywhere", module=HERE)
    assert (ended.stdout, ended.stderr) == ("done\n", "")


def test_20_a_fork_while_another_thread_holds_our_locks_does_not_stop_the_child() -> None:
    # cpython#146313: the lock stays locked in the child, for ever.
    shared = oc.share(np.arange(5))
    pickled = pickle.dumps(shared)
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with mailbox.own().lock, travel._own_sent().lock, travel._making:
            held.set()
            leave.wait(roles.PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(roles.PATIENCE_S)
    try:
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            array = pickle.loads(pickled)
            again = pickle.loads(pickle.dumps(array[1:]))
            fresh = pickle.loads(pickle.dumps(oc.share([1])))
            again[0] = 99
            os._exit(int(array.sum() + fresh[0] != 109))
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        leave.set()
        holder.join()
    assert shared[1] == 99


def send_from_threads() -> None:
    """Threads send and receive while the program forks again and again."""
    shared = oc.share(np.arange(10))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            assert pickle.loads(pickle.dumps(shared)).sum() == 45
            assert pickle.loads(pickle.dumps(oc.share([1, 2]))).sum() == 3

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    failed = 0
    for _ in range(20):
        if (pid := os.fork()) == 0:
            signal.alarm(30)
            ok = (
                pickle.loads(pickle.dumps(shared)).sum() == 45
                and pickle.loads(pickle.dumps(oc.share([3])))[0] == 3
            )
            os._exit(not ok)
        failed += os.waitpid(pid, 0)[1] != 0
    stop.set()
    for thread in threads:
        thread.join()
    print(failed, travel.travelling())


def test_20_forks_beside_threads_that_send_and_receive() -> None:
    ended = roles.run_program("send_from_threads", module=HERE)
    assert (ended.stdout, ended.stderr) == ("0 {}\n", "")


def end_in_the_middle() -> None:
    """Let the interpreter end while daemon threads share, send and receive."""
    started = threading.Barrier(4)

    def work() -> None:
        started.wait()
        while True:
            array = oc.share(np.arange(10))
            pickle.loads(pickle.dumps(array))

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    started.wait()
    print("end", flush=True)


def test_20_the_interpreter_ends_in_the_middle_of_it_without_a_hang_and_without_noise() -> None:
    # cpython#91577: finalizers that import at shutdown.
    ended = roles.run_program("end_in_the_middle", module=HERE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "end\n", "")


# ---- 21: whose memory it is -----------------------------------------------------------------------


def pss_of(number: int) -> int:
    """Return this process's share of a segment, as the kernel counts it."""
    text = Path("/proc/self/smaps").read_text()
    entries = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.MULTILINE)
    return sum(
        1024 * int(re.search(r"^Pss: +(\d+) kB", entry, re.MULTILINE)[1])  # type: ignore[index]
        for entry in entries
        if re.match(rf"\S+ \S+ \S+ \S+ {number} ", entry)
    )


def look_and_wait(array: Any, number: int, connection: Any) -> None:
    connection.send(int(array.sum(dtype="i8")))  # touches each page
    connection.recv()
    connection.send(pss_of(number))
    connection.recv()


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_21_one_array_in_five_processes_counts_once(method: str) -> None:
    # LiberTEM#1328: shared pages are counted as each worker's, and Dask kills them.
    context: Any = multiprocessing.get_context(method)
    shared = oc.share(np.ones(64 * MB, "u1"))
    number = roles.inode(shared)
    pipes = [context.Pipe() for _ in range(4)]
    children = [context.Process(target=look_and_wait, args=(shared, number, theirs)) for _, theirs in pipes]
    for child in children:
        child.start()
    assert shared.sum(dtype="i8") == 64 * MB
    assert [ours.recv() for ours, _ in pipes] == [64 * MB] * 4
    for ours, _ in pipes:  # now all have touched it
        ours.send(None)
    total = sum(ours.recv() for ours, _ in pipes) + pss_of(number)
    for ours, _ in pipes:
        ours.send(None)
    for child in children:
        child.join(roles.PATIENCE_S)
        child.close()
    for end in [end for pipe in pipes for end in pipe]:
        end.close()
    assert 0.95 * shared.nbytes < total < 1.05 * shared.nbytes


# ---- 22: kernels ----------------------------------------------------------------------------------


def test_22_the_kernel_is_asked_for_memory_that_cannot_be_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    # lxc#4315: without the flag it complains in its log; kernels before 6.3 do not know the flag.
    real, asked = os.memfd_create, []

    def note(name: str, flags: int) -> int:
        asked.append(bool(flags & 0x8))
        return real(name, flags)

    def old(name: str, flags: int) -> int:
        asked.append(bool(flags & 0x8))
        if flags & 0x8:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(name, flags)

    for kernel, expected in ((old, [True, False]), (note, [True])):
        asked.clear()
        monkeypatch.setattr(os, "memfd_create", kernel)
        shared = oc.share(np.arange(3))
        assert asked[-len(expected) :] == expected
        assert pickle.loads(pickle.dumps(shared)).tolist() == [0, 1, 2]
        assert fcntl.fcntl(shared._segment.fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
