from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.storage import gather
from outcore.storage.file import PosixFile
from outcore.testing import assert_same, example


def write_huge(path: Path) -> None:
    """A file of 32 GB that takes no room on the disk."""
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2_000_000, 2000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 32 * 10**9)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each read from a file."""
    reads: list[int] = []
    read = PosixFile.read

    def count(self: PosixFile, offset: int, buffers: list[memoryview]) -> None:
        reads.append(sum(buffer.nbytes for buffer in buffers))
        read(self, offset, buffers)

    monkeypatch.setattr(PosixFile, "read", count)
    return reads


@pytest.fixture
def array(tmp_path: Path) -> Iterator[oc.Array]:
    np.save(tmp_path / "x.npy", example((1000, 5), "f8"))
    with oc.open(tmp_path / "x.npy") as opened:
        yield opened


# ---- never the data, always the address -----------------------------------------------------------


def test_pickling_a_32_gb_array_sends_less_than_1_kb(tmp_path: Path, watched: list[int]) -> None:
    write_huge(tmp_path / "x.npy")
    sizes = []
    for opened in (oc.open(tmp_path / "x.npy"), oc.open(tmp_path / "x.npy", dtype="f8")):
        opened[123_456, 7]
        sizes += [len(pickle.dumps(opened, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    assert max(sizes) < 1024
    assert sum(watched) < 1000


def test_opening_a_32_gb_array_reads_its_header_and_nothing_else(tmp_path: Path, watched: list[int]) -> None:
    write_huge(tmp_path / "x.npy")
    opened = oc.open(tmp_path / "x.npy")
    assert sum(watched) <= 128 + 12
    watched.clear()
    sent = pickle.dumps(opened)
    assert (opened.shape, opened.nbytes, len(opened)) == ((2_000_000, 2000), 32 * 10**9, 2_000_000)
    arrived = pickle.loads(sent)
    assert repr(arrived) == repr(opened)
    assert watched == []
    assert arrived[1_999_999, 1999] == 0
    assert sum(watched) <= 128 + 12 + 8


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
@pytest.mark.parametrize("kind", ["npy", "raw", "fortran", "field", "r+", "c"])
def test_a_copy_of_the_handle_reads_the_same_rows(tmp_path: Path, travel: Any, kind: str) -> None:
    rows = example((40, 3), [("a", "i4"), ("b", "f4", 2)] if kind == "field" else "f8")
    if kind == "raw":
        (tmp_path / "x.bin").write_bytes(b"abc" + rows.tobytes())
        opened = oc.open(tmp_path / "x.bin", dtype="f8", shape=(-1, 3), offset=3)
    else:
        np.save(tmp_path / "x.npy", np.asfortranarray(rows) if kind == "fortran" else rows)
        opened = oc.open(tmp_path / "x.npy", mode=kind if kind in ("r+", "c") else "r")
    if kind == "field":
        opened, rows = opened["b"], rows["b"]
    opened[0]
    other = travel(opened)
    assert (other.address, other.mode, other.shape, other.dtype) == (
        opened.address,
        opened.mode,
        opened.shape,
        opened.dtype,
    )
    opened.close()
    assert_same(other[3:20], rows[3:20])
    if kind == "r+":
        other[0] = 7
        assert np.load(tmp_path / "x.npy")[0].tolist() == [7, 7, 7]


def test_an_unpickled_handle_to_a_missing_file_raises_at_its_first_use(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    sent = pickle.dumps(oc.open(tmp_path / "x.npy"))
    (tmp_path / "x.npy").unlink()
    arrived = pickle.loads(sent)
    assert (arrived.shape, str(arrived.dtype)) == ((3, 2), "float64")
    with pytest.raises(oc.errors.NotFoundError, match=r"x\.npy"):
        arrived[0]


def test_relative_addresses_travel_as_absolute_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    monkeypatch.chdir(tmp_path)
    opened = oc.open("x.npy")
    monkeypatch.chdir("/")
    assert opened.address == str(tmp_path / "x.npy")
    assert opened[:].tolist() == [0, 1, 2]


def test_the_representation_and_info_say_what_it_is(array: oc.Array) -> None:
    assert repr(array) == f"<outcore.Array {array.address!r} shape=(1000, 5) dtype=float64 mode='r'>"
    facts = {"address": array.address, "shape": (1000, 5), "dtype": "float64", "mode": "r", "format": ".npy"}
    assert facts.items() <= array.info.items()


# ---- closed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x[0],
        lambda x: x[...],
        lambda x: x.take([0]),
        lambda x: x.windows([0], 1),
        lambda x: np.asarray(x),
        lambda x: x.__setitem__(0, 1),
        lambda x: x.append([[1]]),
        lambda x: x.flush(),
        lambda x: x.info,
        lambda x: list(x),
    ],
)
def test_a_closed_array_says_so_and_how_to_open_it(array: oc.Array, use: Any) -> None:
    array[0]
    array.close()
    with pytest.raises(oc.errors.ClosedError, match=r"was closed(?s:.*)oc\.open"):
        use(array)
    assert "x.npy" in repr(array)
    assert array.shape == (1000, 5)


def test_closing_an_array_that_was_never_read_is_closing_too(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with oc.open(tmp_path / "x.npy") as opened:
        pass
    with pytest.raises(oc.errors.ClosedError):
        opened[0]


# ---- stale ----------------------------------------------------------------------------------------


def replace_by_rename(path: Path, rows: np.ndarray) -> None:
    np.save(path.with_name("new.npy"), rows)
    os.replace(path.with_name("new.npy"), path)


def delete_and_write(path: Path, rows: np.ndarray) -> None:
    # ext4 gives the new file the inode number of the old one. The clock of its birth times ticks every 4 ms.
    path.unlink()
    time.sleep(0.02)
    np.save(path, rows)


@pytest.mark.parametrize("replace", [replace_by_rename, delete_and_write])
def test_a_handle_to_a_file_that_was_replaced_is_stale(tmp_path: Path, replace: Any) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 3)))
    opened = oc.open(path)
    sent = pickle.dumps(opened)
    replace(path, np.ones((100, 3)))
    for handle in (pickle.loads(sent), opened):
        with pytest.raises(oc.errors.StaleArrayError, match=r"was replaced(?s:.*)oc\.open"):
            handle[0]
    assert oc.open(path)[:].all()


@pytest.mark.parametrize("replace", [replace_by_rename, delete_and_write])
def test_a_handle_that_is_reading_keeps_the_file_that_it_opened(tmp_path: Path, replace: Any) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 3)))
    opened = oc.open(path)
    opened[0]
    replace(path, np.ones((100, 3)))
    assert not opened[:].any()  # the old rows, all of them, and not a mixture
    opened.close()


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((50, 6)), np.zeros((100, 3), "i8"), np.zeros((100, 3), ">f8"), np.zeros((200, 3)),
        np.asfortranarray(np.zeros((100, 3))),
    ],
    ids=["shape", "type", "byte order", "longer", "order"],
)  # fmt: skip
def test_a_file_saved_again_with_another_layout_is_stale(tmp_path: Path, other: np.ndarray) -> None:
    # numpy.save keeps the file and its birth time.
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 3)))
    sent = pickle.dumps(oc.open(path))
    np.save(path, other)
    with pytest.raises(oc.errors.StaleArrayError, match="was written anew"):
        pickle.loads(sent)[0]


def test_a_file_saved_again_with_the_same_layout_is_not_stale(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 3)))
    sent = pickle.dumps(oc.open(path))
    np.save(path, np.ones((100, 3)))
    assert pickle.loads(sent)[:].all()


def test_rows_written_in_place_do_not_make_a_handle_stale(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 3)))
    opened = oc.open(path)
    sent = pickle.dumps(opened)
    time.sleep(0.02)
    with oc.open(path, mode="r+") as writer:
        writer[:] = 1
        writer.flush()
    assert opened[:].all()
    assert pickle.loads(sent)[:].all()


def test_a_file_that_was_cut_before_the_first_read_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 3)))
    opened = oc.open(path)
    os.truncate(path, 1000)
    with pytest.raises(oc.errors.StaleArrayError, match="has 1000 bytes left of the 2528"):
        opened[0]


CUT = """if True:
    import os
    import numpy as np
    import outcore as oc
    from outcore.storage import gather

    READS = {
        "take": lambda x, rows: x.take(rows),
        "windows": lambda x, rows: x.windows(rows[:-40], 200),
        "all": lambda x, rows: x[:],
        "column": lambda x, rows: x[:, 3],
    }

    def read_after_the_cut(way, read):
        path = f"{os.getpid()}.npy"
        np.save(path, np.zeros((20_000, 50)))
        x = oc.open(path)
        rows = np.arange(0, len(x), 7)
        gather._is_hot = lambda *given: way != "cold"
        x.take(rows[:10] if way == "cold" else rows)  # open, and if hot, mapped
        if way == "hot, not mapped yet":
            x = oc.open(path)
            x[0]
        os.truncate(path, 128 + x.nbytes // 2)
        try:
            read(x, rows)
        except oc.errors.StaleArrayError as error:
            print(way, name, str(error).replace("\\n", " "), sep=":", flush=True)

    for way in "hot", "hot, not mapped yet", "cold":
        for name, read in READS.items():
            child = os.fork()
            if child == 0:
                read_after_the_cut(way, read)
                os._exit(0)
            if status := os.waitpid(child, 0)[1]:
                print(way, name, f"ended with {status}", sep=":", flush=True)
"""


@pytest.fixture(scope="module")
def after_the_cut(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """What came of each read, in processes that a signal may end."""
    run = subprocess.run(
        [sys.executable, "-c", CUT],
        cwd=tmp_path_factory.mktemp("cut"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return {(way, read): text for way, read, text in (line.split(":", 2) for line in run.stdout.splitlines())}


@pytest.mark.parametrize("way", ["hot", "hot, not mapped yet", "cold"])
@pytest.mark.parametrize("read", ["take", "windows", "all", "column"])
def test_a_file_that_was_cut_while_open_is_stale_and_never_a_bus_error(
    after_the_cut: dict[tuple[str, str], str], way: str, read: str
) -> None:
    text = after_the_cut[way, read]
    assert str(128 + 4_000_000) in text  # where the file ends now
    assert "cut" in text


# ---- nothing left behind --------------------------------------------------------------------------


def test_thousands_of_dropped_arrays_leave_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "FEW", 0)  # so that files are mapped too
    np.save(tmp_path / "x.npy", np.zeros((10, 2), "i4,f4"))
    before = len(os.listdir("/proc/self/fd"))
    gc.disable()  # references alone must do
    try:
        for i in range(3000):
            opened = oc.open(tmp_path / "x.npy", mode=("r", "r+", "c")[i % 3])
            opened.take([1, 0])
            opened["f0"][0]
            if i % 5 == 0:
                opened.close()
        del opened
        assert len(os.listdir("/proc/self/fd")) <= before
    finally:
        gc.enable()


def test_a_handle_that_is_only_carried_holds_no_descriptor(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((10, 2)))
    before = len(os.listdir("/proc/self/fd"))
    handles = [oc.open(tmp_path / "x.npy") for _ in range(3000)]
    assert len(os.listdir("/proc/self/fd")) <= before
    assert len(handles) == 3000


def test_threads_end_with_the_call(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(1 << 25))
    opened = oc.open(tmp_path / "x.bin", dtype="f8", shape=(-1, 64))
    opened.take(np.random.default_rng(0).permutation(len(opened)))
    opened[:]
    assert [thread for thread in threading.enumerate() if "outcore" in thread.name] == []


def test_threads_that_open_one_private_copy_at_once_share_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(64))
    for _ in range(20):
        opened, together = oc.open(tmp_path / "x.npy", mode="c"), threading.Barrier(8)

        def write(part: int, opened: oc.Array = opened, together: threading.Barrier = together) -> None:
            together.wait()
            opened[part] = 1

        threads = [threading.Thread(target=write, args=(part,)) for part in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert opened[:].sum() == 8
