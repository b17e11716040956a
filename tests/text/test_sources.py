"""Which files are read, in which order, and their bytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

import outcore as oc
from outcore.text.sources import find, natural


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"1\n")


def names(sources: object, folder: Path) -> list[str]:
    return [str(Path(found.path).relative_to(folder)) for found in find(sources)]


def test_patterns_come_in_natural_order(tmp_path: Path) -> None:
    write(tmp_path, "part10.csv", "part2.csv", "part1.csv", "part2b.csv", "other.txt")
    wanted = ["part1.csv", "part2.csv", "part2b.csv", "part10.csv"]
    assert names(tmp_path / "part*.csv", tmp_path) == wanted
    assert names(str(tmp_path / "part*.csv"), tmp_path) == wanted


def test_a_folder_gives_its_files_but_for_hidden_ones(tmp_path: Path) -> None:
    write(tmp_path, "b.csv", "a.csv", ".x.npy.123.partial", "sub/c.csv")
    assert names(tmp_path, tmp_path) == ["a.csv", "b.csv"]
    assert names(tmp_path / "**" / "*.csv", tmp_path) == ["a.csv", "b.csv", "sub/c.csv"]


def test_a_list_stays_in_its_order(tmp_path: Path) -> None:
    write(tmp_path, "b.csv", "a.csv", "c1.csv", "c2.csv")
    given = [tmp_path / "b.csv", str(tmp_path / "c*.csv"), tmp_path / "a.csv"]
    assert names(given, tmp_path) == ["b.csv", "c1.csv", "c2.csv", "a.csv"]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    write(tmp_path, "x[1].csv", "x1.csv")
    assert names(tmp_path / "x[1].csv", tmp_path) == ["x[1].csv"]


@pytest.mark.parametrize("name", ["nothing.csv", "no*.csv", "empty"])
def test_nothing_there_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(oc.errors.NotFoundError, match=r"(?s)no files?|matches no file") as caught:
        find(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("sources", [[], [3], 7.5])
def test_what_is_no_path_is_refused(sources: object) -> None:
    with pytest.raises((oc.errors.OptionError, TypeError)):
        find(sources)


@pytest.mark.parametrize(("module", "name"), [(gzip, "gzip"), (bz2, "bzip2"), (lzma, "xz")])
def test_compression_is_known_by_content(tmp_path: Path, module: object, name: str) -> None:
    text = b"1,2\n" * 50_000
    (tmp_path / "x.csv").write_bytes(module.compress(text))
    (source,) = find(tmp_path / "x.csv")
    assert source.compression == name
    with source.open() as stream:
        assert stream.read(len(text) + 1) == text
        assert stream.position() == source.nbytes


@pytest.mark.parametrize(("module", "name"), [(gzip, "gzip"), (bz2, "bzip2"), (lzma, "xz")])
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_damaged_compression_names_the_file(tmp_path: Path, module: object, name: str, how: str) -> None:
    data = bytearray(module.compress(bytes(range(256)) * 4000))
    middle = len(data) // 2
    data = (
        data[:middle] if how == "cut" else data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
    )
    (tmp_path / "x.csv").write_bytes(data)
    (source,) = find(tmp_path / "x.csv")
    with source.open() as stream, pytest.raises(oc.errors.IngestError, match=rf"x\.csv: the {name} data"):
        stream.read(1 << 30)


def test_natural_order_compares_numbers_as_numbers() -> None:
    assert sorted(["a10b2", "a9", "a10b1", "b", "10", "9"], key=natural) == [
        "9",
        "10",
        "a9",
        "a10b1",
        "a10b2",
        "b",
    ]
