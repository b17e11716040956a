"""What a call begins with: nothing, a run that was killed, or a finished target to which files came."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.text import cutting, journal
from outcore.text.ingesting import run
from outcore.text.request import Outcome, Request
from outcore.text.sources import Source
from outcore.text.wishes import Wishes
from tests.text.runs import contents, sources_list, write

TARGETS = ["x.npy", "x.bin", "x.h5::/x"]


class Folder:
    """Files p*.csv of one number each, and what is ingested from them."""

    def __init__(self, path: Path, name: str, **options: Any) -> None:
        self.path = path
        self.out = path / "out"
        self.out.mkdir()
        self.target = str(self.out / name)
        self.options = options

    def write(self, number: int, *values: object, mtime_s: int = 0) -> Path:
        return write(self.path / f"p{number}.csv", "a\n" + "".join(f"{v}\n" for v in values), mtime_s)

    def run(self, dtype: str = "i4", **more: Any) -> Outcome:
        options = {**self.options, **more}
        wishes = {name: options.pop(name) for name in list(options) if name in Wishes.__annotations__}
        return run(self.path / "p*.csv", self.target, Request(Wishes(dtype, **wishes), **options))

    def values(self, **more: Any) -> list[int]:
        return [row[0] for row in self.run(**more).array[:].tolist()]


@pytest.fixture(params=TARGETS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder(tmp_path, request.param)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sources that are opened, in order."""
    found: list[str] = []
    real = Source.open

    def open_(self: Source, *args: Any, **kwargs: Any) -> Any:
        found.append(os.path.basename(self.path))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Source, "open", open_)
    return found


# ---- finished, and grown ----------------------------------------------------------------------------


def test_finished_there_is_nothing_to_do(folder: Folder, opened: list[str]) -> None:
    folder.write(1, 1, 2)
    assert folder.run().before == ""
    before = contents(folder.out)
    opened.clear()
    again = folder.run()
    assert (again.before, again.n_rows, again.n_files) == ("finished", 2, 1)
    assert again.array[:].tolist() == [[1], [2]]
    assert opened == []
    assert contents(folder.out) == before


def test_only_new_files_are_read_and_come_last(folder: Folder, opened: list[str]) -> None:
    folder.write(2, 20)
    folder.write(3, 30, 31)
    assert folder.values() == [20, 30, 31]
    folder.write(1, 10)
    folder.write(4)
    opened.clear()
    grown = folder.run()
    assert (grown.before, grown.n_rows, grown.n_files) == ("grown", 4, 4)
    assert grown.array[:, 0].tolist() == [20, 30, 31, 10]
    assert set(opened) == {"p1.csv", "p4.csv"}
    opened.clear()
    assert folder.run().before == "finished"
    assert opened == []
    folder.write(5, 50)
    assert folder.values() == [20, 30, 31, 10, 50]
    if folder.target.endswith(".npy"):
        listed = [("p2.csv", 0, 1), ("p3.csv", 1, 2), ("p1.csv", 3, 1), ("p4.csv", 4, 0), ("p5.csv", 4, 1)]
        assert sources_list(Path(folder.target)) == listed


def test_a_grown_target_is_that_of_one_run_over_the_same_list(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "x.npy")
    for i in range(1, 6):
        folder.write(i, *range(i))
        folder.run()
    oc.ingest([tmp_path / f"p{i}.csv" for i in range(1, 6)], tmp_path / "y.npy", "i4")
    assert (tmp_path / "out" / "x.npy").read_bytes() == (tmp_path / "y.npy").read_bytes()
    lists = [path / "sources.csv" for path in (tmp_path / "out" / "x.npy.ingest", tmp_path / "y.npy.ingest")]
    assert lists[0].read_bytes() == lists[1].read_bytes()


def test_growth_keeps_the_other_datasets_and_the_layout(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "x.h5::/g/x", compression="gzip", chunks=(1, 1))
    with h5py.File(folder.out / "x.h5", "w") as f:
        f["other"] = np.arange(5)
    folder.write(1, 1)
    folder.run()
    with h5py.File(folder.out / "x.h5", "a") as f:
        f["third"] = np.arange(3)
    assert folder.run().before == "finished"
    folder.write(2, 2)
    assert folder.values() == [1, 2]
    with h5py.File(folder.out / "x.h5") as f:
        assert sorted(f) == ["g", "other", "third"]
        assert (f["g/x"].compression, f["g/x"].chunks) == ("gzip", (1, 1))


def test_growth_behind_rejects(folder: Folder) -> None:
    folder.options = {"on_error": "reject"}
    folder.write(1, 1, "x", 2)
    first = folder.run()
    assert (first.n_rejects, first.rejects) == (1, journal.Sidecar(folder.target).written[2])
    folder.write(2, 3, "y", "z")
    grown = folder.run()
    assert (grown.before, grown.n_rows, grown.n_rejects) == ("grown", 3, 3)
    assert [line.split(",")[-1] for line in Path(grown.rejects).read_text().splitlines()] == [
        "text",
        "x",
        "y",
        "z",
    ]
    elsewhere = folder.path / "r.csv"
    folder.write(3, "w")
    moved = folder.run(rejects=elsewhere)
    assert (moved.n_rejects, moved.rejects) == (4, str(elsewhere))
    assert len(elsewhere.read_text().splitlines()) == 5


def test_what_a_run_leaves_is_no_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "1.csv", "a\n1\nx\n")
    for sources in (".", "*", "**/*", "*.csv", str(tmp_path)):
        for before in ("", "finished"):
            outcome = run(sources, "x.npy", Request(Wishes("i4"), on_error="reject"))
            assert (outcome.before, outcome.n_files) == (before, 1)
        for path in ("x.npy", "x.rejects.csv"):
            os.unlink(path)


def test_a_file_that_is_given_twice_is_read_twice(tmp_path: Path) -> None:
    a, b, c = (write(tmp_path / f"{name}.csv", f"a\n{i}\n") for i, name in enumerate("abc"))
    given = [a, b, a]
    assert oc.ingest(given, tmp_path / "x.npy", "i4")[:, 0].tolist() == [0, 1, 0]
    x = oc.ingest([c, *given], tmp_path / "x.npy", "i4")
    assert x[:, 0].tolist() == [0, 1, 0, 2]
    with pytest.raises(oc.errors.IngestError, match=r"a\.csv was read into(?s:.*)not among the files now"):
        oc.ingest([c, a, b], tmp_path / "x.npy", "i4")


# ---- what is refused --------------------------------------------------------------------------------


def test_a_file_that_changed_is_refused_by_name(folder: Folder) -> None:
    folder.write(1, 1)
    folder.write(2, 2)
    folder.run()
    before = contents(folder.out)
    folder.write(3, 3)
    for values in ((5, 6), (7,)):
        folder.write(2, *values, mtime_s=1000)
        with pytest.raises(oc.errors.IngestError, match=r"(?s)p2\.csv has changed since .*overwrite=True"):
            folder.run()
        assert contents(folder.out) == before
    assert folder.values(overwrite=True) == [1, 7, 3]


def test_a_file_that_is_gone_is_refused_by_name(folder: Folder) -> None:
    for i in (1, 2, 3):
        folder.write(i, i)
    folder.run()
    before = contents(folder.out)
    folder.write(4, 4)
    os.unlink(folder.path / "p2.csv")
    with pytest.raises(oc.errors.IngestError, match=r"p2\.csv was read into(?s:.*)not among the files now"):
        folder.run()
    assert contents(folder.out) == before
    assert folder.values(overwrite=True) == [1, 3, 4]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"dtype": "i8"}, "dtype was 'i4', is 'i8'"),
        ({"na_values": ["x"]}, "na_values was"),
        ({"on_error": "reject"}, "on_error was 'stop', is 'reject'"),
        ({"truncate": True}, "truncate was False, is True"),
        ({"skip_rows": 1}, "skip_rows was 0, is 1"),
    ],
)
def test_other_arguments_are_refused_with_the_difference(
    folder: Folder, more: dict[str, Any], words: str
) -> None:
    folder.write(1, 1)
    folder.run()
    before = contents(folder.out)
    with pytest.raises(oc.errors.ExistsError, match=words):
        folder.run(**more)
    assert contents(folder.out) == before


@pytest.mark.parametrize("more", [{"workers": 2}, {"memory": "64MB"}, {"progress": False}, {"fill": None}])
def test_arguments_that_do_not_change_the_result_may_differ(folder: Folder, more: dict[str, Any]) -> None:
    folder.write(1, 1)
    folder.run()
    assert folder.run(**more).before == "finished"


def test_a_fill_of_nan_is_the_same_as_itself(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "x.npy", fill=float("nan"))
    folder.write(1, 1)
    folder.run("f4")
    assert folder.run("f4").before == "finished"


def test_a_target_that_is_gone_is_made_again(folder: Folder) -> None:
    folder.write(1, 1)
    folder.run()
    os.unlink(folder.target.partition("::")[0])
    again = folder.run()
    assert (again.before, again.n_rows) == ("", 1)


def test_a_target_that_was_replaced_is_left_alone(folder: Folder) -> None:
    folder.write(1, 1)
    folder.run()
    path, _, inner = folder.target.partition("::")
    if inner:
        with h5py.File(path, "a") as f:
            del f["x"]
            f["x"] = np.arange(7)
    else:
        write(Path(path), b"mine", 1000)
    before = contents(folder.out)
    folder.write(2, 2)
    with pytest.raises(oc.errors.ExistsError, match="overwrite is False"):
        folder.run()
    assert contents(folder.out) == before
    assert folder.values(overwrite=True) == [1, 2]


@pytest.mark.parametrize("text", ['{"version": 99}', "not JSON", "[]", '{"version": 1, "record": {"a": 1}}'])
def test_a_record_that_is_not_understood_counts_as_none(tmp_path: Path, text: str) -> None:
    folder = Folder(tmp_path, "x.npy")
    folder.write(1, 1)
    folder.run()
    (folder.out / "x.npy.ingest" / "finished.json").write_text(text)
    with pytest.raises(oc.errors.ExistsError, match="overwrite is False"):
        folder.run()
    assert folder.values(overwrite=True) == [1]
    assert folder.run().before == "finished"


def test_sources_that_are_read_once_leave_a_target_that_is_not_gone_on_with(tmp_path: Path) -> None:
    import io

    for _ in range(2):
        x = oc.ingest(io.BytesIO(b"1,2\n"), tmp_path / "x.npy", "i4", header=False, overwrite=True)
        assert x[:].tolist() == [[1, 2]]
    with pytest.raises(oc.errors.ExistsError):
        oc.ingest(io.BytesIO(b"1,2\n"), tmp_path / "x.npy", "i4", header=False)
    assert sorted(os.listdir(tmp_path / "x.npy.ingest")) == ["schema.json", "sources.csv"]
    source = write(tmp_path / "x.csv", "3,4\n")
    with pytest.raises(oc.errors.ExistsError):
        oc.ingest(source, tmp_path / "x.npy", "i4", header=False)


# ---- a run that was killed --------------------------------------------------------------------------


def cut_off(folder: Folder, monkeypatch: pytest.MonkeyPatch, after: int = 1, **more: Any) -> journal.Sidecar:
    """Leave what a kill leaves, after some chunks (of one file each)."""

    class Killed(BaseException):
        pass

    real = cutting.Cutter.next
    count = [0]

    def next_(self: cutting.Cutter) -> Any:
        if count[0] == after:
            raise KeyboardInterrupt
        count[0] += 1
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(cutting, "MAX_PIECES", 1)
        patch.setattr(cutting.Cutter, "next", next_)
        patch.setattr(journal, "PROCESS_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            folder.run(**{"workers": 1, **more})
    return journal.Sidecar(folder.target)


def test_a_killed_run_goes_on_in_the_middle(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    for i in (1, 2, 3):
        folder.write(i, i)
    killed = cut_off(folder, monkeypatch, 2).interrupted()
    assert killed is not None
    assert (killed.checkpoint.n_rows, killed.checkpoint.place.file) == (2, 2)
    opened.clear()
    outcome = folder.run()
    assert (outcome.before, outcome.array[:, 0].tolist()) == ("resumed", [1, 2, 3])
    assert opened == ["p3.csv"]


def test_cut_off_before_the_first_chunk_nothing_is_lost_or_read_twice(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(2, 20)
    folder.write(3, 30)
    cut_off(folder, monkeypatch, 0)
    assert folder.values() == [20, 30]
    folder.write(1, 10)  # sorts before the others
    cut_off(folder, monkeypatch, 0)
    outcome = folder.run()
    assert (outcome.before, outcome.array[:, 0].tolist()) == ("resumed", [20, 30, 10])
    assert folder.run().before == "finished"
    if folder.target.endswith(".npy"):
        listed = [("p2.csv", 0, 1), ("p3.csv", 1, 1), ("p1.csv", 2, 1)]
        assert sources_list(Path(folder.target)) == listed


def test_files_that_came_since_the_kill_are_read_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(2, 20)
    folder.write(3, 30)
    cut_off(folder, monkeypatch)
    folder.write(1, 10)
    outcome = folder.run()
    assert (outcome.before, outcome.array[:, 0].tolist()) == ("resumed", [20, 10, 30])


def test_a_file_that_changed_since_the_kill(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in (1, 2, 3):
        folder.write(i, i)
    cut_off(folder, monkeypatch)
    folder.write(3, 33, mtime_s=1000)  # not read yet
    assert folder.values() == [1, 2, 33]
    folder.write(4, 4)
    folder.write(5, 5)
    cut_off(folder, monkeypatch)
    folder.write(1, 11, mtime_s=1000)
    before = contents(folder.out)
    with pytest.raises(oc.errors.IngestError, match=r"p1\.csv has changed"):
        folder.run()
    assert contents(folder.out) == before
    assert folder.values(overwrite=True) == [11, 2, 33, 4, 5]
    assert not [name for name in contents(folder.out) if "partial" in name or "run." in name]


def test_the_file_in_work_when_it_was_killed_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, "x.npy")
    folder.write(1, *range(50_000))
    with monkeypatch.context() as patch:
        patch.setattr("outcore.text.room.CHUNK_BYTES", 4096)
        killed = cut_off(folder, patch, 2).interrupted()
    assert killed is not None
    assert killed.checkpoint.place.byte > 4096
    folder.write(1, *range(50_001))
    with pytest.raises(oc.errors.IngestError, match=r"p1\.csv has changed"):
        folder.run()
    assert folder.values(overwrite=True) == list(range(50_001))


def test_other_arguments_begin_anew(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(1, 1)
    folder.write(2, 2)
    cut_off(folder, monkeypatch)
    outcome = folder.run("i8")
    assert (outcome.before, outcome.array.dtype) == ("", np.dtype("i8"))
    assert not [name for name in contents(folder.out) if "partial" in name or "run." in name]


@pytest.mark.parametrize("lost", ["partial", "run.sources.csv", "run.rejects.csv", "run.jsonl"])
def test_what_was_removed_by_hand_is_made_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    folder.options = {"on_error": "reject"}
    folder.write(1, 1, "x")
    folder.write(2, 2)
    sidecar = cut_off(folder, monkeypatch)
    killed = sidecar.interrupted()
    assert killed is not None
    os.unlink(killed.partial if lost == "partial" else sidecar.folder / lost)
    outcome = folder.run()
    assert (outcome.before, outcome.array[:, 0].tolist(), outcome.n_rejects) == ("", [1, 2], 1)
    assert not [name for name in contents(folder.out) if "partial" in name or "run." in name]


def test_a_partial_file_that_was_cut_is_no_rows_of_zeros(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(1, 1)
    folder.write(2, 2)
    killed = cut_off(folder, monkeypatch).interrupted()
    assert killed is not None
    os.truncate(killed.partial, 3)
    with pytest.raises(oc.errors.IngestError, match=r"has 3 bytes; 1 rows"):
        folder.run()
    assert folder.values() == [1, 2]


def test_a_killed_growth_whose_target_was_replaced_is_given_up(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(1, 1)
    folder.run()
    folder.write(2, 2)
    cut_off(folder, monkeypatch)
    os.unlink(folder.target.partition("::")[0])
    outcome = folder.run()
    assert (outcome.before, outcome.array[:, 0].tolist()) == ("", [1, 2])
    assert not [name for name in contents(folder.out) if "partial" in name or "run." in name]


def test_entries_of_another_start_of_the_machine_count_only_if_synced(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in (1, 2, 3):
        folder.write(i, i)
    monkeypatch.setattr(journal, "MACHINE_S", 1e9)
    sidecar = cut_off(folder, monkeypatch, 2)
    monkeypatch.setattr(journal, "_boot", lambda: "another")
    assert sidecar.interrupted() is None
    monkeypatch.setattr(journal, "_boot", lambda: "")  # nobody can tell
    assert sidecar.interrupted() is None
    monkeypatch.setattr(journal, "MACHINE_S", 0.0)
    monkeypatch.setattr(journal, "_boot", lambda: "first")
    sidecar = cut_off(folder, monkeypatch, 2)
    monkeypatch.setattr(journal, "_boot", lambda: "second")
    killed = sidecar.interrupted()
    assert killed is not None
    assert killed.checkpoint.n_rows == 2
    outcome = folder.run()
    assert (outcome.before, outcome.array[:, 0].tolist()) == ("resumed", [1, 2, 3])


def test_a_last_line_that_was_cut_short_does_not_spoil_what_follows(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in (1, 2, 3, 4):
        folder.write(i, i)
    sidecar = cut_off(folder, monkeypatch, 2)
    with open(sidecar.run, "ab") as file:
        file.write(b'{"checkpoint": {"pla')
    sidecar = cut_off(folder, monkeypatch, 1)
    killed = sidecar.interrupted()
    assert killed is not None
    assert killed.checkpoint.n_rows == 3
    assert [json.loads(line) for line in sidecar.run.read_bytes().splitlines()]
    assert folder.values() == [1, 2, 3, 4]


def test_somebody_else_who_has_just_gone_on_is_noticed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in (1, 2, 3):
        folder.write(i, i)
    sidecar = cut_off(folder, monkeypatch)
    real = journal.Sidecar.interrupted
    states = [real(sidecar)]
    monkeypatch.setattr(journal.Sidecar, "interrupted", lambda self: states.pop() if states else real(self))
    with open(sidecar.run, "ab") as file:
        line = json.loads(sidecar.run.read_bytes().splitlines()[-1])
        line["checkpoint"]["n_cut"] = 5
        file.write(json.dumps(line).encode() + b"\n")
    before = contents(folder.out)
    with pytest.raises(oc.errors.WriterConflictError, match="somebody else"):
        folder.run()
    assert contents(folder.out) == before
