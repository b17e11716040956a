from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import outcore as oc
from outcore.errors import NotFoundError, WriterConflictError
from outcore.storage import publish
from outcore.storage.publish import Partial, check_folder, drop_second_names


def partials(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(".partial"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "x.npy"


@pytest.fixture
def stranger(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has begun to write the target."""
    code = (
        "import sys; from outcore.storage.publish import Partial; p = Partial(sys.argv[1], overwrite=True)\n"
        "open(p.path, 'wb').write(b'half'); print('begun', flush=True); sys.stdin.read(); p.commit()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


# ---- whole or not at all --------------------------------------------------------------------------


def test_the_target_appears_with_the_commit_and_not_before(target: Path) -> None:
    partial = Partial(str(target), overwrite=False)
    Path(partial.path).write_bytes(b"rows")
    assert not target.exists()
    assert Path(partial.path).parent == target.parent  # the same file system, so that renaming is one step
    partial.commit()
    assert target.read_bytes() == b"rows"
    assert os.listdir(target.parent) == ["x.npy"]


def test_discard_leaves_the_target_as_it_was(target: Path) -> None:
    target.write_bytes(b"old")
    partial = Partial(str(target), overwrite=True)
    Path(partial.path).write_bytes(b"new")
    partial.discard()
    partial.discard()
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["x.npy"]


def test_a_partial_that_nobody_finished_goes_with_its_owner(target: Path) -> None:
    partial = Partial(str(target), overwrite=False)
    del partial
    assert os.listdir(target.parent) == []


def test_the_old_file_is_whole_until_the_new_one_takes_its_place(target: Path) -> None:
    target.write_bytes(b"old")
    partial = Partial(str(target), overwrite=True)
    Path(partial.path).write_bytes(b"new")
    assert target.read_bytes() == b"old"
    reader = target.open("rb")
    partial.commit()
    assert (reader.read(), target.read_bytes()) == (b"old", b"new")
    reader.close()


def test_data_and_folder_are_brought_to_the_device_before_and_after_the_name(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace, link = os.fsync, os.replace, os.link

    def watched_sync(fd: int) -> None:
        steps.append("sync folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "sync file")
        sync(fd)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "replace", lambda *given: (steps.append("name"), replace(*given)))
    monkeypatch.setattr(os, "link", lambda *given: (steps.append("name"), link(*given)))
    for overwrite in (False, True):
        Partial(str(target), overwrite=overwrite).commit()
    assert steps == ["sync file", "name", "sync folder"] * 2


# ---- targets that are there -----------------------------------------------------------------------


def test_an_existing_target_is_refused_with_its_size(target: Path) -> None:
    target.write_bytes(b"old")
    with pytest.raises(oc.errors.ExistsError, match=r"exists \(3 bytes\)(?s:.*)overwrite=True"):
        Partial(str(target), overwrite=False)
    assert os.listdir(target.parent) == ["x.npy"]


def test_a_link_to_nowhere_is_an_existing_target(target: Path) -> None:
    target.symlink_to("nowhere")
    with pytest.raises(oc.errors.ExistsError):
        Partial(str(target), overwrite=False)


def test_a_folder_is_never_replaced(target: Path) -> None:
    target.mkdir()
    with pytest.raises(oc.errors.ExistsError, match="is a folder"):
        Partial(str(target), overwrite=True)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.NotFoundError, match=f"folder {tmp_path}/no does not exist"):
        Partial(str(tmp_path / "no" / "x.npy"), overwrite=False)


@pytest.mark.parametrize("links", [True, False])
def test_a_target_that_appears_meanwhile_is_kept(
    target: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise OSError(95, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    partial = Partial(str(target), overwrite=False)
    Path(partial.path).write_bytes(b"mine")
    target.write_bytes(b"theirs")
    with pytest.raises(oc.errors.ExistsError):
        partial.commit()
    partial.discard()
    assert target.read_bytes() == b"theirs"
    assert os.listdir(target.parent) == ["x.npy"]


def test_without_hard_links_the_file_still_gets_its_name(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise OSError(95, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    partial = Partial(str(target), overwrite=False)
    Path(partial.path).write_bytes(b"rows")
    partial.commit()
    assert os.listdir(target.parent) == ["x.npy"]


# ---- other writers --------------------------------------------------------------------------------


def test_a_second_writer_of_this_process_is_refused(target: Path) -> None:
    first = Partial(str(target), overwrite=True)
    with pytest.raises(oc.errors.WriterConflictError, match="written by somebody else"):
        Partial(str(target), overwrite=True)
    assert partials(target.parent) == [os.path.basename(first.path)]
    first.commit()
    Partial(str(target), overwrite=True).discard()


def test_a_second_writer_of_another_process_is_refused(target: Path, stranger: subprocess.Popen[str]) -> None:
    with pytest.raises(oc.errors.WriterConflictError):
        Partial(str(target), overwrite=True)
    stranger.communicate("")
    assert target.read_bytes() == b"half"
    Partial(str(target), overwrite=True).discard()


def test_the_next_writer_removes_what_a_killed_one_left(
    target: Path, stranger: subprocess.Popen[str]
) -> None:
    os.kill(stranger.pid, signal.SIGKILL)
    stranger.communicate()
    (leftover,) = partials(target.parent)
    assert not target.exists()
    partial = Partial(str(target), overwrite=False)
    assert partials(target.parent) == [os.path.basename(partial.path)] != [leftover]
    partial.commit()


def test_files_of_other_targets_are_left_alone(tmp_path: Path) -> None:
    names = [
        ".y.npy.0123456789ab.partial",
        ".x.npy.0123.partial",
        "x.npy.0123456789ab.partial",
        ".x.npy.partial",
    ]
    for name in names:
        (tmp_path / name).touch()
    Partial(str(tmp_path / "x.npy"), overwrite=False).discard()
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_names_that_mean_something_to_glob(tmp_path: Path) -> None:
    folder = tmp_path / "[a]*"
    folder.mkdir()
    first = Partial(str(folder / "x[1]?.npy"), overwrite=False)
    with pytest.raises(oc.errors.WriterConflictError):
        Partial(str(folder / "x[1]?.npy"), overwrite=False)
    first.commit()
    assert os.listdir(folder) == ["x[1]?.npy"]


def test_of_writers_that_begin_at_the_same_moment_no_two_go_on(tmp_path: Path) -> None:
    for attempt in range(40):
        target, started, refused = tmp_path / f"{attempt}.npy", [], []
        together = threading.Barrier(4)

        def begin(target=target, started=started, refused=refused, together=together) -> None:
            together.wait()
            try:
                started.append(Partial(str(target), overwrite=True))
            except oc.errors.WriterConflictError as error:
                refused.append(error)

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(started) <= 1
        assert len(started) + len(refused) == 4
        for partial in started:
            partial.commit()
            assert target.exists()
    assert partials(tmp_path) == []


def test_a_file_taken_for_a_dead_writers_before_it_was_locked_is_given_up(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between making the file and locking it, another writer finds it unlocked and removes it.
    lock = publish._try_lock

    def too_late(fd: int) -> bool:
        os.unlink(os.readlink(f"/proc/self/fd/{fd}"))
        return lock(fd)

    monkeypatch.setattr(publish, "_try_lock", too_late)
    with pytest.raises(oc.errors.WriterConflictError, match="at the same moment"):
        Partial(str(target), overwrite=False)


# ---- forked children ------------------------------------------------------------------------------


def test_a_forked_child_that_ends_does_not_remove_the_parents_file(target: Path) -> None:
    partial: Partial | None = Partial(str(target), overwrite=False)
    assert partial is not None
    Path(partial.path).write_bytes(b"rows")
    child = os.fork()
    if child == 0:
        try:
            partial.discard()  # what leaving a with block with an error does ...
            partial = None  # ... and what collecting it does
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    partial.commit()
    assert target.read_bytes() == b"rows"


def test_the_lock_holds_while_the_parent_writes_though_a_child_has_ended(target: Path) -> None:
    partial = Partial(str(target), overwrite=False)
    child = os.fork()
    if child == 0:
        try:
            del partial
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(oc.errors.WriterConflictError):
        Partial(str(target), overwrite=False)
    partial.discard()


# ---- kept and taken over ----------------------------------------------------------------------------


def test_a_kept_file_is_taken_over_as_it_is(tmp_path: Path) -> None:
    target = str(tmp_path / "x")
    kept = Partial(target, overwrite=False)
    Path(kept.path).write_bytes(b"rows")
    kept.keep()
    assert os.listdir(tmp_path) == [os.path.basename(kept.path)]
    again = Partial(target, overwrite=False, resume=kept.path)
    assert Path(again.path).read_bytes() == b"rows"
    again.commit()
    assert (tmp_path / "x").read_bytes() == b"rows"
    assert os.listdir(tmp_path) == ["x"]


def test_a_kept_file_that_nobody_takes_over_goes_with_the_next_writer(tmp_path: Path) -> None:
    kept = Partial(str(tmp_path / "x"), overwrite=False)
    kept.keep()
    Partial(str(tmp_path / "x"), overwrite=False).discard()
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_still_being_written_is_not_taken_over(tmp_path: Path) -> None:
    target = str(tmp_path / "x")
    living = Partial(target, overwrite=False)
    with pytest.raises(WriterConflictError, match="is locked"):
        Partial(target, overwrite=False, resume=living.path)
    assert os.path.exists(living.path)
    living.commit()
    with pytest.raises(WriterConflictError, match="has just gone"):
        Partial(target, overwrite=True, resume=living.path)


def test_taking_over_removes_the_other_dead_files(tmp_path: Path) -> None:
    target = str(tmp_path / "x")
    kept = Partial(target, overwrite=False)
    kept.keep()
    (tmp_path / ".x.0123456789ab.partial").write_bytes(b"dead")
    again = Partial(target, overwrite=False, resume=kept.path)
    assert os.listdir(tmp_path) == [os.path.basename(again.path)]
    again.discard()
    assert os.listdir(tmp_path) == []


def test_second_names_of_a_finished_file_can_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"rows")
    os.link(tmp_path / "x", tmp_path / ".x.0123456789ab.partial")
    (tmp_path / ".x.ba9876543210.partial").write_bytes(b"another's")
    (tmp_path / "y").symlink_to("x")
    drop_second_names(str(tmp_path / "y"))
    assert sorted(os.listdir(tmp_path)) == [".x.ba9876543210.partial", "x", "y"]


def test_a_missing_folder(tmp_path: Path) -> None:
    check_folder(str(tmp_path / "x"))
    with pytest.raises(NotFoundError, match=r"no does not exist(?s:.*)makedirs"):
        check_folder(str(tmp_path / "no" / "x"))
