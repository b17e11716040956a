from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.storage import chunked_write, hdf5
from outcore.storage.chunked_write import ChunkedWriter
from outcore.testing import assert_same, example
from tests.strategies import STRUCTURED

#: A file for each example: one that failed leaves its file open.
NUMBERS = itertools.count()


def writer(path: Path, shape: tuple[int | None, ...], dtype: Any = "f8", **options: Any) -> ChunkedWriter:
    path.write_bytes(b"")
    made = hdf5.create(str(path), "/g/x", shape, np.dtype(dtype), **{"chunks": True, **options})
    assert isinstance(made, ChunkedWriter)
    return made


def finish(made: ChunkedWriter) -> None:
    made.finish()
    made.close()


def content(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        rows: np.ndarray = file["g/x"][...]
        return rows


def read(made: ChunkedWriter, start: int, stop: int) -> np.ndarray:
    out = np.empty((1, stop - start, *made.shape[1:]), made.dtype)
    made.read_windows(np.array([start]), stop - start, out)
    return out[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chunked_write")


OPTIONS = [
    {},
    {"compression": "gzip"},
    {"compression": "gzip", "compression_opts": 0, "shuffle": False, "fletcher32": True},
    {"shuffle": True},
    {"compression": "lzf"},
]


@given(data=st.data())
def test_rows_written_in_any_way_read_back_as_the_last_ones(folder: Path, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.dtype("f8"), np.dtype(">i2"), np.dtype("S5"), STRUCTURED[0]]))
    inner = tuple(data.draw(st.lists(st.integers(1, 5), max_size=2)))
    growable = data.draw(st.booleans())
    n_rows = 0 if growable else data.draw(st.integers(1, 30))
    chunks = (data.draw(st.integers(1, 8)), *(data.draw(st.integers(1, n)) for n in inner))
    options = data.draw(st.sampled_from(OPTIONS))
    path = folder / f"{next(NUMBERS)}.h5"
    made = writer(path, (None if growable else n_rows, *inner), dtype, chunks=chunks, **options)
    stock = example((200, *inner), dtype)
    expected = np.zeros_like(stock[:n_rows])
    for number in range(data.draw(st.integers(0, 12))):
        acts = ["write", "read", "flush"] + ["append"] * 4 * growable + ["shrink"] * growable
        act = data.draw(st.sampled_from(acts))
        if act == "append":
            count = data.draw(st.integers(0, 20))
            block = stock[number : number + count]
            made.grow(len(expected) + count)
            made.write_rows(len(expected), block)
            # Not numpy.concatenate, which changes the byte order.
            longer = np.empty((len(expected) + count, *inner), dtype)
            longer[: len(expected)], longer[len(expected) :] = expected, block
            expected = longer
        elif act == "shrink":
            size = data.draw(st.integers(0, len(expected)))
            made.grow(size)
            expected = expected[:size]
        elif act == "flush":
            made.flush()
        else:
            # Often right behind the last block, as a loop over blocks does.
            low = data.draw(st.integers(0, len(expected)))
            high = data.draw(st.integers(low, len(expected)))
            if act == "write":
                block = stock[50 + number : 50 + number + high - low]
                made.write_rows(low, block)
                expected[low:high] = block
            elif high > low:
                assert_same(read(made, low, high), expected[low:high])
    assert made.shape == expected.shape
    finish(made)
    assert_same(content(path), expected)
    with oc.open(path) as array:
        assert_same(array[...], expected)
    path.unlink()


@given(data=st.data())
def test_blocks_in_order_read_back(folder: Path, data: st.DataObject) -> None:
    n_rows = data.draw(st.integers(1, 60))
    chunks = (data.draw(st.integers(1, min(n_rows, 9))), 2)
    rows = example((n_rows, 3), "i4")
    path = folder / f"{next(NUMBERS)}.h5"
    made = writer(path, (n_rows, 3), "i4", chunks=chunks, compression="gzip")
    low = 0
    while low < n_rows:
        high = data.draw(st.integers(low + 1, n_rows))
        made.write_rows(low, rows[low:high])
        if data.draw(st.booleans()):
            assert_same(read(made, 0, high), rows[:high])
        low = high
    finish(made)
    assert_same(content(path), rows)


def test_whole_bands_do_not_pass_through_hdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_write, "write_rows", None)
    rows = example((105, 7), "f4")
    made = writer(tmp_path / "x.h5", (105, 7), "f4", chunks=(10, 3), compression="gzip")
    for low in range(0, 105, 8):
        made.write_rows(low, rows[low : low + 8])
    finish(made)
    assert_same(content(tmp_path / "x.h5"), rows)


def test_the_file_does_not_depend_on_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).random((3000, 20))
    files = []
    for n_threads in (1, 8):
        monkeypatch.setattr(os, "cpu_count", lambda n=n_threads: n)
        made = writer(tmp_path / "x.h5", (3000, 20), chunks=(20, 10), compression="gzip")
        made.write_rows(0, rows)
        finish(made)
        files.append((tmp_path / "x.h5").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("options", [hdf5plugin.Zstd(), hdf5plugin.Blosc(), {"compression": 32015}], ids=str)
def test_filters_of_hdf5plugin_are_written_by_h5py(tmp_path: Path, options: Any) -> None:
    rows = example((100, 7), "f8")
    given = options if isinstance(options, dict) else {"compression": options}
    made = writer(tmp_path / "x.h5", (None, 7), chunks=(30, 7), **given)
    assert made.info()["writer"] == "compressed by h5py"
    for low in range(0, 100, 9):
        made.grow(min(low + 9, 100))
        made.write_rows(low, rows[low : low + 9])
    finish(made)
    assert_same(content(tmp_path / "x.h5"), rows)
    with oc.open(tmp_path / "x.h5") as array:
        assert "chunk index" in array.info["reader"]
        assert_same(array[:], rows)


def test_bands_too_large_to_keep_waiting_are_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked_write, "MAX_WAITING_BYTES", 100)
    rows = example((50, 7), "f8")
    made = writer(tmp_path / "x.h5", (50, 7), chunks=(10, 7), compression="gzip")
    for low in range(0, 50, 3):
        made.write_rows(low, rows[low : low + 3])
        assert made._waiting is None
    finish(made)
    assert_same(content(tmp_path / "x.h5"), rows)


def test_threads_may_write_at_once(tmp_path: Path) -> None:
    rows = example((4000, 7), "f8")
    made = writer(tmp_path / "x.h5", (4000, 7), chunks=(60, 7), compression="gzip")

    def write(part: int) -> None:
        for low in range(part * 1000, part * 1000 + 1000, 125):
            made.write_rows(low, rows[low : low + 125])
            assert_same(read(made, low, low + 125), rows[low : low + 125])

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish(made)
    assert_same(content(tmp_path / "x.h5"), rows)


def test_an_array_that_is_given_up_leaves_no_open_file(tmp_path: Path) -> None:
    def fail() -> None:
        with oc.create(tmp_path / "x.h5::/x", (None, 3), compression="lzf") as made:
            made.append(np.ones((10, 3)))
            made[3:5] = 7
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_rows_can_be_created_appended_and_read_as_an_array(tmp_path: Path) -> None:
    rows = example((1000, 3), "f4")
    with oc.create(
        tmp_path / "x.h5::/deep/er/x", (None, 3), "f4", compression="gzip", chunks=(64, 3)
    ) as made:
        for low in range(0, 1000, 100):
            made.append(rows[low : low + 100])
            assert_same(made[max(low - 3, 0) : low + 100], rows[max(low - 3, 0) : low + 100])
    assert_same(made[:], rows)
    assert made.info["filters"] == ["shuffle", "gzip"]


# ---- forks and full disks -------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    made = writer(tmp_path / "x.h5", (None, 3))
    child = os.fork()
    if child == 0:
        try:
            for act in (
                lambda: made.write_rows(0, np.ones((1, 3))),
                lambda: made.grow(5),
                lambda: read(made, 0, 1),
                made.flush,
                made.finish,
            ):
                with pytest.raises(oc.errors.WriterConflictError, match=f"process {os.getppid()}; this is"):
                    act()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    made.grow(2)
    made.write_rows(0, np.ones((2, 3)))
    finish(made)
    assert_same(content(tmp_path / "x.h5"), np.ones((2, 3)))


def script(text: str, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python source in a process of its own."""
    command = [*before, sys.executable, "-W", "error", "-c", textwrap.dedent(text), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_that_ends_normally_does_not_harm_the_file(tmp_path: Path) -> None:
    # HDF5 writes what it holds when a process exits: in the child, the state at the time of the fork.
    done = script(
        """
        import os, sys
        import numpy as np
        import outcore as oc

        with oc.create(sys.argv[1] + "::/x", (None, 10), chunks=(5, 10), compression="gzip") as made:
            for i in range(20):
                made.append(np.full((5, 10), i))
            go, wait = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(wait)
                os.read(go, 1)  # until the parent has finished the file
                del made
                sys.exit(0)
            for i in range(20, 300):
                made.append(np.full((5, 10), i))
        os.close(wait)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        str(tmp_path / "x.h5"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    with h5py.File(tmp_path / "x.h5") as found:
        assert_same(found["x"][:, 3], np.repeat(np.arange(300.0), 5))


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a small file system of its own")
@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("chunks", [None, 50])
def test_a_full_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path, compression: str | None, chunks: int | None
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=2m none {small} && exec "$@"'
    before = ("unshare", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("needs a small file system of its own, and may not mount one")
    done = script(
        """
        import os, sys
        import numpy as np
        import outcore as oc

        rows = np.random.default_rng(0).random((50, 1000))
        chunks = (int(sys.argv[2]), 1000) if sys.argv[2] != "None" else None
        compression = sys.argv[3] if sys.argv[3] != "None" else None
        try:
            shape = (None if chunks else 500, 1000)
            with oc.create(sys.argv[1] + "/x.h5::/x", shape, chunks=chunks, compression=compression) as made:
                for low in range(0, 500, 50):
                    if chunks:
                        made.append(rows)
                    else:
                        made[low : low + 50] = rows
                made.flush()
        except oc.errors.DiskFullError as error:
            print(error)
        print(os.listdir(sys.argv[1]))
        """,
        str(small),
        str(chunks),
        str(compression),
        before=before,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "the disk is full at byte" in done.stdout
    assert done.stdout.endswith("[]\n")
