"""The folder of a run: made where there is room, gone afterwards."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

import outcore as oc
from outcore.demo import place
from outcore.demo.place import KEPT_PREFIX, PREFIX, workplace

Usage = namedtuple("Usage", "total used free")


def test_the_folder_goes_with_the_block(tmp_path: Path) -> None:
    with workplace(str(tmp_path), 0, keep=False) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "x").write_bytes(b"x")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_kept_folder_stays_and_the_next_run_leaves_it(tmp_path: Path) -> None:
    with workplace(str(tmp_path), 0, keep=True) as kept:
        pass
    os.utime(kept, (0, 0))
    with workplace(str(tmp_path), 0, keep=False):
        pass
    assert list(tmp_path.iterdir()) == [kept]
    assert kept.name.startswith(KEPT_PREFIX)


def test_too_little_room_is_known_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**9))
    with (
        pytest.raises(oc.errors.DiskFullError, match=r"needs 2\.1 GB; .* has 1\.0 GB free"),
        workplace(str(tmp_path), 2 * 10**9, keep=False),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with (
        pytest.raises(oc.errors.NotFoundError, match="mkdir -p"),
        workplace(str(tmp_path / "missing"), 0, keep=False),
    ):
        pass


def test_the_folder_of_a_killed_run_goes_and_that_of_a_live_one_stays(tmp_path: Path) -> None:
    dead, alive, young = (tmp_path / f"{PREFIX}{name}" for name in ("dead", "alive", "young"))
    for folder in (dead, alive, young):
        folder.mkdir()
        (folder / "x").write_bytes(b"x")
    for folder in (dead, alive):
        os.utime(folder, (0, 0))
    fd = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with workplace(str(tmp_path), 0, keep=False):
            pass
    finally:
        os.close(fd)
    assert {folder.name for folder in tmp_path.iterdir()} == {alive.name, young.name}


def test_by_default_the_folder_is_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk = tmp_path / "disk"
    on_disk.mkdir()
    monkeypatch.setattr(place, "in_memory", lambda folder: folder != on_disk)
    monkeypatch.chdir(on_disk)
    with workplace(None, 0, keep=False) as folder:
        assert folder.parent == on_disk


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a file system in memory")
def test_a_file_system_in_memory_is_recognised() -> None:
    assert place.in_memory(Path("/dev/shm/below"))
