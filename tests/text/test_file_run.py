"""Runs that are killed, interrupted or fail, at any step: what is left, and how the same call goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.text import journal, pipeline, room
from outcore.text.targets import FlatTarget
from tests.text.runs import contents, options, sources_list, write, write_sources

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")

LONG = os.environ.get("OUTCORE_TESTS") == "long"
PROGRAM = Path(__file__).parent / "killing.py"
TARGETS = {
    "npy": ("x.npy", {}),
    "hdf5": ("x.h5::/g/x", {}),
    "gzip": ("x.h5::/g/x", {"compression": "gzip"}),
    "raw": ("x.bin", {}),
    "rejects": ("x.npy", {"on_error": "reject"}),
    "hdf5 rejects": ("x.h5::/g/x", {"on_error": "reject"}),
    "mask": ("x.npy", {"on_error": "mask", "fill": 0}),
}


def kill(folder: Path, kind: str, kills: list[list[int]], **more: Any) -> list[dict[str, Any]]:
    """Run scenarios; return what the program tells of each, the one without kills first."""
    name, wishes = TARGETS[kind]
    spec = {
        "sources": str(folder / "in" / "part*"),
        "target": str(folder / "out" / name),
        "options": options(workers=2, **wishes),
        "chunk_bytes": 1 << 13,
        "clean": str(folder / "out"),
        "kills": kills,
        **more,
    }
    (folder / "out").mkdir(exist_ok=True)
    ran = subprocess.run(
        [sys.executable, PROGRAM, json.dumps(spec)], capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(found) == len(kills) + 1, ran.stderr
    return found


def check(scenarios: list[dict[str, Any]], *, before: str = "") -> None:
    """Check that each scenario left the files of the first one, and that its last child really went on."""
    for scenario in scenarios:
        *killed, last = scenario["children"]
        assert scenario["differing"] == [], scenario
        assert last["status"] == 0, scenario
        assert last["n_rows"] == scenarios[0]["children"][0]["n_rows"], scenario
        for child in killed:
            assert child["status"] in (0, signal.SIGKILL), scenario  # a run may need fewer steps
        if not killed or killed[-1]["status"] == 0:
            continue
        found = last["found"]
        assert (
            last["before"] == {"nothing": before, "entry": "resumed", "complete": "finished"}[found["state"]]
        )
        if last["first_row"] is not None and found["state"] == "entry":
            assert last["first_row"] == found["row"], scenario  # nothing is read twice


@pytest.mark.parametrize("kind", TARGETS)
def test_killed_at_random_steps_and_run_again(tmp_path: Path, kind: str) -> None:
    write_sources(tmp_path / "in", 4, 2000 if LONG else 700, faults="reject" in kind or kind == "mask")
    n_steps = kill(tmp_path, kind, [])[0]["children"][0]["steps"]
    assert n_steps > 60
    choose = random.Random(kind)
    points = choose.sample(range(n_steps), 20 if LONG else 4)
    # A run that goes on has fewer steps left, so the second kill comes early.
    kills = [[at] if i % 3 else [at, choose.randrange(20)] for i, at in enumerate(points)]
    check(kill(tmp_path, kind, kills))


@pytest.mark.parametrize("kind", ["npy", "hdf5", "rejects", "hdf5 rejects"])
def test_killed_before_each_step_of_the_end(tmp_path: Path, kind: str) -> None:
    write_sources(tmp_path / "in", 2, 20, faults="reject" in kind)
    n_steps = kill(tmp_path, kind, [], finish=True)[0]["children"][0]["steps"]
    assert n_steps > 12
    # In short runs every second step, and the others where there are rejects.
    chosen = range(n_steps) if LONG else range("rejects" in kind, n_steps, 2)
    check(kill(tmp_path, kind, [[i] for i in chosen], finish=True))


@pytest.mark.parametrize("kind", ["npy", "hdf5", "rejects", "hdf5 rejects"])
@pytest.mark.parametrize("what", ["grown", "replaced"])
def test_killed_before_each_step_of_the_end_where_a_target_was_there(
    tmp_path: Path, kind: str, what: str
) -> None:
    name, wishes = TARGETS[kind]
    faulty = "reject" in kind
    write_sources(tmp_path / "in", 2, 20, faults=faulty)
    for folder in ("out", "before"):
        (tmp_path / folder).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "out")
        if "hdf5" in kind:
            oc.create("x.h5::/other", (3,), "i4").close()
        oc.ingest(tmp_path / "in" / "part*", name, **options(**wishes))
    for path in (tmp_path / "out").iterdir():
        path.rename(tmp_path / "before" / path.name)
    more: dict[str, Any] = {"before": str(tmp_path / "before"), "finish": True}
    if what == "grown":
        write_sources(tmp_path / "more", 3, 20, faults=faulty)
        (tmp_path / "more" / "part2.csv").rename(tmp_path / "in" / "part0b.csv")
    else:
        more["options"] = options(workers=2, overwrite=True, **wishes)
    first = kill(tmp_path, kind, [], **more)[0]["children"][0]
    assert first["before"] == ("grown" if what == "grown" else "")
    chosen = range(first["steps"]) if LONG else range(0, first["steps"], 3)
    scenarios = kill(tmp_path, kind, [[i] for i in chosen], **more)
    for scenario in scenarios:
        assert scenario["differing"] == [], scenario
        assert scenario["children"][-1]["n_rows"] == first["n_rows"]


# ---- Ctrl-C -----------------------------------------------------------------------------------------

INTERRUPTED = """
import os, sys, time
import outcore as oc
from outcore.text import journal, room
from outcore.text.targets import FlatTarget
room.CHUNK_BYTES, journal.PROCESS_S = 1 << 12, 0.0
real = FlatTarget.write
def write(target, start, rows):
    real(target, start, rows)
    if start > 2000 and sys.argv[3] == "wait":
        os.write(1, b"written\\n")  # in one piece: the other worker writes too
        time.sleep(0.05)
FlatTarget.write = write
oc.ingest(sys.argv[1], sys.argv[2], "i4", progress=False, workers=2)
"""


@pytest.mark.parametrize("name", ["x.npy", "x.h5::/x"])
def test_interrupted_it_keeps_its_work_and_goes_on(tmp_path: Path, name: str) -> None:
    write(tmp_path / "x.csv", "a,b\n" + "".join(f"{i},{2 * i}\n" for i in range(20_000)))
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", INTERRUPTED, tmp_path / "x.csv", tmp_path / "out" / name]
    with subprocess.Popen([*command, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert b"KeyboardInterrupt" in errors
    assert b"The same call goes on where it stopped" in errors
    found = journal.Sidecar(str(tmp_path / "out" / name)).interrupted()
    assert found is not None
    assert found.checkpoint.n_rows > 2000
    assert not (tmp_path / "out" / name).exists()
    subprocess.run([*command, "on"], check=True)
    assert np.array_equal(oc.open(tmp_path / "out" / name)[:, 1], 2 * np.arange(20_000))
    assert not [path for path in contents(tmp_path / "out") if "partial" in path or "run." in path]


def test_interrupted_before_there_is_anything_to_keep_it_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x.csv", "a,b\n1,x\n")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("outcore.text.file_run.complete_plan", stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        oc.ingest(tmp_path / "x.csv", tmp_path / "x.npy")
    assert not getattr(caught.value, "__notes__", [])
    assert os.listdir(tmp_path) == ["x.csv"]


def test_interrupted_with_sources_that_are_read_once_it_leaves_nothing(tmp_path: Path) -> None:
    class Stopping:
        def __init__(self) -> None:
            self.count = 0

        def read(self, n: int) -> bytes:
            self.count += 1
            if self.count > 3:
                raise KeyboardInterrupt
            return b"1,2\n" * (n // 4)

    with pytest.raises(KeyboardInterrupt):
        oc.ingest(Stopping(), tmp_path / "x.npy", "i4", header=False, delimiter=",")
    assert os.listdir(tmp_path) == []


# ---- errors -----------------------------------------------------------------------------------------


def bad_at_the_end(folder: Path) -> Path:
    return write(folder / "x.csv", "a,b\n" + "1,2\n" * 20_000 + "1,x\n")


@pytest.mark.parametrize("name", ["x.npy", "x.bin", "x.h5::/x"])
@pytest.mark.parametrize("error", ["ingest", "memory", "tick", "journal", "finish"])
def test_an_error_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: str
) -> None:
    monkeypatch.setattr(room, "CHUNK_BYTES", 1 << 12)
    monkeypatch.setattr(journal, "PROCESS_S", 0.0)
    more: dict[str, Any] = {}
    kind: type[BaseException] = MemoryError
    if error == "ingest":
        kind = oc.errors.IngestError
    else:
        (tmp_path / "x.csv").write_text("1,2\n" * 20_000)

    def stop(*_: object, **__: object) -> None:
        raise MemoryError("all of it")

    if error == "ingest":
        bad_at_the_end(tmp_path)
    elif error == "memory":
        monkeypatch.setattr("outcore.text.parse.rows", stop)
    elif error == "tick":
        monkeypatch.setattr(pipeline, "TICK_S", 0.0)
        more["progress"] = stop
    elif error == "journal":
        monkeypatch.setattr(journal.Journal, "add_source", stop)
    else:
        monkeypatch.setattr(FlatTarget, "finish", stop)
    with pytest.raises(kind):
        oc.ingest(tmp_path / "x.csv", tmp_path / name, "i4", workers=2, **more)
    assert os.listdir(tmp_path) == ["x.csv"]


@pytest.mark.parametrize("name", ["x.npy", "x.h5::/x"])
def test_an_error_leaves_the_target_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p1.csv", "a,b\n1,2\n")
    oc.ingest("p*.csv", f"out/{name}", "i4")
    before = contents(tmp_path / "out")
    write(tmp_path / "p2.csv", "a,b\n1,x\n")
    for overwrite in (False, True):
        with pytest.raises(oc.errors.IngestError, match=r"p2\.csv:2:2"):
            oc.ingest("p*.csv", f"out/{name}", "i4", overwrite=overwrite)
        assert contents(tmp_path / "out") == before


FULL = """
import resource, sys
import outcore as oc
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    oc.ingest(sys.argv[1], sys.argv[2], "f8", progress=False)
except oc.errors.DiskFullError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("name", "limit"), [("x.npy", 100_000), ("x.h5::/x", 100_000), ("x.h5::/x", 320_300)]
)
def test_a_full_disk_leaves_nothing(tmp_path: Path, name: str, limit: int) -> None:
    # 20 001 rows of two float64: 320 016 bytes, and those of a header; the HDF5 file has a little more.
    write(tmp_path / "x.csv", "a,b\n" + "1,2\n" * 20_001)
    ran = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "x.csv", tmp_path / name, str(limit)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "the disk is full" in ran.stdout
    assert os.listdir(tmp_path) == ["x.csv"]


def test_a_record_that_cannot_be_written_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "x.csv", "a,b\n1,2\n")

    def stop(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "replace_text", stop)
        patch.setattr(journal.Journal, "__init__", journal.Journal.__init__)
        with pytest.raises(OSError, match="No space"):
            oc.ingest(source, tmp_path / "x.npy")
    assert os.listdir(tmp_path) == ["x.csv"]
    real = journal.Sidecar.finish
    with monkeypatch.context() as patch:
        patch.setattr(journal.Sidecar, "finish", stop)
        with pytest.raises(OSError, match="No space"):
            oc.ingest(source, tmp_path / "x.npy")
    assert journal.Sidecar.finish is real
    assert oc.ingest(source, tmp_path / "x.npy", progress=lambda *_: pytest.fail("read again"))[
        :
    ].tolist() == [[1, 2]]
    assert sources_list(tmp_path / "x.npy") == [("x.csv", 0, 1)]


# ---- before anything is read ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["no/x.npy", "no/x.h5::/x"])
def test_a_missing_folder_is_noticed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = write(tmp_path / "x.csv", "a,b\n1,2\n")
    monkeypatch.setattr("outcore.text.file_run.first_plan", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(oc.errors.NotFoundError, match="does not exist"):
        oc.ingest(source, tmp_path / name)
    with pytest.raises(oc.errors.NotFoundError, match="does not exist"):
        oc.ingest(source, tmp_path / "x.npy", on_error="reject", rejects=tmp_path / "no" / "r.csv")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dtype": "a:U b:i4"}, oc.errors.DTypeError),
        ({"chunks": (3, 3)}, oc.errors.OptionError),
        ({"compression": "fast"}, oc.errors.OptionError),
    ],
)
def test_what_hdf5_cannot_hold_is_noticed_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], error: type[Exception]
) -> None:
    source = write(tmp_path / "x.csv", "a,b\nx,2\n")
    monkeypatch.setattr("outcore.text.file_run.complete_plan", lambda *_, **__: pytest.fail("work was done"))
    with pytest.raises(error):
        oc.ingest(source, tmp_path / "x.h5::/x", **options)
    assert os.listdir(tmp_path) == ["x.csv"]


def test_text_that_is_not_ascii_becomes_bytes_in_hdf5(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", "a,b\né,2\nx,3\n")
    assert oc.ingest(source, tmp_path / "x.h5::/x")[:].tolist() == [("é".encode(), 2), (b"x", 3)]


def test_a_file_that_is_no_list_of_rejects_is_left_alone(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", "a,b\n1,2\n3,x\n")
    with pytest.raises(oc.errors.ExistsError, match="no list of rejects"):
        oc.ingest(source, tmp_path / "x.npy", "i4", on_error="reject", rejects=source)
    write(tmp_path / "x.rejects.csv", "mine\n")
    with pytest.raises(oc.errors.ExistsError, match="no list of rejects"):
        oc.ingest(source, tmp_path / "x.npy", "i4", on_error="reject")
    assert (
        len(oc.ingest(source, tmp_path / "x.npy", "i4", on_error="reject", rejects=tmp_path / "r.csv")) == 1
    )
    assert (tmp_path / "x.rejects.csv").read_text() == "mine\n"


# ---- two at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.npy", "x.h5::/x"])
def test_a_second_run_of_the_same_target_is_refused_and_disturbs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write(tmp_path / "x.csv", "a,b\n" + "1,2\n" * 1000)
    monkeypatch.setattr(room, "CHUNK_BYTES", 1 << 10)
    monkeypatch.setattr(pipeline, "TICK_S", 0.0)
    tried = []

    def second(*_: object) -> None:
        if not tried:
            tried.append(contents(tmp_path))
            for more in ({}, {"overwrite": True}, {"na_values": ["x"]}):
                with pytest.raises(oc.errors.WriterConflictError):
                    oc.ingest(tmp_path / "x.csv", tmp_path / name, "i4", progress=False, **more)

    x = oc.ingest(tmp_path / "x.csv", tmp_path / name, "i4", progress=second)
    assert tried
    assert x[:].tolist() == [[1, 2]] * 1000
    assert oc.ingest(tmp_path / "x.csv", tmp_path / name, "i4").shape == (1000, 2)
    assert not [path for path in contents(tmp_path) if "partial" in path or "run." in path]
