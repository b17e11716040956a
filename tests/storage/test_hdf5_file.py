from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.storage import hdf5_file
from outcore.storage.hdf5_file import briefly_open, dataset_names, disk_errors, listed, open_h5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.arange(100.0), chunks=(10,), compression="lzf")
    return tmp_path / "x.h5"


@contextmanager
def held(path: Path, mode: str) -> Iterator[None]:
    """Another process has the file open."""
    source = "import h5py, sys; f = h5py.File(*sys.argv[1:]); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", source, str(path), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield
        other.communicate(b"")


# ---- not a file to open ---------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"hello world" * 100], ids=["empty", "text"])
def test_not_an_hdf5_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(
        oc.errors.FormatError, match=rf"x\.h5 is not an HDF5 file: it begins with {content[:8]!r}"
    ):
        oc.open(tmp_path / "x.h5::/x")


def test_a_truncated_file(path: Path) -> None:
    size = path.stat().st_size
    for cut in (size - 1, size // 2, 100):
        os.truncate(path, cut)
        with pytest.raises(
            oc.errors.TruncatedError, match=rf"x\.h5 has {cut} bytes; its HDF5 header says {size}"
        ):
            oc.open(path)


def test_a_damaged_file(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[96:800] = b"\xff" * 704
    path.write_bytes(content)
    with pytest.raises(oc.errors.FormatError, match=r"x\.h5 cannot be read as HDF5: .*\n.*damaged"):
        oc.open(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.NotFoundError, match=r"x\.h5 does not exist"):
        open_h5(str(tmp_path / "x.h5"))
    with pytest.raises(oc.errors.FormatError, match="is a folder"):
        open_h5(str(tmp_path))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(path: Path) -> None:
    path.chmod(0)
    with pytest.raises(PermissionError):
        open_h5(str(path))


# ---- locks ----------------------------------------------------------------------------------------


def test_a_file_that_another_process_writes(path: Path) -> None:
    with (
        held(path, "r+"),
        pytest.raises(oc.errors.WriterConflictError, match="another process is writing it"),
    ):
        oc.open(path)
    with oc.open(path) as array:
        assert array[5] == 5


def test_a_file_that_another_process_reads(path: Path) -> None:
    with held(path, "r"):
        with oc.open(path) as array:
            assert array[5] == 5
        writable = oc.open(path, mode="r+")
        with pytest.raises(oc.errors.WriterConflictError, match="another process is using it"):
            writable[5] = 6
    writable[5] = 6
    writable.close()
    with oc.open(path) as array:
        assert array[5] == 6


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_lock_that_is_held_only_briefly_is_waited_for(
    path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = held(path, "r+")
    other.__enter__()
    monkeypatch.setattr(hdf5_file, "PATIENCE_S", 60)
    monkeypatch.setattr(hdf5_file.time, "sleep", lambda _: other.__exit__(None, None, None))
    with open_h5(str(path), mode) if mode == "r+" else briefly_open(str(path)) as file:
        assert file["x"][5] == 5


def test_a_file_that_this_process_has_open_to_read(path: Path) -> None:
    reader = h5py.File(path)
    writable = oc.open(path, mode="r+")
    with pytest.raises(oc.errors.WriterConflictError, match="this process has it open to read"):
        writable[5] = 6
    reader.close()
    writable[5] = 6
    writable.close()


def test_a_file_whose_writer_was_killed(tmp_path: Path) -> None:
    source = """
import h5py, sys, os
file = h5py.File(sys.argv[1], "w", libver="latest")
file["x"] = 1
file.flush()
os._exit(1)
"""
    subprocess.run([sys.executable, "-c", source, str(tmp_path / "x.h5")], check=False)
    with pytest.raises(oc.errors.WriterConflictError, match=r"marked as open for writing(.|\n)*h5clear -s"):
        oc.open(tmp_path / "x.h5")


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("locking", [None, False, True, "best-effort"])
def test_handles_that_the_user_has_do_not_get_in_the_way(path: Path, mode: str, locking: object) -> None:
    with h5py.File(path, mode, locking=locking), oc.open(path) as array:
        assert array[5] == 5


# ---- full disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_only_a_full_disk_is_called_that(path: Path, kind: type[Exception]) -> None:
    text = "Can't write (file write failed: errno = %d, error message = '...')"
    size = path.stat().st_size
    full = pytest.raises(oc.errors.DiskFullError, match=f"full at byte {size} of ")
    with full, disk_errors(str(path)):
        raise kind(text % errno.ENOSPC)
    with pytest.raises(kind, match="errno = 5,"), disk_errors(str(path)):
        raise kind(text % errno.EIO)


# ---- names ----------------------------------------------------------------------------------------


def test_names_are_listed_up_to_a_limit(path: Path) -> None:
    assert listed([]) == "there are no datasets in it"
    with h5py.File(path, "r+") as file:
        assert listed(dataset_names(file)) == "there are: /x"
        for i in range(50):
            file[f"g/{i:02}/y"] = i
        assert dataset_names(file["g/07"]) == ["/g/07/y"]
        names = dataset_names(file)
        assert len(names) == 21
        assert listed(names).count("/y") == 20
        assert listed(names).endswith("/g/19/y, ...")
