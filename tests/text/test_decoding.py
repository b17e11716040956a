"""Frames of every compression, alone and one after the other, whole and damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text import decoding
from outcore.text.decoding import DamageError, Frames, decoder
from tests.text.compressions import COMPRESS

TEXT = b"".join(b"%d,%d\n" % (i, i * i) for i in range(20_000))
ANY = pytest.mark.parametrize("name", COMPRESS)


@pytest.fixture(params=["isal", "zlib"])
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Gzip is read by either module."""
    decoding._optional.cache_clear()
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal.igzip_lib", None)
    yield request.param
    decoding._optional.cache_clear()


class Dribble:
    """Gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = io.BytesIO(data)
        self._most = most

    def read(self, nbytes: int) -> bytes:
        return self._data.read(min(nbytes, self._most))


def read_all(name: str, data: bytes, most: int = 1 << 30, nbytes: int = 5000) -> bytes:
    frames = decoder(name, Dribble(data, most), name="x")
    pieces = []
    while piece := frames.read(nbytes):
        assert len(piece) <= nbytes
        pieces.append(piece)
    assert frames.read(1) == b""
    return b"".join(pieces)


@pytest.mark.usefixtures("inflater")
@ANY
def test_frames_follow_each_other(name: str) -> None:
    compress = COMPRESS[name]
    data = compress(TEXT) + compress(b"") + compress(b"x") + compress(TEXT)
    assert read_all(name, data) == TEXT + b"x" + TEXT


@pytest.mark.usefixtures("inflater")
@pytest.mark.parametrize("most", [1, 7])
@ANY
def test_bytes_may_come_one_by_one(name: str, most: int) -> None:
    data = COMPRESS[name](TEXT[:3000]) * 2
    assert read_all(name, data, most, nbytes=100) == TEXT[:3000] * 2


@pytest.mark.usefixtures("inflater")
@ANY
def test_zeros_behind_the_end_are_padding(name: str) -> None:
    data = COMPRESS[name](TEXT) + bytes(decoding.PIECE_BYTES + 1000)
    assert read_all(name, data) == TEXT
    assert read_all(name, data + COMPRESS[name](b"more")) == TEXT + b"more"


@pytest.mark.usefixtures("inflater")
@ANY
def test_rubbish_behind_the_end_is_no_end(name: str) -> None:
    with pytest.raises(decoding.damage()):
        read_all(name, COMPRESS[name](TEXT) + b"rubbish, and more of it")


@pytest.mark.usefixtures("inflater")
@ANY
def test_a_damaged_second_frame_is_no_end(name: str) -> None:
    """The standard library's BZ2File and LZMAFile end there, without a word."""
    second = bytearray(COMPRESS[name](TEXT))
    second[1] ^= 0xFF
    with pytest.raises(decoding.damage()):
        read_all(name, COMPRESS[name](TEXT) + bytes(second))


@pytest.mark.usefixtures("inflater")
@ANY
def test_every_cut_inside_a_frame_is_damage(name: str) -> None:
    data = COMPRESS[name](TEXT[:400]) + COMPRESS[name](TEXT[400:500])
    first = len(COMPRESS[name](TEXT[:400]))
    for length in range(1, len(data)):
        if length == first:
            assert read_all(name, data[:length]) == TEXT[:400]
        else:
            with pytest.raises(DamageError):
                read_all(name, data[:length])


@pytest.mark.usefixtures("inflater")
def test_gzip_checksums_are_checked() -> None:
    for place in (-8, -1):  # of the CRC-32, of the length
        data = bytearray(gzip.compress(TEXT))
        data[place] ^= 1
        with pytest.raises(decoding.damage()):
            read_all("gzip", bytes(data))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 400), st.integers(1, 50))
def test_any_frames_read_in_any_steps(parts: list[bytes], nbytes: int, most: int) -> None:
    for name, compress in COMPRESS.items():
        data = b"".join(compress(part) for part in parts)
        assert read_all(name, data, most, nbytes) == b"".join(parts)


def test_highly_compressible_data_comes_in_the_steps_asked_for() -> None:
    """A kilobyte may stand for a megabyte, so the limit is on what comes out."""
    for name, compress in COMPRESS.items():
        frames = decoder(name, io.BytesIO(compress(bytes(3_000_000))), name="x")
        assert len(frames.read(1000)) <= 1000


def test_zstd_needs_a_module_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    decoding._optional.cache_clear()
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(oc.errors.OptionError, match=r"x\.zst is compressed by zstd(?s:.)*pip install"):
        decoder("zstd", io.BytesIO(b"\x28\xb5\x2f\xfd"), name="x.zst")
    decoding._optional.cache_clear()


def test_one_frame_only() -> None:
    raw = io.BytesIO(bz2.compress(b"a") + bz2.compress(b"b"))
    frames = Frames(raw, bz2.BZ2Decompressor, single=True)
    assert (frames.read(10), frames.read(10)) == (b"a", b"")
