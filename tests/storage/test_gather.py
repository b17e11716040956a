from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outcore as oc
from outcore.layout import PAGE_BYTES
from outcore.storage import copying, gather
from outcore.storage.file import PortableFile, PosixFile

FILE_BYTES = 3 << 20
PATHS = ["hot", "cold", "portable"]


@pytest.fixture(scope="module")
def content() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, FILE_BYTES, np.uint8)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, content: np.ndarray) -> str:
    path = tmp_path_factory.mktemp("gather") / "x.bin"
    content.tofile(path)
    return str(path)


@pytest.fixture(params=PATHS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Force one way to read, for ranges of any number."""
    monkeypatch.setattr(gather, "FEW", 0)
    hot = request.param == "hot"
    monkeypatch.setattr(gather, "_is_hot", lambda *given: hot)
    return str(request.param)


class Watched(PosixFile):
    """Counts what is read: (offset, bytes) of each call."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.calls: list[tuple[int, int]] = []
        self.announced: list[tuple[int, int]] = []

    def read(self, offset: int, buffers: list[memoryview]) -> None:
        self.calls.append((offset, sum(buffer.nbytes for buffer in buffers)))
        super().read(offset, buffers)

    def announce(self, offset: int, nbytes: int) -> None:
        self.announced.append((offset, nbytes))
        super().announce(offset, nbytes)


@pytest.fixture
def cold(path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(gather, "FEW", 0)
    monkeypatch.setattr(gather, "_is_hot", lambda *given: False)
    file = Watched(path)
    yield file
    file.close()


def collect(file: PosixFile, base: int, unit: int, starts: list[int] | np.ndarray, nbytes: int) -> np.ndarray:
    out = np.full((len(starts), nbytes), 170, np.uint8)
    gather.gather(file, base, unit, np.asarray(starts, np.int64), out)
    return out


def expected(
    content: np.ndarray, base: int, unit: int, starts: list[int] | np.ndarray, nbytes: int
) -> np.ndarray:
    begins = base + np.asarray(starts, np.int64) * unit
    return np.stack([content[begin : begin + nbytes] for begin in begins])


# ---- every way gives the same bytes ---------------------------------------------------------------


@st.composite
def requests(draw: st.DrawFn) -> tuple[int, int, list[int], int]:
    """(base, unit, starts, nbytes): rows of `unit` bytes, windows of whole rows or cells within rows."""
    unit = draw(st.sampled_from([1, 2, 8, 24, 100, 1000, 1024, 4096, 5000, 8192, 20_000]))
    if draw(st.booleans()):
        nbytes = unit * draw(st.integers(1, max(1, min(60_000 // unit, 40))))
    else:
        nbytes = draw(st.integers(1, unit))
    base = draw(st.integers(0, 5000))
    last = (FILE_BYTES - base - nbytes) // unit
    spread = draw(st.sampled_from([last, min(last, 50), min(last, 3)]))
    low = draw(st.integers(0, last - spread))
    starts = draw(st.lists(st.integers(low, low + spread), min_size=1, max_size=80))
    if draw(st.booleans()):
        starts = sorted(starts)
    return base, unit, starts, nbytes


@pytest.mark.parametrize("way", PATHS)
@settings(max_examples=200)
@given(request=requests())
def test_any_request_equals_slices_of_the_file(
    content: np.ndarray, path: str, way: str, request: tuple[int, int, list[int], int]
) -> None:
    file = PortableFile(path) if way == "portable" else PosixFile(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "FEW", 0)
        patch.setattr(gather, "_is_hot", lambda *given: way == "hot")
        np.testing.assert_array_equal(collect(file, *request), expected(content, *request))
    file.close()


#: (what is special about it, base, unit, starts, nbytes)
CASES = [
    ("one range", 7, 1, [1000], 500),
    ("one range of the whole file", 0, 1, [0], FILE_BYTES),
    ("ranges of one byte, everywhere", 3, 1, np.random.default_rng(1).integers(0, FILE_BYTES - 3, 5000), 1),
    ("rows of one page, all of them backwards", 0, 4096, np.arange(FILE_BYTES // 4096)[::-1], 4096),
    ("rows of one page, all of them forwards", 0, 4096, np.arange(FILE_BYTES // 4096), 4096),
    ("rows of 8 bytes, all of them shuffled", 128, 8, np.random.default_rng(2).permutation(100_000), 8),
    ("windows of 16 rows, overlapping", 128, 40, np.random.default_rng(3).integers(0, 70_000, 3000), 640),
    (
        "windows of large rows, overlapping",
        128,
        2000,
        np.random.default_rng(4).integers(0, 1500, 300),
        32_000,
    ),
    ("cells of large rows", 500, 4000, np.random.default_rng(5).permutation(700), 12),
    ("the same row a thousand times", 0, 5000, [17] * 1000, 5000),
    ("more neighbours than one call takes", 0, 8192, np.random.default_rng(6).permutation(380), 8192),
    ("last byte of the file", 0, 1, [FILE_BYTES - 1], 1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_special_requests_equal_slices_of_the_file(
    content: np.ndarray, path: str, way: str, case: tuple[str, int, int, np.ndarray, int]
) -> None:
    file = PortableFile(path) if way == "portable" else PosixFile(path)
    request = case[1:]
    np.testing.assert_array_equal(collect(file, *request), expected(content, *request))
    file.close()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_share_the_work(
    content: np.ndarray, path: str, way: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (gather, "THREADS", threads),
        (gather, "THREADS_SHORT", threads),
        (gather, "SMALL_BYTES", 1000),
        (gather, "PIECE_BYTES", 50_000),
        (gather, "GROUP_BYTES", 20_000),
        (gather, "SCRATCH_BYTES", 50_000),
        (copying, "THREADS", threads),
        (copying, "COPY_BYTES", 10_000),
    ):
        monkeypatch.setattr(module, name, value)
    file = PortableFile(path) if way == "portable" else PosixFile(path)
    for unit, nbytes in ((8, 8), (8, 400), (3000, 3000), (1500, 9000), (100, 60_000), (7000, 11)):
        starts = np.random.default_rng(nbytes).integers(0, (FILE_BYTES - nbytes) // unit, 60)
        request = (0, unit, starts, nbytes)
        np.testing.assert_array_equal(collect(file, *request), expected(content, *request))
    file.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "outcore-read"]


def test_no_ranges_and_ranges_of_no_bytes(path: str, way: str) -> None:
    file = PosixFile(path)
    assert collect(file, 0, 8, [], 8).shape == (0, 8)
    assert collect(file, 0, 8, [1, 2], 0).shape == (2, 0)
    file.close()


def test_an_error_of_one_thread_ends_all_and_is_raised(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(PosixFile):
        def read(self, offset: int, buffers: list[memoryview]) -> None:
            if offset > FILE_BYTES // 2:
                raise OSError(5, "the device says no")
            super().read(offset, buffers)

    monkeypatch.setattr(gather, "_is_hot", lambda *given: False)
    monkeypatch.setattr(gather, "SMALL_BYTES", 0)
    file = Broken(path)
    with pytest.raises(OSError, match="the device says no"):
        collect(file, 0, 4096, np.arange(FILE_BYTES // 4096), 4096)
    file.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "outcore-read"]


# ---- hot or cold ----------------------------------------------------------------------------------


def test_residency_decides_between_copying_and_reading(
    tmp_path: Path, content: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    for name in ("_copy", "_read_groups", "_read_pieces"):
        inner = getattr(gather, name)
        monkeypatch.setattr(gather, name, lambda *given, n=name, f=inner: (used.append(n), f(*given)))
    path = tmp_path / "x"
    content.tofile(path)
    file = PosixFile(str(path))
    os.fsync(file.fd)
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    if file.resident(FILE_BYTES // 2):
        pytest.skip("this file system keeps its pages")
    os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_RANDOM)
    starts = np.arange(0, 700, 7)
    request = (0, 4096, starts, 4096)
    np.testing.assert_array_equal(collect(file, *request), expected(content, *request))
    np.testing.assert_array_equal(collect(file, *request), expected(content, *request))
    file.close()
    assert used == ["_read_groups", "_copy"]


# ---- what is read from the device -----------------------------------------------------------------


def pages(ranges: list[tuple[int, int]]) -> set[int]:
    """The pages that ranges of (offset, bytes) touch."""
    return {
        page for begin, n in ranges for page in range(begin // PAGE_BYTES, (begin + n - 1) // PAGE_BYTES + 1)
    }


@settings(max_examples=200)
@given(request=requests())
def test_bytes_outside_the_ranges_are_read_only_where_they_share_a_page(
    path: str, request: tuple[int, int, list[int], int]
) -> None:
    base, unit, starts, nbytes = request
    wanted = pages([(base + start * unit, nbytes) for start in starts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "FEW", 0)
        patch.setattr(gather, "_is_hot", lambda *given: False)
        file = Watched(path)
        collect(file, *request)
        file.close()
    assert pages(file.calls) == wanted
    assert pages(file.announced) == wanted
    read = sum(n for _, n in file.calls)
    # Ranges far apart are read to the byte; ranges that share pages at most once for each page.
    assert read <= max(len(wanted) * PAGE_BYTES, len(starts) * nbytes)


def test_isolated_ranges_are_read_to_the_byte(cold: Watched) -> None:
    starts = np.random.default_rng(0).permutation(100)
    collect(cold, 0, 20_000, starts, 5000)
    assert sorted(cold.calls) == [(start * 20_000, 5000) for start in range(100)]


def test_overlapping_ranges_are_read_once(cold: Watched) -> None:
    collect(cold, 0, 100, list(range(1000)) * 3, 1000)
    # But for what the last range of a group shares with the first one of the next.
    assert sum(n for _, n in cold.calls) <= 999 * 100 + 1000 * len(cold.calls)
    assert len(cold.calls) < 5


def test_neighbours_go_to_their_places_in_one_call(cold: Watched) -> None:
    collect(cold, 0, 8192, [3, 2, 1, 0], 8192)
    assert cold.calls == [(0, 4 * 8192)]


def test_a_long_range_is_read_in_pieces(cold: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "PIECE_BYTES", 1 << 19)
    collect(cold, 0, 1, [0], FILE_BYTES)
    assert sorted(cold.calls) == [(at << 19, 1 << 19) for at in range(6)]


def test_a_shared_run_larger_than_the_scratch_buffer_is_read_in_parts(
    cold: Watched, content: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SCRATCH_BYTES", 10_000)
    request = (0, 10, np.arange(0, 20_000, 3), 50)
    np.testing.assert_array_equal(collect(cold, *request), expected(content, *request))
    assert max(n for _, n in cold.calls) <= 10_000


def test_ranges_are_announced_before_they_are_read(cold: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, int]] = []
    announce, read = cold.announce, cold.read
    monkeypatch.setattr(
        cold, "announce", lambda offset, n: (events.append(("announce", offset)), announce(offset, n))
    )
    monkeypatch.setattr(cold, "read", lambda offset, b: (events.append(("read", offset)), read(offset, b)))
    monkeypatch.setattr(gather, "SMALL_BYTES", 1 << 30)  # one thread, so that the order is one
    monkeypatch.setattr(gather, "GROUP_RANGES", 16)
    collect(cold, 0, 10_000, np.random.default_rng(0).permutation(300), 3000)
    reads = [offset for what, offset in events if what == "read"]
    assert reads == sorted(reads)  # by address
    for offset in reads:
        assert events.index(("announce", offset)) < events.index(("read", offset))
    # A group ahead, and never the whole request at once.
    first_read = events.index(("read", reads[0]))
    assert 16 < first_read < 300


@pytest.mark.parametrize(
    ("unit", "nbytes", "n"),
    [
        (1, 1, 2_000_000),
        (10, 10, 300_000),
        (100, 100, 30_000),
        (8, 800, 3000),
        (64, 3, 50_000),
        (8192, 8192, 380),
    ],
)
def test_memory_beside_out_is_what_was_said(way: str, path: str, unit: int, nbytes: int, n: int) -> None:
    file = PortableFile(path) if way == "portable" else PosixFile(path)
    starts = np.random.default_rng(0).integers(0, (FILE_BYTES - nbytes) // unit, n)
    out = np.empty((n, nbytes), np.uint8)
    gather.gather(file, 0, unit, starts[:1], out[:1])
    tracemalloc.start()
    try:
        gather.gather(file, 0, unit, starts, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    file.close()
    assert peak <= gather.gather_bytes(n, nbytes, FILE_BYTES) - 8 * n + (
        64 << 10
    )  # `starts` is there already


# ---- a file that was cut --------------------------------------------------------------------------


@pytest.fixture
def cut(tmp_path: Path, content: np.ndarray) -> Iterator[PosixFile]:
    """Open and mapped when it was whole; then all but the first half cut off."""
    path = tmp_path / "cut.bin"
    content.tofile(path)
    file = PosixFile(str(path))
    file.mapping()
    os.truncate(path, FILE_BYTES // 2)
    yield file
    file.close()


@pytest.mark.parametrize("nbytes", [1, 100, 4096, 9000, 1 << 20])
@pytest.mark.parametrize("remap", [True, False])
def test_a_cut_file_is_stale_and_not_a_crash(cut: PosixFile, way: str, nbytes: int, remap: bool) -> None:
    file = PortableFile(cut.path) if way == "portable" else cut
    if remap and way == "hot":  # as if it had been opened whole and was cut before the first read
        cut._map = None
    starts = np.arange(0, FILE_BYTES - nbytes, max(nbytes, 50_000))
    with pytest.raises(oc.errors.StaleArrayError, match=str(FILE_BYTES // 2)):
        collect(file, 0, 1, starts, nbytes)
    if file is not cut:
        file.close()


@pytest.mark.parametrize("unit", [8, 2048])
def test_rows_behind_the_cut_that_no_sample_meets_are_stale_too(cut: PosixFile, unit: int) -> None:
    cut._map = None
    starts = np.zeros(1000, np.int64)
    starts[1] = FILE_BYTES // unit - 1
    with pytest.raises(oc.errors.StaleArrayError):
        collect(cut, 0, unit, starts, unit)


def test_a_long_range_is_read_in_order_without_announcements(
    cold: Watched, content: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SCAN_BYTES", 1 << 20)
    monkeypatch.setattr(gather, "PIECE_BYTES", 300_000)
    found = collect(cold, 0, 1, [1234], 2 << 20)
    assert np.array_equal(found, expected(content, 0, 1, [1234], 2 << 20))
    assert cold.announced == []
    assert [offset for offset, _ in cold.calls] == list(range(1234, 1234 + (2 << 20), 300_000))


def test_a_range_that_goes_on_where_the_last_one_ended_is_not_announced(
    cold: Watched, content: np.ndarray
) -> None:
    for begin in range(0, FILE_BYTES, 256 << 10):
        found = collect(cold, 0, 1, [begin], 256 << 10)
        assert np.array_equal(found, expected(content, 0, 1, [begin], 256 << 10))
    assert [begin for begin, _ in cold.announced] == [0]  # the first could have been a window anywhere
    collect(cold, 0, 1, [5], 256 << 10)
    assert [begin for begin, _ in cold.announced] == [0, 5]
