from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import outcore as oc
from outcore.errors import StaleArrayError
from outcore.storage.file import MAX_BUFFERS, PortableFile, PosixFile, open_file, verify
from outcore.storage.protocol import Fingerprint

CLASSES = [PosixFile, PortableFile]
BYTES = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "x").write_bytes(BYTES)
    return str(tmp_path / "x")


def buffers(*sizes: int) -> list[memoryview]:
    return [memoryview(bytearray(size)) for size in sizes]


# ---- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_buffers_are_filled_one_after_the_other(path: str, kind: type[PosixFile]) -> None:
    file, into = kind(path), buffers(3, 0, 700, 1)
    file.read(5, into)
    assert b"".join(into) == BYTES[5:709]
    file.close()


def test_as_many_buffers_as_one_call_takes(path: str) -> None:
    file, into = open_file(path), buffers(*[2] * MAX_BUFFERS)
    file.read(0, into)
    assert b"".join(into) == BYTES[: 2 * MAX_BUFFERS]
    file.close()


@pytest.mark.parametrize("most", [1, 7, 100])
def test_short_reads_are_continued(path: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.preadv

    def short(fd: int, into: list[memoryview], offset: int, *flags: int) -> int:
        return whole(fd, [into[0][:most]], offset, *flags)

    file, into = PosixFile(path), buffers(20, 300, 1)
    monkeypatch.setattr(os, "preadv", short)
    file.read(9, into)
    assert b"".join(into) == BYTES[9:330]
    file.close()


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("offset", [0, 9000, len(BYTES), len(BYTES) + 5])
def test_a_read_behind_the_end_names_where_the_file_ends(
    path: str, kind: type[PosixFile], offset: int
) -> None:
    file = kind(path)
    first_missing = max(offset, len(BYTES))
    with pytest.raises(
        oc.errors.StaleArrayError, match=f"ends at byte {len(BYTES)}; byte {first_missing} was asked"
    ):
        file.read(offset, buffers(100, len(BYTES)))
    file.close()


@pytest.mark.parametrize("kind", CLASSES)
def test_threads_do_not_disturb_each_others_position(path: str, kind: type[PosixFile]) -> None:
    file, wrong = kind(path, writable=True), []

    def work(seed: int) -> None:
        for i in range(200):
            into, offset = buffers(50), (seed * 977 + i * 131) % 9000
            file.read(offset, into)
            if bytes(into[0]) != BYTES[offset : offset + 50]:
                wrong.append(offset)
            file.write(offset, memoryview(BYTES)[offset : offset + 50])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert wrong == []
    assert Path(path).read_bytes() == BYTES


@pytest.mark.parametrize("kind", CLASSES)
def test_a_forked_child_does_not_move_the_parents_position(path: str, kind: type[PosixFile]) -> None:
    file = kind(path)
    file.read(0, buffers(10))
    child = os.fork()
    if child == 0:
        try:
            for offset in range(0, 9000, 10):
                file.read(offset, buffers(10))
        finally:
            os._exit(0)
    for offset in range(0, 9000, 10):
        into = buffers(10)
        file.read(offset, into)
        assert bytes(into[0]) == BYTES[offset : offset + 10]
    os.waitpid(child, 0)
    file.close()


@pytest.mark.parametrize("change", [os.unlink, lambda path: os.replace(_another(path), path)])
def test_a_portable_file_that_lost_its_name_is_stale_in_a_new_thread(
    path: str, change: Callable[[str], None]
) -> None:
    # It has to be opened by name once more there.
    file = PortableFile(path)
    file.read(0, buffers(1))
    change(path)
    errors: list[Exception] = []

    def work() -> None:
        try:
            file.read(0, buffers(1))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    file.close()
    assert [type(error) for error in errors] == [oc.errors.StaleArrayError]


def _another(path: str) -> str:
    Path(path + "2").write_bytes(BYTES)
    return path + "2"


def aligned(n_bytes: int) -> memoryview:
    return memoryview(mmap.mmap(-1, n_bytes))


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("wanted", [4096, 8192, 10_240, 10_239])
def test_reading_past_the_page_cache_up_to_the_end(path: str, kind: type[PosixFile], wanted: int) -> None:
    file, room = kind(path), aligned(12_288)
    file.read_direct(0, room, wanted)
    assert room[:wanted] == BYTES[:wanted]
    file.read_direct(4096, room[:8192], 10_240 - 4096)
    assert room[: 10_240 - 4096] == BYTES[4096:]
    with pytest.raises(StaleArrayError, match="ends at byte 10240; byte 10240 was asked for"):
        file.read_direct(8192, room[:4096], 2049)
    file.close()


def test_a_file_system_without_direct_reads(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(self: PosixFile) -> int:
        asked.append(1)
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(PosixFile, "_open_direct", refuse)
    file, room = PosixFile(path), aligned(12_288)
    file.read_direct(4096, room[:8192], 6000)
    assert room[:6000] == BYTES[4096:10_096]
    file.close()
    assert asked


def test_another_failure_of_a_direct_read_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: PosixFile) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(PosixFile, "_open_direct", fail)
    file = PosixFile(path)
    with pytest.raises(OSError, match="broken"):
        file.read_direct(0, aligned(4096), 4096)
    file.close()


def test_direct_reads_are_of_the_file_that_was_opened(path: str) -> None:
    file, room = PosixFile(path), aligned(4096)
    os.replace(write_other(path), path)
    file.read_direct(0, room, 4096)
    assert room == BYTES[:4096]
    descriptors = len(os.listdir("/proc/self/fd"))
    file.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors - (2 if file._finalizers[1:] else 1)


def write_other(path: str) -> str:
    with open(path + "2", "wb") as other:
        other.write(bytes(10_240))
    return path + "2"


# ---- the page cache -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="needs preadv2")
def test_what_was_just_read_is_resident_and_what_was_dropped_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(1 << 22))
    file = PosixFile(str(path))
    os.fsync(file.fd)
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    if file.resident(1 << 21):
        pytest.skip("this file system keeps its pages")
    file.read(1 << 21, buffers(1))
    assert file.resident(1 << 21)
    assert not file.resident(1 << 22)  # behind the end
    file.close()


def test_residency_on_tmpfs_is_told_by_another_call(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "not here")

    file = PosixFile(path)
    file.read(0, buffers(1))
    monkeypatch.setattr(os, "preadv", refuse)
    assert file.resident(0)
    assert not file.resident(len(BYTES) + 1)
    file.close()


def test_the_mapping_grows_with_the_file(path: str) -> None:
    file = PosixFile(path, writable=True)
    assert bytes(file.mapping()) == BYTES
    file.write(len(BYTES), memoryview(b"more"))
    assert bytes(file.mapping()) == BYTES + b"more"
    assert not file.mapping().flags.writeable
    file.close()


# ---- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
def test_written_bytes_and_a_hole_before_them(tmp_path: Path, kind: type[PosixFile]) -> None:
    (tmp_path / "new").touch()
    file = kind(str(tmp_path / "new"), writable=True)
    file.write(10, memoryview(b"hello"))
    file.sync()
    assert file.size() == 15
    file.truncate(12)
    file.close()
    assert (tmp_path / "new").read_bytes() == bytes(10) + b"he"


def test_short_writes_are_continued(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, data[:7], offset))
    file = PosixFile(path, writable=True)
    file.write(3, memoryview(b"x" * 100))
    file.close()
    assert Path(path).read_bytes() == BYTES[:3] + b"x" * 100 + BYTES[103:]


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EINVAL])
def test_space_is_reserved_also_where_the_file_system_cannot(
    path: str, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = PosixFile(path, writable=True)
    file.reserve(20_000)
    assert file.size() == 20_000

    def refuse(*given: object) -> None:
        raise OSError(error, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    file.reserve(30_000)
    assert file.size() == 30_000
    file.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_byte_and_the_file(
    path: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> int:
        raise OSError(code, "full")

    file = PosixFile(path, writable=True)
    monkeypatch.setattr(os, "pwrite", fail)
    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(oc.errors.DiskFullError, match=f"full at byte 77 of {path}"):
        file.write(77, memoryview(b"x"))
    with pytest.raises(oc.errors.DiskFullError) as caught:
        file.reserve(10**6)
    assert caught.value.errno == errno.ENOSPC
    file.close()


def test_another_failure_stays_what_it_is(path: str) -> None:
    file = PosixFile(path)  # opened to read
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write(0, memoryview(b"x"))
    file.close()


# ---- opening and closing --------------------------------------------------------------------------


def test_a_missing_file_names_the_nearest_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(oc.errors.NotFoundError, match=str(tmp_path / "there")):
        open_file(str(tmp_path / "there" / "no" / "x.npy"))


@pytest.mark.parametrize("kind", CLASSES)
def test_a_closed_file_is_never_read_under_the_number_of_another(path: str, kind: type[PosixFile]) -> None:
    file = kind(path)
    file.read(0, buffers(1))
    file.close()
    file.close()
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]  # take the numbers that became free
    for use in (
        lambda: file.read(0, buffers(1)),
        file.mapping,
        file.size,
        lambda: file.write(0, memoryview(b"x")),
    ):
        with pytest.raises(OSError, match="Bad file descriptor"):
            use()
    for fd in others:
        os.close(fd)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_dropped_file_is_closed(path: str, kind: type[PosixFile]) -> None:
    file: Any = kind(path)
    file.read(0, buffers(1))
    fd = file.fd
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


# ---- the same file? -------------------------------------------------------------------------------


def test_a_file_is_the_same_after_it_was_written_in_place(path: str) -> None:
    file = open_file(path, writable=True)
    before = file.fingerprint()
    os.utime(path, ns=(1, 1))
    file.write(0, memoryview(b"other"))
    verify(file, before, len(BYTES))
    file.close()


def test_a_replaced_file_is_another(path: str) -> None:
    file = open_file(path)
    before = file.fingerprint()
    file.close()
    os.replace(_another(path), path)
    file = open_file(path)
    with pytest.raises(oc.errors.StaleArrayError, match="was replaced"):
        verify(file, before, len(BYTES))
    file.close()


def test_a_reused_inode_is_another_file_by_its_birth_time(path: str) -> None:
    file = open_file(path)
    found = file.fingerprint()
    if found.birth_ns is None:
        pytest.skip("this file system tells no birth time")
    elder = Fingerprint(found.inode, found.birth_ns - 1, found.mtime_ns, found.size)
    with pytest.raises(oc.errors.StaleArrayError, match="was replaced"):
        verify(file, elder, len(BYTES))
    file.close()


def test_without_birth_times_the_time_of_change_decides(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = open_file(path)
    now = file.fingerprint()
    same, other = (Fingerprint(now.inode, None, now.mtime_ns + change, now.size) for change in (0, 1))
    monkeypatch.setattr(PosixFile, "fingerprint", lambda self: same)
    verify(file, same, len(BYTES))
    with pytest.raises(oc.errors.StaleArrayError):
        verify(file, other, len(BYTES))
    file.close()


def test_a_cut_file_names_both_sizes(path: str) -> None:
    file = open_file(path)
    with pytest.raises(oc.errors.StaleArrayError, match=f"has {len(BYTES)} bytes left of the 99999"):
        verify(file, file.fingerprint(), 99_999)
    file.close()
