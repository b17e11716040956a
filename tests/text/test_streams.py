"""The bytes of one source: reading, going elsewhere, damage, and changes meanwhile."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import outcore as oc
from outcore.text.sources import Source, find
from tests.text.compressions import COMPRESS

TEXT = b"".join(b"%d,%d\n" % (i, i * i) for i in range(80_000))
PACKED = {"": TEXT, **{name: compress(TEXT) for name, compress in COMPRESS.items()}}
ANY = pytest.mark.parametrize("name", [*PACKED, "zip"])
COMPRESSED = pytest.mark.parametrize("name", list(COMPRESS))


def put(folder: Path, name: str) -> Source:
    """A file of `TEXT`, compressed."""
    path = folder / ("x.zip" if name == "zip" else "x.csv")
    if name == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", TEXT)
    else:
        path.write_bytes(PACKED[name])
    (source,) = find(path)
    return source


@ANY
def test_reads_give_what_was_asked_for_to_the_end(tmp_path: Path, name: str) -> None:
    source = put(tmp_path, name)
    assert source.compression == name
    with source.open() as stream:
        assert (stream.compression, stream.seekable) == (name, name == "")
        assert stream.read(0) == b""
        assert stream.read(5) == TEXT[:5]
        assert stream.read(500_000) == TEXT[5:500_005]
        assert stream.read(len(TEXT)) == TEXT[500_005:]
        assert stream.read(5) == b""
        assert stream.position() == source.nbytes
        stream.check_unchanged()


@ANY
def test_going_anywhere_and_back(tmp_path: Path, name: str) -> None:
    with put(tmp_path, name).open() as stream:
        for byte in (800_000, 10, 1_000_000, 1_000_000, 0):
            stream.seek(byte)
            assert stream.read(20) == TEXT[byte : byte + 20]
        assert stream.skip(1000) == 1000
        assert stream.read(20) == TEXT[1020:1040]
        assert stream.skip(len(TEXT)) == len(TEXT) - 1040
        assert stream.read(1) == b""
        assert stream.skip(5) == 0
        stream.seek(len(TEXT) + 10)
        assert stream.read(1) == b""
        stream.seek(len(TEXT) - 3)
        assert stream.read(10) == TEXT[-3:]
        stream.check_unchanged()


@COMPRESSED
@pytest.mark.parametrize("how", ["cut", "flipped", "more"])
def test_damage_names_file_format_and_reason(tmp_path: Path, name: str, how: str) -> None:
    data, middle = bytearray(PACKED[name]), len(PACKED[name]) // 2
    if how == "cut":
        del data[middle:]
    elif how == "flipped":
        data[middle] ^= 0xFF
    else:
        data += b"and something else behind it"
    (tmp_path / "x.csv").write_bytes(data)
    (source,) = find(tmp_path / "x.csv")
    wanted = rf"x\.csv: the {name} data is damaged .*\(.+\)"
    with source.open() as stream, pytest.raises(oc.errors.IngestError, match=wanted):
        stream.read(1 << 30)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    put(tmp_path, "zip")
    data = bytearray((tmp_path / "x.zip").read_bytes())
    data[100_000] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(data)
    (source,) = find(tmp_path / "x.zip")
    wanted = r"x\.zip::a\.csv: the zip data is damaged"
    with source.open() as stream, pytest.raises(oc.errors.IngestError, match=wanted):
        stream.read(1 << 30)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"7z\xbc\xaf\x27\x1c" + b"x" * 30, "a 7z archive"),
        (b"\x04\x22\x4d\x18" + b"x" * 30, "lz4 data"),
        (b"\x1f\x9d" + b"x" * 30, "data of compress"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    (source,) = find(tmp_path / "x.csv")
    with pytest.raises(oc.errors.IngestError, match=rf"x\.csv is {what}, not text"):
        source.open()


def test_a_look_elsewhere_does_not_move(tmp_path: Path) -> None:
    with put(tmp_path, "").open() as stream:
        stream.read(10)
        assert stream.look(500_000, 20) == TEXT[500_000:500_020]
        assert stream.look(len(TEXT) - 5, 20) == TEXT[-5:]
        assert stream.read(10) == TEXT[10:20]


def test_a_disk_error_stays_one(tmp_path: Path) -> None:
    (source,) = find(put(tmp_path, "").path)
    os.unlink(source.path)
    with pytest.raises(oc.errors.IngestError, match=r"changed since .* was deleted"):
        source.open()
    os.mkdir(source.path)
    with pytest.raises(IsADirectoryError):
        source.open()


# ------------------------------------------------------------------------------- changes while reading
def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more\n")


def cut(path: Path) -> None:
    os.truncate(path, 100)


def edit(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"9")
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1))


def replace(path: Path) -> None:
    info = os.stat(path)
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(0, info.st_mtime_ns))
    os.replace(other, path)


CHANGES = {append: r"and has \d+ bytes", cut: "and has 100 bytes", edit: "and has", replace: "took its place",
           Path.unlink: "was deleted"}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["", "gzip", "zip"])
def test_a_change_while_reading_is_found(tmp_path: Path, name: str, change: Callable[[Path], None]) -> None:
    source = put(tmp_path, name)
    path = Path(source.path.split("::")[0])
    with source.open() as stream:
        stream.read(1000)
        stream.check_unchanged()
        change(path)
        with pytest.raises(oc.errors.IngestError, match=rf"{path} changed since .*{CHANGES[change]}"):
            stream.check_unchanged()


@pytest.mark.parametrize("name", ["", "gzip", "zip"])
def test_a_change_before_opening_is_found(tmp_path: Path, name: str) -> None:
    source = put(tmp_path, name)
    edit(Path(source.path.split("::")[0]))
    with pytest.raises(oc.errors.IngestError, match="changed since"), source.open() as stream:
        stream.check_unchanged()


def test_a_file_cut_while_reading_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcore.text.decoding.PIECE_BYTES", 10_000)
    source = put(tmp_path, "gzip")
    with source.open() as stream:
        stream.read(1000)
        cut(Path(source.path))
        with pytest.raises(oc.errors.IngestError, match=r"changed since .*and has 100 bytes"):
            stream.read(1 << 30)


def test_an_early_end_is_found_though_size_and_time_are_as_before(tmp_path: Path) -> None:
    source = put(tmp_path, "")
    with source.open() as stream:
        stream.read(1000)
        cut(Path(source.path))
        assert stream.read(1 << 30) == b""
        os.truncate(source.path, source.nbytes)
        os.utime(source.path, ns=(0, source.mtime_ns))
        with pytest.raises(oc.errors.IngestError, match=rf"had {source.nbytes} bytes, and ended after 1000"):
            stream.check_unchanged()


# ----------------------------------------------------------------------------- what can be read only once
@pytest.mark.parametrize("name", list(PACKED))
def test_a_stream_that_cannot_be_repeated_is_sampled_and_then_read_whole(tmp_path: Path, name: str) -> None:
    sources = find([io.BytesIO(PACKED[name])])
    assert sources[0].compression == name
    for nbytes in (10, 300_000, 100):
        with sources[0].open(sample=True) as stream:
            assert stream.read(nbytes) == TEXT[:nbytes]
    with sources[0].open() as stream:
        assert stream.read(200_000) == TEXT[:200_000]
        assert stream.skip(200_000) == 200_000
        assert stream.read(len(TEXT)) == TEXT[400_000:]
        stream.check_unchanged()
        with pytest.raises(oc.errors.IngestError, match="only from its start"):
            stream.seek(10)
    with pytest.raises(oc.errors.IngestError, match="only once"):
        sources[0].open(sample=True)


def test_a_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(PACKED["gzip"],))
    writer.start()
    (source,) = find(path)
    assert (source.nbytes, source.mtime_ns, source.repeatable) == (-1, 0, False)
    with source.open(sample=True) as stream:
        assert stream.read(10) == TEXT[:10]
    with source.open() as stream:
        assert stream.read(1 << 30) == TEXT
        assert stream.position() == len(PACKED["gzip"])
    writer.join()


def test_a_pipe_that_was_only_sampled_is_closed_with_the_sources(tmp_path: Path) -> None:
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"1,2\n",))
    writer.start()
    with find(path) as sources, sources[0].open(sample=True) as stream:
        assert stream.read(10) == b"1,2\n"
    writer.join()


@pytest.mark.parametrize("given", ["-", "/dev/stdin"])
@pytest.mark.parametrize("how", ["pipe", "file"])
def test_standard_input_of_a_process(tmp_path: Path, given: str, how: str) -> None:
    code = (
        "import sys; from outcore.text.sources import find\n"
        f"(source,) = find({given!r})\n"
        "with source.open(sample=True) as stream: head = stream.read(100)\n"
        "with source.open() as stream: text = stream.read(1 << 30)\n"
        "assert text.startswith(head); sys.stdout.buffer.write(text)"
    )
    if how == "pipe":
        done = subprocess.run([sys.executable, "-c", code], input=PACKED["gzip"], stdout=-1, check=True)
    else:
        (tmp_path / "x.gz").write_bytes(PACKED["gzip"])
        with open(tmp_path / "x.gz", "rb") as file:
            done = subprocess.run([sys.executable, "-c", code], stdin=file, stdout=-1, check=True)
    assert done.stdout == TEXT


def test_more_threads_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rapidgzip")
    for name in ("LEAST_FILE_BYTES", "LEAST_THREADS_ISAL", "LEAST_THREADS_ZLIB"):
        monkeypatch.setattr(f"outcore.text.parallel_gzip.{name}", 2)
    source = put(tmp_path, "gzip")
    with source.open(threads=2) as stream:
        assert stream.read(1000) == TEXT[:1000]
        stream.seek(1_000_000)
        stream.seek(1000)
        assert stream.read(1 << 30) == TEXT[1000:]
        assert stream.position() == source.nbytes
        stream.check_unchanged()
