"""Segments with a name, for other systems; forced here, and Windows' sections faked."""

from __future__ import annotations

import errno
import fcntl
import gc
import mmap
import multiprocessing
import os
import pickle
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import outcore as oc
from outcore.errors import HandleLimitError, MemoryBudgetError, SegmentGoneError
from outcore.shared import named, sharing, travel
from outcore.shared.header import HEADER_BYTES
from outcore.testing import assert_same
from tests.shared import roles


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make segments as other POSIX systems do, in a folder of the test."""
    monkeypatch.setattr(sharing, "BACKEND", named)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path / f"outcore-{os.getuid()}"
    gc.collect()  # tracebacks of what was raised on purpose
    assert named.files() == []


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_lies_in_a_file_of_its_user_and_goes_with_its_last_array(place: Path, order: Any) -> None:
    before = roles.fds()
    shared = oc.share(np.arange(6.0).reshape(2, 3), order=order)
    [path] = named.files()
    assert path.parent == place
    assert place.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_blocks * 512 >= HEADER_BYTES + shared.nbytes  # no SIGBUS when the disk is full
    assert_same(np.asarray(shared), np.arange(6.0).reshape(2, 3))
    part = np.asarray(shared[1:])
    del shared
    assert named.files() == [path]
    del part
    assert named.files() == []
    assert roles.fds() == before


def test_it_can_be_sparse(place: Path) -> None:
    sparse = oc.shared_empty(1 << 40, "u1", reserve=False)
    sparse[-1] = 1
    assert named.files()[0].stat().st_blocks * 512 < 1 << 22


def test_it_pickles_and_attaches_by_name(place: Path) -> None:
    shared = oc.share(np.arange(5))
    other = pickle.loads(pickle.dumps(shared[1:]))
    other[0] = 9
    assert shared.tolist() == [0, 9, 2, 3, 4]
    private = oc.attach(shared.token(), "c")
    private[0] = 7
    assert shared[0] == 0
    shared.freeze()
    assert not pickle.loads(pickle.dumps(shared)).flags.writeable


def double(array: Any, mode: str) -> Any:
    assert (array.flags.writeable, array._segment.fd) == (mode == "r+", -1)
    if mode == "r+":
        array *= 2
    return array[1:]


@pytest.mark.parametrize("method", roles.METHODS)
def test_it_travels_between_processes(place: Path, method: str) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        shared = oc.share(np.arange(4))
        back = pool.apply(double, (shared, "r+"))
        assert back.tolist() == [2, 4, 6]
        assert np.shares_memory(back, shared)
        frozen = oc.share(np.arange(4)).freeze()
        assert pool.apply(double, (frozen, "r")).tolist() == [1, 2, 3]
        pool.close()
        pool.join()
    travel.sweep()


def share_named(folder: str) -> None:
    sharing.BACKEND = named
    tempfile.tempdir = folder
    made = oc.share(np.arange(4))
    print(made.token())
    sys.stdout.flush()
    os.kill(os.getpid(), 9)


def test_after_everybody_was_killed_the_next_segment_removes_the_file(place: Path) -> None:
    token = roles.run_program("share_named", place.parent, module="tests.shared.test_named").stdout
    assert len(named.files()) == 1
    oc.shared_empty(1)
    assert named.files() == []
    with pytest.raises(SegmentGoneError):
        oc.attach(token)


def test_what_somebody_has_is_not_removed(place: Path) -> None:
    shared = oc.share(np.arange(4))
    token = shared.token()
    named.sweep()
    assert oc.attach(token).tolist() == [0, 1, 2, 3]
    assert len(named.files()) == 1


def test_a_forked_child_that_ends_takes_nothing_with_it(place: Path) -> None:
    shared = oc.share(np.arange(4))
    if (pid := os.fork()) == 0:
        del shared
        os._exit(len(named.files()) - 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert oc.attach(shared.token()).tolist() == [0, 1, 2, 3]


def test_nothing_but_its_own_files_is_swept(place: Path) -> None:
    kept = [named.folder() / name for name in (".rings", "a.ticket", "1-x.ticket", "0" * 31, "0" * 33)]
    for path in kept:
        path.write_text("precious")
    folder = named.folder() / ("0" * 32)
    folder.mkdir()
    being_made = named.folder() / ("1" * 32)
    being_made.touch()
    oc.shared_empty(1)
    assert all(path.read_text() == "precious" for path in kept)
    assert folder.is_dir()
    assert being_made.exists()
    folder.rmdir()
    being_made.unlink()


def test_a_link_in_place_of_the_folder_is_refused(place: Path, tmp_path: Path) -> None:
    # Or whoever can write to the folder above chooses which files are deleted.
    home = tmp_path / "home"
    home.mkdir()
    (home / ("a" * 32)).write_text("precious")
    place.symlink_to(home)
    with pytest.raises(PermissionError, match=r"only you may write to.\nSet TMPDIR"):
        oc.shared_empty(1)
    assert (home / ("a" * 32)).exists()
    place.unlink()


def test_a_folder_that_others_may_write_to_is_refused(place: Path) -> None:
    named.folder().chmod(0o777)
    with pytest.raises(PermissionError, match="only you"):
        oc.shared_empty(1)
    assert named.files() == []


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/zero", "/nowhere", "../" + "a" * 32, "a" * 32, ""])
def test_a_path_to_something_else_is_no_segment(place: Path, path: str) -> None:
    assert named.attach(path, bytes(16), "r") is None


def test_a_file_that_is_no_segment_is_none(place: Path) -> None:
    path = named.folder() / ("a" * 32)
    path.write_bytes(b"x" * 10000)
    assert named.attach(str(path), bytes(16), "r") is None
    os.unlink(path)
    before = roles.fds()
    path.mkdir()
    assert named.attach(str(path), bytes(16), "r+") is None
    path.rmdir()
    assert roles.fds() == before


def test_what_fails_on_the_way_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = roles.fds()
    steps = [
        (os, "ftruncate"),
        (os, "posix_fallocate"),
        (os, "pwrite"),
        (named, "map_file"),
        (fcntl, "flock"),
    ]
    for owner, name in steps:
        for number, expected in [(errno.ENOSPC, MemoryBudgetError), (errno.EMFILE, HandleLimitError)]:

            def fail(*args: Any, number: int = number, **kwargs: Any) -> Any:
                raise OSError(number, os.strerror(number))

            with monkeypatch.context() as patched:
                patched.setattr(owner, name, fail)
                with pytest.raises(expected):
                    oc.shared_empty(10, reserve=name != "ftruncate")
            assert named.files() == []
            assert roles.fds() == before


def test_no_descriptor_left_to_attach_it_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = oc.share(np.arange(4))

    def full(*args: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        with pytest.raises(HandleLimitError, match="receiving a shared array"):
            named.attach(shared._segment.path, shared._segment.nonce, "r")


def test_without_memfd_a_handle_keeps_its_memory_until_it_was_loaded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(travel, "_sent", None)
    shared = oc.share(np.arange(4))
    nonce = shared._segment.nonce
    first, second = pickle.dumps(shared), pickle.dumps(shared[1:])
    del shared
    assert travel.travelling() == {nonce: 2}
    assert pickle.loads(first).tolist() == [0, 1, 2, 3]
    assert pickle.loads(first).tolist() == [0, 1, 2, 3]
    assert travel.travelling() == {nonce: 1}
    assert travel.release(nonce) == 1
    assert travel.travelling() == {}
    with pytest.raises(SegmentGoneError):
        len(pickle.loads(second))


# ---- Windows --------------------------------------------------------------------------------------


class View(np.ndarray):
    """A map of a section, which keeps it."""

    section: Section


class Section:
    """What Windows does with `mmap.mmap(-1, size, tagname=…)`, as far as its documentation tells."""

    PAGE = 4096
    alive: ClassVar[weakref.WeakValueDictionary[str, Section]] = weakref.WeakValueDictionary()

    def __init__(self, size: int) -> None:
        self.memory = mmap.mmap(-1, -(-size // self.PAGE) * self.PAGE)

    @classmethod
    def open(cls, size: int, name: str, access: int) -> Any:
        section = cls.alive.get(name)
        if section is None:
            section = cls.alive[name] = cls(size)
        if size > len(section.memory):
            raise PermissionError(13, "Access is denied")
        whole = np.frombuffer(section.memory, np.uint8)[: -(-size // cls.PAGE) * cls.PAGE]
        if access == mmap.ACCESS_COPY:
            whole = whole.copy()
        view = whole.view(View)
        view.section = section
        view.flags.writeable = access != mmap.ACCESS_READ
        return memoryview(view)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "BACKEND", named)
    monkeypatch.setattr(named, "_LOCKS", False)
    monkeypatch.setattr(named, "_section", Section.open)


def test_a_section_has_exactly_the_size_of_its_array(windows: None) -> None:
    # cpython#101623: Windows rounds sizes up to whole pages.
    shared = oc.share(np.arange(5, dtype="u1"))
    assert shared._segment.path.startswith("Local\\outcore-")
    other = oc.attach(shared.token())
    assert (other.shape, other.nbytes, other.tolist()) == ((5,), 5, [0, 1, 2, 3, 4])
    found = named.attach(shared._segment.path, shared._segment.nonce, "r+")
    assert found is not None
    assert len(found.data) == 5


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_modes_of_a_section(windows: None, mode: str) -> None:
    shared = oc.share(np.arange(5))
    found = named.attach(shared._segment.path, shared._segment.nonce, mode)
    assert found is not None
    array = np.asarray(found).view("i8")
    assert array.flags.writeable == (mode != "r")
    if mode != "r":
        array[0] = 9
    assert shared[0] == (9 if mode == "r+" else 0)


def test_a_section_whose_holders_have_ended_is_gone_and_not_made_anew(windows: None) -> None:
    # cpython#91044: it vanishes with its last handle; opening it by name would make an empty one.
    shared = oc.share(np.arange(5))
    token, path = shared.token(), shared._segment.path
    del shared
    with pytest.raises(SegmentGoneError):
        oc.attach(token)
    assert path not in Section.alive


def test_elsewhere_there_are_no_sections() -> None:
    with pytest.raises(NotImplementedError, match="Windows"):
        named._section(10, "x", mmap.ACCESS_READ)


@pytest.mark.parametrize("number", [8, 1455])
def test_errors_of_windows_that_mean_no_memory(number: int) -> None:
    from outcore.shared.memory_limits import explain

    error = OSError(errno.EINVAL, "The paging file is too small")
    error.winerror = number
    assert isinstance(explain(error, 100, "a shared array"), MemoryBudgetError)
