"""Segments of Linux: sealed, private to the user, refused where the memory is not there."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.errors import HandleLimitError, MemoryBudgetError, OutcoreError, ReadOnlyError, SegmentGoneError
from outcore.shared import memfd, travel
from outcore.shared.header import HEADER_BYTES
from tests.shared import roles

F_SEAL_EXEC = 0x20


def test_a_segment_cannot_change_its_size() -> None:
    shared = oc.share(np.arange(1000))
    for size in (0, HEADER_BYTES, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(shared._segment.fd, size)
    with pytest.raises(PermissionError):
        os.posix_fallocate(shared._segment.fd, 1 << 20, 4096)
    assert shared.sum() == 499500


def test_it_is_not_inherited_by_other_programs_and_not_for_other_users() -> None:
    shared = oc.share(np.arange(3))
    fd = shared._segment.fd
    assert not os.get_inheritable(fd)
    assert os.fstat(fd).st_mode & 0o777 == 0o600
    listed = subprocess.run(
        ["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False
    ).stdout
    assert "memfd:outcore:" not in listed


def test_it_is_not_in_dev_shm() -> None:
    before = set(os.listdir("/dev/shm"))
    shared = oc.share(np.arange(3))
    assert os.readlink(f"/proc/self/fd/{shared._segment.fd}").startswith("/memfd:outcore:test_memfd.py:")
    assert not {name for name in set(os.listdir("/dev/shm")) - before if "outcore" in name}


def test_what_is_given_is_written_whole_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(
        os,
        "pwrite",
        lambda fd, data, at: (
            real(fd, bytes(data)[: max(1, len(data) // 2)], at) if len(data) < 4096 else real(fd, data, at)
        ),
    )
    values = np.arange(100)
    np.testing.assert_array_equal(oc.share(values), values)


# ---- freezing -------------------------------------------------------------------------------------


def test_a_frozen_segment_is_refused_by_the_kernel_by_every_way() -> None:
    shared = oc.share(np.arange(10))
    shared.freeze()
    fd = shared._segment.fd
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)  # the same user may open it
    try:
        for number in (fd, again):
            with pytest.raises(PermissionError):
                os.write(number, b"x")
            with pytest.raises(PermissionError):
                os.pwrite(number, b"x", HEADER_BYTES)
            with pytest.raises(PermissionError):
                mmap.mmap(number, 4096)
            mmap.mmap(number, 4096, prot=mmap.PROT_READ).close()
    finally:
        os.close(again)
    assert shared.tolist() == list(range(10))


def test_attaching_to_read_makes_a_map_that_cannot_be_made_writable() -> None:
    shared = oc.share(np.arange(10))
    ended = roles.run_program("write_to_a_reader", shared.token(), module="tests.shared.test_memfd")
    assert ended.stderr == ""
    assert ended.stdout.split() == ["ValueError", "ValueError", "PermissionError", "OSError", "-11"]
    assert shared.tolist() == list(range(10))


def write_to_a_reader(token: str) -> None:
    array = oc.attach(token, "r")
    fd = array._segment.fd

    def store() -> None:
        array[0] = 1

    attempts: list[Callable[[], Any]] = [
        store,
        lambda: array.setflags(write=True),
        lambda: mmap.mmap(fd, 4096),
        lambda: os.pwrite(fd, b"x", HEADER_BYTES),
    ]
    for attempt in attempts:
        try:
            attempt()
            print("done")
        except (ValueError, OSError) as error:
            print(type(error).__name__)
    if (pid := os.fork()) == 0:  # past NumPy and the system calls, the processor refuses
        import ctypes

        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        __import__("faulthandler").disable()
        ctypes.memset(array.__array_interface__["data"][0], 1, 1)
        os._exit(0)
    print(-os.WTERMSIG(os.waitpid(pid, 0)[1]))


@pytest.mark.parametrize("kernel", [(5, 4), (5, 5)])
def test_private_maps_of_frozen_segments_are_private_on_every_kernel(
    kernel: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # runc#4641: before Linux 5.5 a private map of a sealed file was a shared one, so a copy is made.
    monkeypatch.setattr(memfd, "_kernel", lambda: kernel)
    shared = oc.share(np.arange(5)).freeze()
    private = oc.attach(shared.token(), "c")
    maps = [line for line in maps_here() if "/memfd:outcore:" in line and " rw-p " in line]
    assert bool(maps) == (kernel == (5, 5))
    private[0] = 9
    assert (private[0], shared[0]) == (9, 0)
    assert private[1:].tolist() == [1, 2, 3, 4]


def test_before_linux_5_1_only_numpy_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.fcntl

    def old(fd: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_ADD_SEALS and argument == 0x10:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(fd, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", old)
    shared = oc.share(np.arange(5)).freeze()
    assert not shared.flags.writeable
    assert oc.attach(shared.token(), "r+").flags.writeable


def test_other_errors_of_sealing_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = oc.share(np.arange(5))
    with pytest.raises(OSError, match="Bad file"):
        memfd.freeze(10**6)
    assert shared.flags.writeable


# ---- kernels --------------------------------------------------------------------------------------


def test_it_is_made_without_the_right_to_be_executed() -> None:
    # lxc#4315: without the flag newer kernels complain in their log.
    if memfd._kernel() < (6, 3):
        pytest.skip("MFD_NOEXEC_SEAL came with Linux 6.3")
    assert fcntl.fcntl(oc.shared_empty(3)._segment.fd, fcntl.F_GET_SEALS) & F_SEAL_EXEC


def test_a_kernel_that_knows_no_such_flag_is_asked_without(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = os.memfd_create, []

    def old(name: str, flags: int) -> int:
        asked.append(flags)
        if flags & 0x8:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(name, flags)

    monkeypatch.setattr(os, "memfd_create", old)
    assert oc.share(np.arange(3)).tolist() == [0, 1, 2]
    assert [flags & 0x8 for flags in asked] == [0x8, 0]


@pytest.mark.parametrize(
    ("release", "version"), [("6.18.44-fc-v669", (6, 18)), ("5.4.0-rc1+", (5, 4)), ("4.19", (4, 19))]
)
def test_the_version_of_the_kernel(
    release: str, version: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.release", lambda: release)
    assert memfd._kernel() == version


# ---- what fails -----------------------------------------------------------------------------------

STEPS = {
    "memfd_create": (os, "memfd_create"),
    "fchmod": (os, "fchmod"),
    "ftruncate": (os, "ftruncate"),
    "pwrite": (os, "pwrite"),
    "posix_fallocate": (os, "posix_fallocate"),
    "seals": (fcntl, "fcntl"),
    "map": (memfd, "map_file"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), MemoryBudgetError),
        (OSError(errno.ENOSPC, "No space left on device"), MemoryBudgetError),
        (OSError(errno.EMFILE, "Too many open files"), HandleLimitError),
        (OSError(errno.ENFILE, "Too many open files in system"), HandleLimitError),
        (OSError(errno.EIO, "Input/output error"), OSError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=lambda value: getattr(value, "strerror", None) or str(value),
)
def test_what_fails_on_the_way_leaves_no_descriptor(
    step: str, raised: BaseException, expected: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise raised

    before = roles.fds()
    with monkeypatch.context() as patched:
        patched.setattr(*STEPS[step], fail)
        with pytest.raises(expected) as caught:
            oc.shared_empty(10)
        if isinstance(caught.value, OutcoreError):
            assert "shape (10,) and dtype float64" in str(caught.value)
            assert caught.value.__cause__ is raised
    assert roles.fds() == before
    assert oc.shared_empty(10).sum() == 0


def test_the_limit_of_descriptors_is_named_with_its_cure() -> None:
    ended = roles.run_program("use_up_descriptors", module="tests.shared.test_memfd")
    assert ended.stderr == ""
    soft, text = ended.stdout.split("\n", 1)
    assert f"all {soft} of this process are in use" in text
    assert "ulimit -n" in text
    assert "oc.shared_empty((n, ...))" in text


def use_up_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
    arrays = []
    try:
        while True:
            arrays.append(oc.shared_empty(1))
    except HandleLimitError as error:
        print(50)
        print(error)
    assert 30 < len(arrays) < 50
    del arrays[-1]
    arrays.append(oc.shared_empty(1))


def test_interrupting_signals_do_not_stop_the_reservation() -> None:
    # A profiler's timer: each signal undoes what a call to the kernel has reserved so far.
    ended = roles.run_program("reserve_under_signals", module="tests.shared.test_memfd")
    assert (ended.stdout, ended.stderr) == ("True\n", "")


def reserve_under_signals() -> None:
    n_signals = 0

    def count(*args: Any) -> None:
        nonlocal n_signals
        n_signals += 1

    signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    made = oc.shared_empty(1 << 29, "u1")
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(os.fstat(made._segment.fd).st_blocks * 512 >= 1 << 29)


def test_without_reservation_pages_come_when_they_are_touched() -> None:
    sparse = oc.shared_empty(1 << 40, "u1", reserve=False)
    blocks = os.fstat(sparse._segment.fd).st_blocks
    sparse[1 << 39] = 1
    touched = os.fstat(sparse._segment.fd).st_blocks - blocks
    assert 0 < touched * 512 <= 1 << 21
    reserved = oc.shared_empty(1 << 20, "u1")
    assert os.fstat(reserved._segment.fd).st_blocks * 512 >= 1 << 20


# ---- opening --------------------------------------------------------------------------------------


def something_else(kind: str) -> list[int]:
    """Open something; the first number is to take the place of the segment."""
    match kind:
        case "socket":
            return [part.detach() for part in socket.socketpair()]
        case "pipe":
            return list(os.pipe())
        case "folder":
            return [os.open("/", os.O_RDONLY)]
        case "program that runs":
            return [os.open(sys.executable, os.O_RDONLY)]
        case "eventfd":
            return [os.eventfd(0)]
        case "device":
            return [os.open("/dev/null", os.O_RDWR)]
        case "deleted file":
            return [os.open("/tmp", os.O_TMPFILE | os.O_RDWR)]
        case "memfd of a stranger":
            return [os.memfd_create("outcore:no.py:1")]
        case "another segment":
            other = oc.share(np.arange(5))
            return [os.dup(other._segment.fd)]
    return []


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize(
    "kind",
    [
        *("nothing", "socket", "pipe", "folder", "program that runs", "eventfd", "device", "deleted file"),
        *("memfd of a stranger", "another segment"),
    ],
)
def test_a_descriptor_that_means_something_else_by_now_is_never_an_array(kind: str, mode: str) -> None:
    shared = oc.share(np.arange(5))
    token, number = shared.token(), shared._segment.fd
    del shared
    opened = something_else(kind)
    try:
        if opened and opened[0] != number:
            os.dup2(opened[0], number, inheritable=False)
            opened.append(number)
        with pytest.raises(SegmentGoneError):
            oc.attach(token, mode)  # type: ignore[arg-type]
    finally:
        for fd in set(opened):
            os.close(fd)


def test_a_handle_to_a_descriptor_that_is_a_socket_by_now_does_not_break_unpickling() -> None:
    shared = oc.share(np.arange(5))
    pickled, number = pickle.dumps(shared), shared._segment.fd
    travel.release(shared._segment.nonce)
    del shared
    opened = something_else("socket")
    try:
        if number not in opened:
            os.dup2(opened[0], number, inheritable=False)
            opened.append(number)
        lost = pickle.loads(pickled)
    finally:
        for fd in opened:
            os.close(fd)
    with pytest.raises(SegmentGoneError, match="has let go of it"):
        len(lost)


def test_a_segment_shorter_than_its_header_says_is_not_mapped() -> None:
    shared = oc.share(np.arange(5000))
    page = os.pread(shared._segment.fd, HEADER_BYTES, 0)
    fd = os.memfd_create("outcore:short.py:1")
    try:
        os.pwrite(fd, page, 0)
        assert memfd.attach(f"/proc/self/fd/{fd}", shared._segment.nonce, "r+") is None
    finally:
        os.close(fd)


def test_a_wrong_number_is_another_segment() -> None:
    shared = oc.share(np.arange(5))
    assert memfd.attach(f"/proc/self/fd/{shared._segment.fd}", bytes(16), "r") is None


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_no_descriptor_left_to_open_it_is_a_handle_limit_error(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = oc.share(np.arange(5))

    def full(*args: Any, **kwargs: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = roles.fds()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        with pytest.raises(HandleLimitError, match="receiving a shared array needs a file descriptor"):
            memfd.attach(f"/proc/self/fd/{shared._segment.fd}", shared._segment.nonce, mode)
    assert roles.fds() == before


def test_a_map_that_fails_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = oc.share(np.arange(5))
    before = roles.fds()

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(memfd, "map_file", full)
    with pytest.raises(
        MemoryBudgetError, match=r"receiving a shared array needs 4\.1 kB .*(\n.*)*vm\.max_map_count"
    ):
        memfd.attach(f"/proc/self/fd/{shared._segment.fd}", shared._segment.nonce, "r")
    assert roles.fds() == before


def test_a_frozen_segment_is_not_opened_to_write() -> None:
    shared = oc.share(np.arange(5)).freeze()
    before = roles.fds()
    with pytest.raises(ReadOnlyError, match=r"made at test_memfd\.py:\d+ in .* was frozen"):
        memfd.attach(f"/proc/self/fd/{shared._segment.fd}", shared._segment.nonce, "r+")
    assert roles.fds() == before


def maps_here() -> list[str]:
    return Path("/proc/self/maps").read_text().splitlines()
