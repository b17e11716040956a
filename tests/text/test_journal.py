"""The record of a run, and of a finished target."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.text import journal
from outcore.text.journal import Checkpoint, Fingerprint, Finished, Journal, Sidecar, marks
from outcore.text.places import Place

START: dict[str, Any] = {
    "wishes": {"dtype": "i4"},
    "plan": "{}",
    "partial": "no",
    "grows": False,
    "before": None,
}
NAMES = ["a.csv", 'with "quotes", commas\nand lines.csv', "é.csv", "\udcff.csv"]


@pytest.fixture
def sidecar(tmp_path: Path) -> Sidecar:
    found = Sidecar(tmp_path / "x.npy")
    found.folder.mkdir()
    return found


def place(n: int) -> Checkpoint:
    return Checkpoint(Place(n, 10 * n, n + 1), Fingerprint(f"f{n}", n, n), n_rows=n)


def test_names_of_what_stands_beside_a_target(tmp_path: Path) -> None:
    flat, inner = Sidecar(tmp_path / "x.npy"), Sidecar(f"{tmp_path}/x.h5::/g/x")
    assert (flat.folder.name, flat.rejects.name) == ("x.npy.ingest", "x.rejects.csv")
    assert (inner.folder.name, inner.rejects.name) == ("x.h5.g.x.ingest", "x.g.x.rejects.csv")
    assert Sidecar(tmp_path / "x.npy", "r.csv").rejects == Path("r.csv")
    assert flat.written == (str(tmp_path / "x.npy"), str(flat.folder), str(flat.rejects))


def test_the_last_entry_counts(sidecar: Sidecar) -> None:
    assert sidecar.interrupted() is None
    run = Journal(sidecar, START, None)
    assert sidecar.interrupted() is None  # nothing to go on from yet
    run.write(place(1), synced=False)
    run.write(place(2), synced=True, complete=[1, 2])
    found = sidecar.interrupted()
    run.close()
    assert found is not None
    assert (found.checkpoint, found.complete, found.wishes) == (place(2), [1, 2], START["wishes"])


def test_every_cut_of_the_journal_gives_an_entry_before_it(sidecar: Sidecar) -> None:
    run = Journal(sidecar, START, None)
    ends = []
    for i in range(4):
        run.write(place(i), synced=False)
        ends.append(sidecar.run.stat().st_size)
    run.close()
    whole = sidecar.run.read_bytes()
    for size in range(len(whole) + 1):
        sidecar.run.write_bytes(whole[:size])
        found = sidecar.interrupted()
        n_whole = sum(end <= size for end in ends)
        assert (found.checkpoint if found else None) == (place(n_whole - 1) if n_whole else None)


@pytest.mark.parametrize("damage", [b"\0" * 100, b"[1]\n", b"12\n", b"\xff\n"])
def test_blocks_that_reached_the_device_out_of_order(sidecar: Sidecar, damage: bytes) -> None:
    run = Journal(sidecar, START, None)
    run.write(place(1), synced=False)
    run.close()
    with open(sidecar.run, "ab") as file:
        file.write(damage)
    found = sidecar.interrupted()
    assert found is not None
    assert found.checkpoint == place(1)


def test_a_journal_of_a_newer_version_is_passed_over(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(journal, "VERSION", 99)
        run = Journal(sidecar, START, None)
        run.write(place(1), synced=True)
        run.close()
    assert sidecar.interrupted() is None


def test_the_list_of_files_goes_on_behind_a_checkpoint(sidecar: Sidecar) -> None:
    run = Journal(sidecar, START, None)
    for i, name in enumerate(NAMES):
        run.add_source(Fingerprint(f"/{name}", i, 10 * i), i, 1)
    reached = Checkpoint(Place(4, 0, 1), sources_bytes=run.sources_bytes)
    run.write(reached, synced=False)
    run.add_source(Fingerprint("/lost", 1, 1), 4, 1)
    run.close()
    found = list(sidecar.recorded(running=True, nbytes=reached.sources_bytes))
    assert found == [Fingerprint(f"/{name}", i, 10 * i) for i, name in enumerate(NAMES)]
    assert len(list(sidecar.recorded(running=True))) == 5
    run = Journal(sidecar, START, reached)
    run.add_source(Fingerprint("/next", 1, 1), 4, 1)
    run.close()
    assert [one.path for one in sidecar.recorded(running=True)] == [f"/{name}" for name in [*NAMES, "next"]]
    again = sidecar.interrupted()
    assert again is not None
    assert again.checkpoint == reached


def test_without_resuming_there_is_only_the_list_of_files(sidecar: Sidecar) -> None:
    run = Journal(sidecar, START, None, resumable=False)
    run.add_source(Fingerprint("/a", 1, 1), 0, 1)
    run.write(place(1), synced=True)
    run.close()
    assert sidecar.interrupted() is None
    assert [one.path for one in sidecar.recorded(running=True)] == ["/a"]


def test_entries_are_not_written_all_the_time(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    run = Journal(sidecar, START, None)
    assert not run.due()
    now[0] += journal.PROCESS_S
    assert (run.due(), run.sync_due()) == (True, False)
    run.write(place(1), synced=False)
    assert not run.due()
    now[0] += journal.MACHINE_S
    assert (run.due(), run.sync_due()) == (True, True)
    run.write(place(1), synced=True)
    assert not run.sync_due()
    run.close()


def test_a_disk_that_is_full_is_named(sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Journal(sidecar, START, None)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(oc.errors.DiskFullError, match=r"run\.sources\.csv"):
            run.write(place(1), synced=True)
    run.close()


def record(sidecar: Sidecar, n_rejects: int = 0) -> Finished:
    done = Checkpoint(Place(2, 0, 1), n_rows=5, n_rejects=n_rejects, rejects_bytes=100 * n_rejects)
    return sidecar.record({"dtype": "i4"}, '{"a": 1}', [1, 2], done)


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("n_rejects", [0, 1])
def test_finishing_may_be_done_again(sidecar: Sidecar, times: int, n_rejects: int) -> None:
    run = Journal(sidecar, START, None)
    run.write(place(1), synced=False)
    run.close()
    if n_rejects:
        sidecar.run_rejects.write_text("rejects")
    (sidecar.folder / ".schema.json.123.partial").write_text("left by a kill")
    for _ in range(times):
        sidecar.finish(record(sidecar, n_rejects), repeatable=True)
    assert sidecar.finished() == record(sidecar, n_rejects)
    assert sidecar.schema.read_text() == '{"a": 1}'
    assert sorted(os.listdir(sidecar.folder)) == ["finished.json", "schema.json", "sources.csv"]
    assert sidecar.rejects.exists() == bool(n_rejects)
    assert sidecar.interrupted() is None


def test_rejects_of_a_target_that_was_replaced_go_with_it(sidecar: Sidecar) -> None:
    for n_rejects in (1, 0):
        Journal(sidecar, START, None).close()
        if n_rejects:
            sidecar.run_rejects.write_text("rejects")
        sidecar.finish(record(sidecar, n_rejects), repeatable=True)
    assert not sidecar.rejects.exists()
    sidecar.rejects.write_text("mine")
    sidecar.finish(record(sidecar), repeatable=True)
    assert sidecar.rejects.read_text() == "mine"


def test_what_is_written_anew_is_there_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    journal.replace_text(path, "one\udcff")
    assert path.read_bytes() == b"one\xff"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.replace_text(path, "two")
    assert path.read_bytes() == b"one\xff"
    assert os.listdir(tmp_path) == ["x.json"]


def test_marks_survive_a_rename_and_tell_a_change(tmp_path: Path) -> None:
    one, other = tmp_path / "1", tmp_path / "2"
    assert marks(str(one)) is None
    one.write_text("abc")
    found = marks(str(one))
    one.rename(other)
    assert marks(str(other)) == found
    os.utime(other, ns=(1, 1))
    assert marks(str(other)) == [3, 1]


def test_marks_of_a_dataset_do_not_depend_on_the_others(tmp_path: Path) -> None:
    path = str(tmp_path / "x.h5")
    assert marks(path, "/x") is None
    with h5py.File(path, "w") as f:
        f["x"] = np.zeros((3, 2), "f4")
    assert marks(path, "/x") == [3, 2, 4]
    with h5py.File(path, "a") as f:
        f["y"] = np.zeros(5)
    assert marks(path, "/x") == [3, 2, 4]
    assert marks(path, "/z") is None


def test_the_record_can_be_read_by_people(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2\n")
    oc.ingest(tmp_path / "a.csv", tmp_path / "x.npy", "i4", header=False)
    found = json.loads((tmp_path / "x.npy.ingest" / "finished.json").read_text())
    assert found["version"] == journal.VERSION
    assert (found["record"]["n_rows"], found["record"]["wishes"]["dtype"]) == (1, "i4")
