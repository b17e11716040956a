"""Which files are read, and in which order."""

from __future__ import annotations

import gzip
import io
import os
import resource
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

import outcore as oc
from outcore.text import source_sequence
from outcore.text.sources import Sources, find


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1\n")


def names(sources: object, folder: Path) -> list[str]:
    return [str(Path(found.path).relative_to(folder)) for found in find(sources)]


def read(sources: object) -> list[bytes]:
    texts = []
    for source in find(sources):
        with source.open() as stream:
            texts.append(stream.read(1 << 20))
    return texts


def test_patterns_come_in_natural_order(tmp_path: Path) -> None:
    write(tmp_path, "part10.csv", "part2.csv", "part1.csv", "part2b.csv", "other.txt")
    wanted = ["part1.csv", "part2.csv", "part2b.csv", "part10.csv"]
    assert names(tmp_path / "part*.csv", tmp_path) == wanted
    assert names(str(tmp_path / "part*.csv"), tmp_path) == wanted
    assert names(os.fsencode(tmp_path / "part*.csv"), tmp_path) == wanted


def test_a_pattern_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "b.csv", "a.csv")
    monkeypatch.chdir(tmp_path)
    assert [source.path for source in find("*.csv")] == ["a.csv", "b.csv"]
    assert [source.path for source in find(".")] == ["./a.csv", "./b.csv"]


def test_a_folder_gives_its_files_but_for_hidden_ones(tmp_path: Path) -> None:
    write(tmp_path, "b.csv", "a.csv", ".x.npy.123.partial", "sub/c.csv")
    assert names(tmp_path, tmp_path) == ["a.csv", "b.csv"]
    assert names(f"{tmp_path}/", tmp_path) == ["a.csv", "b.csv"]
    assert names(tmp_path / "**" / "*.csv", tmp_path) == ["a.csv", "b.csv", "sub/c.csv"]
    assert names(tmp_path / "s*" / "*.csv", tmp_path) == ["sub/c.csv"]


def test_a_list_stays_in_its_order(tmp_path: Path) -> None:
    write(tmp_path, "b.csv", "a.csv", "c1.csv", "c2.csv")
    given = [tmp_path / "b.csv", str(tmp_path / "c*.csv"), tmp_path / "a.csv"]
    assert names(given, tmp_path) == ["b.csv", "c1.csv", "c2.csv", "a.csv"]
    assert names(iter(given), tmp_path) == ["b.csv", "c1.csv", "c2.csv", "a.csv"]


def test_a_file_whose_name_looks_like_something_else(tmp_path: Path) -> None:
    write(tmp_path, "x[1].csv", "x1.csv", "a.zip::b")
    assert names(tmp_path / "x[1].csv", tmp_path) == ["x[1].csv"]
    assert names(tmp_path / "a.zip::b", tmp_path) == ["a.zip::b"]


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe1.csv"
    Path(os.fsdecode(name)).write_bytes(b"1\n")
    for given in (tmp_path, os.fsdecode(name), f"{tmp_path}/*1.csv"):
        (source,) = find(given)
        assert os.fsencode(source.path) == name
        with source.open() as stream:
            assert stream.read(9) == b"1\n"
            stream.check_unchanged()


@pytest.mark.parametrize(
    "name", ["nothing.csv", "no*.csv", "no/*.csv", "empty", "a\0b", "no.zip::*", "b.csv/x"]
)
def test_nothing_there_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path, "b.csv")
    with pytest.raises(oc.errors.NotFoundError, match=r"no files?|matches no file|no zip archive") as caught:
        find(f"{tmp_path}/{name}")
    assert f"{tmp_path}/{name}: " in str(caught.value)


@pytest.mark.parametrize("sources", [[], [3], 7.5, [["a.csv"]], io.StringIO("1,2\n"), None])
def test_what_is_no_source_is_refused(sources: object) -> None:
    with pytest.raises(oc.errors.OptionError, match=r"sources (holds|is empty)"):
        find(sources)


def test_a_link_to_nothing_is_an_error_by_name(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    (tmp_path / "b.csv").symlink_to("gone.csv")
    for given in (tmp_path, tmp_path / "*.csv", tmp_path / "b.csv", tmp_path / "**" / "*.csv"):
        with pytest.raises(oc.errors.NotFoundError, match=r"b\.csv is a link to gone\.csv"):
            find(given)
    (tmp_path / "b.csv").unlink()
    (tmp_path / "b.csv").symlink_to("a.csv")
    assert read(tmp_path) == [b"1\n", b"1\n"]


def test_pipes_and_folders_are_no_files_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "sub.csv/x")
    os.mkfifo(tmp_path / "b.csv")
    assert names(tmp_path, tmp_path) == ["a.csv"]
    assert names(tmp_path / "*.csv", tmp_path) == ["a.csv"]


def test_a_source_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,2\n")
    os.utime(tmp_path / "a.csv", ns=(5, 123_456_789_012_345_678))
    (source,) = find(tmp_path / "a.csv")
    assert (source.path, source.nbytes, source.mtime_ns) == (
        str(tmp_path / "a.csv"),
        4,
        123_456_789_012_345_678,
    )
    assert source.repeatable
    assert source.compression == ""


# ------------------------------------------------------------------------------------------ archives
def archive(path: Path, **texts: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in texts.items():
            made.writestr(name, text)


def test_members_of_an_archive(tmp_path: Path) -> None:
    archive(tmp_path / "x.zip", b10=b"10", b2=b"2", c=b"c")
    assert read(tmp_path / "x.zip") == [b"2", b"10", b"c"]
    assert read(f"{tmp_path}/x.zip::b*") == [b"2", b"10"]
    assert read(f"{tmp_path}/x.zip::c") == [b"c"]
    write(tmp_path, "a.csv", "y.csv")
    assert read(tmp_path) == [b"1\n", b"2", b"10", b"c", b"1\n"]
    sources = find([f"{tmp_path}/x.zip::b2", tmp_path / "a.csv", f"{tmp_path}/*.zip::b*"])
    assert [Path(source.path).name for source in sources] == ["x.zip::b2", "a.csv", "x.zip::b2", "x.zip::b10"]
    assert sources[1].compression == ""
    assert {sources[i].compression for i in (0, 2, 3)} == {"zip"}
    assert sources[0].mtime_ns == os.stat(tmp_path / "x.zip").st_mtime_ns


def test_an_archive_by_another_name_needs_its_members_named(tmp_path: Path) -> None:
    archive(tmp_path / "x.data", a=b"1,2\n")
    (source,) = find(tmp_path / "x.data")
    with pytest.raises(oc.errors.IngestError, match=r"x\.data is a zip archive, not text"):
        source.open()
    assert read(f"{tmp_path}/x.data::*") == [b"1,2\n"]


def test_a_compressed_member(tmp_path: Path) -> None:
    archive(tmp_path / "x.zip", a=gzip.compress(b"1,2\n"))
    assert read(tmp_path / "x.zip") == [b"1,2\n"]


# -------------------------------------------------------------------------------------- what is open
def test_an_open_file_at_its_start_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,2\n")
    with open(tmp_path / "a.csv", "rb") as binary, open(tmp_path / "a.csv") as text:
        for given in (binary, text, [binary, text]):
            assert all(source.repeatable for source in find(given))
            assert read(given) == [b"1,2\n"] * len(find(given))
        assert binary.tell() == 0


def test_an_open_file_past_its_start_is_read_from_there_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1,2\n3,4\n")
    with open(tmp_path / "a.csv", "rb") as file:
        file.readline()
        (source,) = find(file)
        assert (source.path, source.nbytes, source.repeatable) == (str(tmp_path / "a.csv"), -1, False)
        with source.open() as stream:
            assert stream.read(100) == b"3,4\n"
        assert not file.closed
        with pytest.raises(oc.errors.IngestError, match=r"a\.csv can be read only once"):
            source.open()


def test_other_open_files(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as made:
        made.write(b"1,2\n")
    with gzip.open(tmp_path / "a.gz") as file:
        assert read(file) == [b"1,2\n"]
    assert read(io.BytesIO(gzip.compress(b"3,4\n"))) == [b"3,4\n"]
    assert find(io.BytesIO())[0].path == "<BytesIO>"
    with open(tmp_path / "b.csv", "w+b") as replaced:
        replaced.write(b"5,6\n")
        replaced.seek(0)
        os.unlink(tmp_path / "b.csv")
        assert read(replaced) == [b"5,6\n"]


def test_the_same_open_file_twice_is_refused() -> None:
    file = io.BytesIO(b"1\n")
    with pytest.raises(oc.errors.OptionError, match="twice"):
        find([file, file])


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1,2\n")))
    (source,) = find("-")
    assert (source.path, source.repeatable) == ("<stdin>", False)
    assert read(["-"]) == [b"1,2\n"]
    with pytest.raises(oc.errors.OptionError, match="twice"):
        find(["-", "-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(oc.errors.OptionError, match="gives no bytes"):
        find("-")


# -------------------------------------------------------------------------------------------- memory
def test_ten_thousand_files_take_a_hundred_bytes_each_and_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names as of a million files: 60 bytes with their folder. The listing is faked, the rest is real."""
    count, folder = 20_000, f"/{'f' * 39}"
    here = os.stat(tmp_path)
    (tmp_path / "one").write_bytes(b"1\n")
    one = os.stat(tmp_path / "one")
    listed = (b"part-%012d.csv" % (i * 7919 % count) for i in range(count))
    monkeypatch.setattr("outcore.text.names.in_folder", lambda folder, pattern="*": listed)
    monkeypatch.setattr(source_sequence.os, "stat", lambda path: here if path == folder else one)
    tracemalloc.start()
    try:
        sources = find(folder)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sources) == count
    assert [sources[i].path for i in (0, 9, -1)] == [f"{folder}/part-{i:012}.csv" for i in (0, 9, count - 1)]
    assert kept / count < 100
    assert peak / count < 140
    assert isinstance(sources, Sources)


def test_many_files_one_open_at_a_time(tmp_path: Path) -> None:
    for i in range(300):
        (tmp_path / f"{i}.csv").write_bytes(b"%d\n" % i)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        assert read(tmp_path) == [b"%d\n" % i for i in range(300)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
