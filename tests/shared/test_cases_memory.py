"""Cases 10 to 15 of what other ways of sharing memory fail at: safety. Each names the public thread."""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.shared import memfd, named, segment, travel
from outcore.shared.header import HEADER_BYTES
from tests.shared import roles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and memfd")
HERE = "tests.shared.test_cases_memory"
MB = 1 << 20


def command(function: str, *arguments: object) -> list[str]:
    code = f"import sys; from {HERE} import {function}; {function}(*sys.argv[1:])"
    return [sys.executable, "-X", "dev", "-W", "error", "-c", code, *map(str, arguments)]


# ---- 10: what is left of an array after its handle ------------------------------------------------

DERIVED: dict[str, Callable[[Any], Any]] = {
    "itself": lambda a: a,
    "slice": lambda a: a[10:20],
    "reversed": lambda a: a[::-1],
    "plain": np.asarray,
    "plain slice": lambda a: np.asarray(a)[5:],
    "slice of plain": lambda a: np.asarray(a[5:]),
    "memoryview": memoryview,
    "memoryview of a part": lambda a: memoryview(a)[3:9],
    "from buffer": lambda a: np.frombuffer(memoryview(a), a.dtype),
    "bytes": lambda a: memoryview(a).cast("B"),
    "ctypes": lambda a: (a.ctypes, a.ctypes.data_as(__import__("ctypes").c_void_p)),
    "iterator": lambda a: a.flat,
    "data": lambda a: a.data,
    "real": lambda a: a.real,
    "dlpack": np.from_dlpack,
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, 3),
    "field": lambda a: a.view([("y", "i4"), ("x", "i4")])["y"],
    "record": lambda a: a.view([("x", "i4"), ("y", "i4")])[3],
    "matrix": lambda a: a.reshape(10, 10).view(np.recarray),
    "loaded": lambda a: pickle.loads(pickle.dumps(a[2:])),
    "interface": lambda a: np.asarray(
        type("Has", (), {"__array_interface__": a.__array_interface__, "a": a})()
    ),
}


def outlive(name: str) -> None:
    gc.disable()
    before = roles.fds()
    array = oc.shared_empty(100, "i8")
    number = roles.inode(array)
    array[...] = 7
    derived = DERIVED[name](array)
    del array
    if name != "loaded":  # whose handle made a board
        assert roles.fds() == before + 1
    where = f" {number} "
    assert where in Path("/proc/self/maps").read_text()
    if name not in ("ctypes", "record"):
        assert np.asarray(derived).ravel()[0] == 7
    del derived
    gc.collect()
    assert where not in Path("/proc/self/maps").read_text()
    assert roles.fds() <= before + (name == "loaded")
    print("intact")


@pytest.mark.parametrize("names", [list(DERIVED)[i::2] for i in range(2)], ids=["first half", "second half"])
def test_10_an_array_outlives_all_that_it_was_made_from(names: list[str]) -> None:
    # numpy#18294, #22190, #23305, #9537: a segmentation fault after close(); cpython#155003: a BufferError
    # nobody can catch, and a descriptor that stays. In a process of its own, whose end tells.
    ended = roles.run_program("outlive_each", *names, module=HERE)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "intact\n" * len(names)


def outlive_each(*names: str) -> None:
    for name in names:
        outlive(name)


def test_10_nothing_can_be_closed_under_an_array() -> None:
    shared = oc.share(np.arange(5))
    base = shared
    while not isinstance(base, segment.Segment):
        base = base.base
    views = [shared[1:], np.asarray(shared)]
    maps = [found for found in gc.get_referents(base.data.base.base) if isinstance(found, mmap.mmap)]
    maps += [base.data.base.base.obj]
    for found in maps:
        with pytest.raises(BufferError):
            found.close()
    assert views[0].tolist() == [1, 2, 3, 4]


def finish_with_globals() -> None:
    """End with arrays wherever an interpreter keeps things to the last moment."""
    import atexit
    import threading
    import weakref

    shared = oc.share(np.arange(5))
    module = sys.modules[__name__]
    module.kept = shared[1:]
    sys.kept = shared
    cycle: list[Any] = [shared]
    cycle.append(cycle)
    local = threading.local()
    local.kept = shared
    np.kept = shared
    atexit.register(lambda: shared.sum())

    class Late:
        array = shared

        def __del__(self) -> None:
            self.array[0] = 1
            pickle.dumps(self.array)

    sys.late = Late()
    weakref.finalize(module, shared.sum)
    print("end")


def test_10_an_interpreter_ends_with_arrays_alive_and_says_nothing() -> None:
    ended = roles.run_program("finish_with_globals", module=HERE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "end\n", "")


# ---- 11: a small /dev/shm -------------------------------------------------------------------------


def use_more_than_dev_shm() -> None:
    shared = oc.share(np.ones(200 * MB, "u1"))
    empty = oc.shared_empty(200 * MB, "u1")
    empty[:] = 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        assert pool.submit(count, shared).result() == 200 * MB
        assert pool.submit(make, 100 * MB).result().all()
    print("done")


def count(array: Any) -> int:
    return int(np.count_nonzero(array))


def make(n: int) -> Any:
    return oc.share(np.ones(n, "u1"))


def test_11_a_64_mb_dev_shm_has_no_effect() -> None:
    # cpython#114389, pytorch#5040, #1355, #45728: SIGBUS, or a deadlock, in every container.
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    shell = "mount -t tmpfs -o size=64m tmpfs /dev/shm && df --output=size /dev/shm | tail -1 >&2 && "
    shell += 'exec "$@" 2>&1'
    ways: list[list[str]] = [["unshare", "-m"], ["unshare", "-r", "-m"]]
    for way in ways:
        probe = subprocess.run(
            [*way, "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"], capture_output=True, text=True
        )
        if probe.returncode == 0:
            break
    else:
        pytest.skip(f"this machine allows no mount of one's own: {probe.stderr.strip()}")
    ended = subprocess.run(
        [*way, "sh", "-c", shell, "sh", *command("use_more_than_dev_shm")],
        capture_output=True,
        text=True,
        cwd=roles.ROOT,
        timeout=roles.PATIENCE_S,
    )
    assert ended.stderr.strip() == "65536"  # kB: it was really that small
    assert ended.stdout == "done\n"


# ---- 12: more than the memory ---------------------------------------------------------------------


def ask_for_more_than_there_is(kind: str) -> None:
    before = roles.fds()
    try:
        if kind == "empty":
            oc.shared_empty(400 * MB, "u1")
        else:
            oc.share(np.broadcast_to(np.uint8(1), (400 * MB,)))
        print("made")
    except MemoryError as error:
        print(type(error).__name__, error)
    assert roles.fds() == before


@pytest.mark.parametrize("kind", ["empty", "share"])
def test_12_more_than_the_control_group_has_is_refused_before_any_touch(kind: str, cgroup: Any) -> None:
    # A MemoryError instead of the kernel's SIGKILL. vllm#44913.
    ended = cgroup(command("ask_for_more_than_there_is", kind), 256 * MB, cwd=roles.ROOT)
    assert (ended.returncode, ended.oom_kills, ended.stderr) == (0, 0, "")
    assert ended.stdout.startswith(
        "MemoryBudgetError a shared array of shape (419430400,) and dtype uint8 needs 419.4 MB"
    )
    assert "of 268.4 MB are free" in ended.stdout
    assert ended.peak_total < 128 * MB


def ask_for_nearly_all(kind: str) -> None:
    from outcore import budget

    oc.share(np.zeros(3))
    n = budget.machine_memory().free_bytes
    while True:
        try:
            made = (
                oc.shared_empty(n, "u1") if kind == "empty" else oc.share(np.broadcast_to(np.uint8(0), (n,)))
            )
            break
        except MemoryError:
            n -= MB // 4
    made[:] = 1
    print(n // MB)


@pytest.mark.parametrize("kind", ["empty", "share"])
def test_12_the_largest_array_that_is_not_refused_can_be_filled(kind: str, cgroup: Any) -> None:
    ended = cgroup(command("ask_for_nearly_all", kind), 256 * MB, cwd=roles.ROOT)
    assert (ended.returncode, ended.oom_kills, ended.stderr) == (0, 0, "")
    assert int(ended.stdout) > 180  # and nearly all of the group is to be had


def use_sparsely() -> None:
    sparse = oc.shared_empty(1 << 40, "u1", reserve=False)
    sparse[:: 1 << 34] = 1
    print(int(sparse[:: 1 << 34].sum()))


def test_12_sparse_users_do_not_reserve(cgroup: Any) -> None:
    # takluyver's caution: to reserve always would break them. cpython#155007.
    ended = cgroup(command("use_sparsely"), 256 * MB, cwd=roles.ROOT)
    assert (ended.returncode, ended.oom_kills, ended.stdout, ended.stderr) == (0, 0, "64\n", "")


# ---- 13: read-only consumers ----------------------------------------------------------------------


def write_in_every_way(array: Any) -> list[str]:
    def store() -> None:
        array[0] = 99

    def in_place() -> None:
        np.add(array, 1, out=array)

    def through_a_new_map() -> None:
        with mmap.mmap(array._segment.fd, HEADER_BYTES + 8) as made:
            made[HEADER_BYTES] = 99

    def through_a_new_descriptor() -> None:
        fd = os.open(f"/proc/self/fd/{array._segment.fd}", os.O_RDWR)
        try:
            os.pwrite(fd, b"\x63", HEADER_BYTES)
        finally:
            os.close(fd)

    results = []
    for attempt in (
        *(store, in_place, array.sort, lambda: array.setflags(write=True), through_a_new_map),
        *(lambda: os.pwrite(array._segment.fd, b"\x63", HEADER_BYTES), through_a_new_descriptor),
    ):
        try:
            attempt()
            results.append("done")
        except (ValueError, OSError) as error:
            results.append(type(error).__name__)
    return results


@pytest.mark.parametrize("method", roles.METHODS)
def test_13_a_read_only_consumer_is_refused_by_numpy_and_by_the_kernel(method: str) -> None:
    # Others have no read-only at all (cpython#11816), or nothing else (ray#5592, joblib#1627).
    shared = oc.share(np.arange(5)).freeze()
    writable = oc.share(np.arange(5))
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        refused = pool.submit(write_in_every_way, shared).result()
        view = writable[:]
        view.flags.writeable = False
        with_flag = pool.submit(write_in_every_way, view).result()
        free = pool.submit(write_in_every_way, writable).result()
    assert refused[:3] == ["ValueError"] * 3
    assert "done" not in refused[4:]
    assert shared.tolist() == [0, 1, 2, 3, 4]
    assert free == ["done"] * 7
    if method != "fork":  # which inherited a writable map, and so may lift the flag
        assert refused[3] == "ValueError"
        assert with_flag[:4] == ["ValueError"] * 4
        assert "done" not in with_flag[4:6]


def change_privately(token: str) -> None:
    array = oc.attach(token, "c")
    array[0] = 99
    array.sort()
    print(array.tolist())


def test_13_a_copy_on_write_consumer_changes_nothing_for_the_others() -> None:
    # joblib's read-only maps break those who scratch in their input: sklearn#5956, giotto-tda#428.
    for shared in (oc.share(np.arange(5)), oc.share(np.arange(5)).freeze()):
        ended = roles.run_program("change_privately", shared.token(), module=HERE)
        assert (ended.stdout, ended.stderr) == ("[1, 2, 3, 4, 99]\n", "")
        assert shared.tolist() == [0, 1, 2, 3, 4]


def test_13_private_maps_of_frozen_memory_are_private_on_old_kernels_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # runc#4641: before Linux 5.5 the kernel shares them by mistake.
    shared = oc.share(np.arange(5)).freeze()
    for version in ((4, 19), (5, 4), (5, 5), (6, 1)):
        monkeypatch.setattr(memfd, "_kernel", lambda version=version: version)
        private = oc.attach(shared.token(), "c")
        private[:] = 9
        assert shared.tolist() == [0, 1, 2, 3, 4]


# ---- 14: exact sizes ------------------------------------------------------------------------------


@pytest.mark.parametrize("nbytes", [0, 1, 4095, 4096, 4097, 16384, 16385, 3 * 16384 + 1])
def test_14_sizes_are_exact_whatever_the_pages_of_the_system(nbytes: int) -> None:
    # cpython#101623, arroyo#67: attached sizes are rounded up to pages, of 16 kB on newer Macs.
    shared = oc.share(np.full(nbytes, 7, "u1"))
    assert os.fstat(shared._segment.fd).st_size == HEADER_BYTES + nbytes
    assert len(shared._segment.data) == nbytes
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        assert pool.submit(measure, pickle.dumps(shared)).result() == (nbytes, nbytes, 7 * nbytes)


def measure(pickled: bytes) -> tuple[int, int, int]:
    segment._mapped.clear()  # the fork inherited the map
    array = pickle.loads(pickled)
    return array.nbytes, len(array._segment.data), int(array.sum(dtype="i8"))


def test_14_the_header_needs_no_page_of_its_own() -> None:
    # A map begins at the first byte of the file, so an offset of 4096 is fine with larger pages too.
    assert HEADER_BYTES % 64 == 0
    for array in (oc.shared_empty(3, "f8"), oc.shared_empty(3, [("a", "i1"), ("b", "f8")])):
        assert array.__array_interface__["data"][0] % 64 == 0
    assert named.HEADER_BYTES == HEADER_BYTES


# ---- 15: torn data --------------------------------------------------------------------------------


def fill_and_maybe_die(part: Any, value: int, dies: bool) -> int:
    half = len(part) // 2
    part[:half] = value
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    part[half:] = value
    return value


def test_15_a_writer_killed_mid_block_does_not_look_finished(tmp_path: Path) -> None:
    # The memory itself cannot tell; the future can. Who writes the file only when all futures have resolved
    # never writes a torn one, and whoever was killed is known by his future.
    target = tmp_path / "all.h5"
    whole = oc.shared_empty(4_000, "i8")
    parts = {name: whole[i * 1000 : (i + 1) * 1000] for i, name in enumerate("abcd")}
    with ProcessPoolExecutor(2, multiprocessing.get_context("forkserver")) as pool:
        futures = {
            name: pool.submit(fill_and_maybe_die, part, 7, name == "c") for name, part in parts.items()
        }
        with pytest.raises(BrokenProcessPool):
            futures["c"].result()
        finished = [name for name, future in futures.items() if future.exception() is None]
    assert "c" not in finished
    assert np.count_nonzero(parts["c"]) == 500  # torn
    for name in finished:
        assert (parts[name] == 7).all()
    assert not target.exists()
    with ProcessPoolExecutor(2, multiprocessing.get_context("forkserver")) as pool:  # again, all of them
        assert list(pool.map(fill_and_maybe_die, parts.values(), [7] * 4, [False] * 4)) == [7] * 4
    travel.release()  # what was on its way to the workers that died
    assert all((X[:] == 7).all() for X in oc.combine(parts, target).values())
