"""Members of zip archives: which, in which order, and their bytes."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest

import outcore as oc
from outcore.text.archives import MemberBytes, is_archive, members
from outcore.text.decoding import DamageError, damage

TEXT = b"".join(b"%d,%d\n" % (i, i * i) for i in range(50_000))
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def make(path: Path, *names: str, method: int = zipfile.ZIP_DEFLATED, text: bytes = b"1,2\n") -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name, text)
    return str(path)


def listed(path: str, pattern: str | None = None) -> list[str]:
    return [name for name, _ in members(path, pattern)]


def read_all(path: str, nbytes: int = 4000) -> bytes:
    ((_, member),) = members(path, None)
    with io.FileIO(path) as file:
        data, pieces = MemberBytes(file, member), []
        while piece := data.read(nbytes):
            assert len(piece) <= nbytes
            pieces.append(piece)
        assert data.position() == member.compressed
    return b"".join(pieces)


def test_members_come_in_natural_order_but_for_hidden_ones(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", "b10.csv", "__MACOSX/._b2.csv", "b2.csv", ".git/x", "sub/", "sub/a.csv")
    assert listed(path) == ["b2.csv", "b10.csv", "sub/a.csv"]
    assert listed(path, "b*.csv") == ["b2.csv", "b10.csv"]
    assert listed(path, "sub/a.csv") == ["sub/a.csv"]


def test_a_member_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    assert listed(make(tmp_path / "x.zip", "a[1].csv", "a1.csv"), "a[1].csv") == ["a[1].csv"]


def test_no_such_member_lists_those_there(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", *(f"{i}.csv" for i in range(12)))
    with pytest.raises(oc.errors.NotFoundError) as caught:
        members(path, "*.txt")
    assert "holds no member *.txt" in str(caught.value)
    assert "9.csv, and 2 more" in str(caught.value)
    assert "10.csv" not in str(caught.value)
    with pytest.raises(oc.errors.NotFoundError, match="holds no files; it holds: nothing"):
        members(make(tmp_path / "empty.zip"), None)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", [TEXT, b"", b"x"], ids=["long", "empty", "short"])
def test_every_method_is_a_stream(tmp_path: Path, method: int, text: bytes) -> None:
    assert read_all(make(tmp_path / "x.zip", "a.csv", method=method, text=text)) == text


def test_a_member_written_as_a_stream_with_its_sizes_behind(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as member:
        member.write(TEXT)
    (tmp_path / "x.zip").write_bytes(b"#!/bin/sh\n" + pipe.getvalue())  # and behind something else
    assert read_all(str(tmp_path / "x.zip")) == TEXT


@pytest.mark.parametrize("method", METHODS)
def test_any_flipped_byte_of_a_member_is_found(tmp_path: Path, method: int) -> None:
    path = make(tmp_path / "x.zip", "a.csv", method=method, text=TEXT)
    good = Path(path).read_bytes()
    ((_, member),) = members(path, None)
    chosen = random.Random(method)
    for _ in range(10):
        data = bytearray(good)
        data[chosen.randrange(50, 35 + member.compressed)] ^= 0xFF
        Path(path).write_bytes(data)
        with pytest.raises(damage()):
            read_all(path)


def test_a_directory_that_leads_astray(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", "a.csv", text=TEXT)
    ((_, member),) = members(path, None)
    with io.FileIO(path) as file, pytest.raises(DamageError, match="no member begins at byte 7"):
        MemberBytes(file, member._replace(start=7))


def test_encrypted_and_unknown_members_are_refused_by_name(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", "a.csv")
    data = bytearray(Path(path).read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    Path(path).write_bytes(data)
    with pytest.raises(oc.errors.IngestError, match=r"x\.zip::a\.csv is encrypted"):
        members(path, None)
    data[directory + 8] &= 0xFE
    data[directory + 10] = 98
    Path(path).write_bytes(data)
    with pytest.raises(oc.errors.IngestError, match=r"x\.zip::a\.csv is compressed by method 98"):
        members(path, None)


def test_what_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_bytes(b"1,2\n")
    assert not is_archive(str(tmp_path / "text.zip"))
    assert is_archive(make(tmp_path / "X.ZIP", "a.csv"))
    with pytest.raises(oc.errors.IngestError, match=r"text\.zip is no zip archive"):
        members(str(tmp_path / "text.zip"), None)
