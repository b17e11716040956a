"""Gzip by several threads gives what one thread gives, also for damaged files."""

from __future__ import annotations

import gzip
import io
import random
from pathlib import Path

import pytest

from outcore.text import parallel_gzip
from outcore.text.decoding import Frames, damage, decoder, inflater
from outcore.text.parallel_gzip import ParallelGzip, ends_with_member, worth

RANDOM = random.Random(0)
TEXT = b"".join(b"%d\t%d\n" % (RANDOM.randrange(10**9), i) for i in range(300_000))
WHOLE = gzip.compress(TEXT, 1)


@pytest.fixture(autouse=True)
def small_files_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rapidgzip")
    monkeypatch.setattr(parallel_gzip, "LEAST_FILE_BYTES", 1)
    monkeypatch.setattr(parallel_gzip, "LEAST_THREADS_ISAL", 2)
    monkeypatch.setattr(parallel_gzip, "LEAST_THREADS_ZLIB", 2)


def read_all(path: Path, threads: int) -> bytes | str:
    """The bytes, or how they end."""
    with io.FileIO(path) as raw:
        data = decoder("gzip", raw, name="x", threads=threads)
        assert isinstance(data, ParallelGzip) == (threads > 1)
        pieces = []
        try:
            while piece := data.read(1 << 20):
                pieces.append(piece)
        except damage() as error:
            return f"{type(error).__name__} {error}"
        finally:
            if isinstance(data, ParallelGzip):
                data.close()
        return b"".join(pieces)


HEADER = WHOLE[:10]
NAMED_HEADER = HEADER[:3] + b"\x08" + HEADER[4:] + b"name.csv\0"
CASES = {
    "whole": WHOLE,
    "two members": WHOLE + WHOLE,
    "an empty member": gzip.compress(b"") + WHOLE,
    "zeros behind": WHOLE + bytes(700),
    "a member behind zeros": WHOLE + bytes(512) + WHOLE,
    **{f"{n} bytes of rubbish behind": WHOLE + b"rubbish, and more"[:n] for n in (1, 7, 8, 17)},
    "two members, the last one large and cut": WHOLE + WHOLE[:-5],
    "two members, the last one small": WHOLE + gzip.compress(b"x"),
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "cut in the checksum": WHOLE[:-3],
    "cut before the checksum": WHOLE[:-8],
    "cut behind a header": WHOLE + HEADER,
    "cut behind a header with a name": WHOLE + NAMED_HEADER,
    **{f"cut {n} bytes into a member": WHOLE + gzip.compress(TEXT[:60])[:n] for n in range(1, 40, 3)},
    "only a header": HEADER,
    "another checksum": WHOLE[:-6] + bytes([WHOLE[-6] ^ 1]) + WHOLE[-5:],
    "another length": WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]),
    "a flipped bit": WHOLE[:1_000_000] + bytes([WHOLE[1_000_000] ^ 1]) + WHOLE[1_000_001:],
}


@pytest.mark.parametrize("case", CASES)
def test_bytes_and_errors_are_those_of_one_thread(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(CASES[case])
    assert read_all(path, 2) == read_all(path, 1)


def test_the_position_grows_to_the_size(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(WHOLE)
    with io.FileIO(path) as raw:
        data = ParallelGzip(raw, 2, lambda: Frames(raw, inflater(raw=False)))
        seen = [data.position()]
        while data.read(1 << 20):
            seen.append(data.position())
        assert seen == sorted(seen)
        assert (seen[0], data.position()) == (0, len(WHOLE))
        data.close()


def test_one_thread_for_what_deflates_to_little_or_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(50_000_000), 1))
    (tmp_path / "b.gz").write_bytes(WHOLE)
    with io.FileIO(tmp_path / "a.gz") as repeated, io.FileIO(tmp_path / "b.gz") as usual:
        assert not worth(repeated, 8, has_isal=True)
        assert worth(usual, 8, has_isal=True)
        assert not worth(usual, 1, has_isal=True)
        monkeypatch.setattr(parallel_gzip, "LEAST_FILE_BYTES", len(WHOLE) + 1)
        assert not worth(usual, 8, has_isal=True)


def test_a_whole_member_at_the_end() -> None:
    small = gzip.compress(TEXT[:1000])
    assert ends_with_member(WHOLE + small)
    assert ends_with_member(b"data" + gzip.compress(bytes(5_000_000)))
    for rest in (b"", HEADER, NAMED_HEADER, small[:-1], small + b"x"):
        assert not ends_with_member(WHOLE[-1000:] + rest)
