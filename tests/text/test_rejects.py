"""The rejects file: CSV that csv reads back, that grows, and that can be cut."""

from __future__ import annotations

import csv
import errno
import io
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.errors import DiskFullError, IngestError
from outcore.text.diagnosis import KINDS
from outcore.text.listing import Fault
from outcore.text.rejects import HEADER, RejectsWriter, rejects_path

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text(st.sampled_from('a,"\n\r'))
NUMBERS = st.integers(0, 2**60)
FAULTS = st.builds(Fault, TEXTS.filter(bool), NUMBERS, NUMBERS, NUMBERS, TEXTS, st.sampled_from(KINDS), TEXTS)
ONE = Fault("x.csv", 3, 2, 14, "pct", "type", "1,5")


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@given(st.lists(FAULTS, min_size=1, max_size=5))
def test_csv_reads_it_back(tmp_path_factory: pytest.TempPathFactory, faults: list[Fault]) -> None:
    path = tmp_path_factory.mktemp("rejects") / "x.rejects.csv"
    with RejectsWriter(path) as rejects:
        rejects.add(faults)
    assert read(path) == [HEADER.split(","), *([str(v) for v in astuple(f)[:7]] for f in faults)]


def test_the_file_is_made_at_the_first_fault_with_one_header(tmp_path: Path) -> None:
    path = tmp_path / "x.rejects.csv"
    rejects = RejectsWriter(path)
    rejects.add([])
    assert rejects.tell() == 0
    assert not path.exists()
    rejects.add([ONE])
    first = rejects.tell()
    assert first == path.stat().st_size > 0
    rejects.add(iter([ONE] * 2500))
    rejects.sync()
    assert rejects.tell() == path.stat().st_size
    rejects.close()
    rejects.close()
    assert (
        path.read_bytes()
        == b"file,line,column,byte,field,kind,text\n" + b'x.csv,3,2,14,pct,type,"1,5"\n' * 2501
    )


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.rejects.csv"
    with RejectsWriter(path) as rejects:
        rejects.add([ONE])
        kept = rejects.tell()
        rejects.add([ONE])
    with RejectsWriter(path) as rejects:  # as after a crash
        rejects.truncate(kept)
        rejects.add([ONE, ONE])
        assert rejects.tell() > kept
        rejects.truncate(kept)
        assert rejects.tell() == kept
        rejects.truncate(kept)
        rejects.add([ONE])
    assert len(read(path)) == 3
    with RejectsWriter(path) as rejects:
        rejects.truncate(0)
        assert not path.exists()
        rejects.truncate(0)
        rejects.add([ONE])
    assert len(read(path)) == 2


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.rejects.csv"
    path.write_bytes(b"file")
    with RejectsWriter(path) as rejects, pytest.raises(IngestError) as caught:
        rejects.truncate(99)
    assert str(caught.value) == (
        f"{path} has 4 bytes; 99 were written: it was cut or removed.\n"
        "Use overwrite=True (--overwrite) to begin again."
    )


def test_bytes_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "x.rejects.csv"
    with RejectsWriter(path) as rejects:
        rejects.add([Fault("a\udcff.csv", 1, 1, 0, "b", "encoding", "\\xff")])
    assert path.read_text().splitlines()[1] == "a\\udcff.csv,1,1,0,b,encoding,\\xff"


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "no space left")

    path = tmp_path / "x.rejects.csv"
    monkeypatch.setattr("outcore.text.rejects.io.FileIO", Full)
    with RejectsWriter(path) as rejects, pytest.raises(DiskFullError, match="the disk is full at byte 0 of"):
        rejects.add([ONE])


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("x.npy", "x.rejects.csv"),
        ("a.b/x.npy", "a.b/x.rejects.csv"),
        ("run.h5::/group/x", "run.group.x.rejects.csv"),
        ("run.h5::x", "run.x.rejects.csv"),
        ("raw", "raw.rejects.csv"),
        (Path("x.bin"), "x.rejects.csv"),
    ],
)
def test_the_file_stands_beside_the_target(target: str | Path, name: str) -> None:
    assert rejects_path(target) == name
