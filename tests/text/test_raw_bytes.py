"""What first bytes tell, and looking ahead."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import pytest

import outcore as oc
from outcore.text.raw_bytes import MAGIC_BYTES, Ahead, compression_of, foreign


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (gzip.compress(b"x"), "gzip"),
        (bz2.compress(b"x"), "bzip2"),
        (bz2.compress(b""), "bzip2"),
        (lzma.compress(b"x"), "xz"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 6, "zstd"),
        (b"\x50\x2a\x4d\x18" + b"x" * 6, "zstd"),
        (b"BZh9,b\n1,2\n", ""),
        (b"P*M,b\n", ""),
        (b"\x1f\x8b,b\n", ""),
        (b"", ""),
    ],
)
def test_compression_is_known_by_the_first_bytes(data: bytes, name: str) -> None:
    assert compression_of(data[:MAGIC_BYTES]) == name
    assert foreign(data[:MAGIC_BYTES]) is None


def test_a_look_ahead_takes_nothing_away() -> None:
    ahead = Ahead(io.BytesIO(b"0123456789"), "x")
    assert ahead.peek(4) == b"0123"
    assert ahead.peek(2) == b"0123"
    assert (ahead.read(3), ahead.count) == (b"012", 3)
    assert (ahead.read(3), ahead.read(100), ahead.read(1)) == (b"3", b"456789", b"")
    assert ahead.count == 10


def test_a_look_ahead_waits_for_slow_pipes() -> None:
    class Slow:
        def __init__(self) -> None:
            self.left = list(b"abc")

        def read(self, nbytes: int) -> bytearray:
            return bytearray([self.left.pop(0)] if self.left else [])

    assert Ahead(Slow(), "x").peek(10) == b"abc"


@pytest.mark.parametrize("given", ["text", None])
def test_what_gives_no_bytes_is_refused(given: object) -> None:
    class Other:
        def read(self, nbytes: int) -> object:
            return given

    with pytest.raises(oc.errors.OptionError, match="expected bytes"):
        Ahead(Other(), "x").read(10)
