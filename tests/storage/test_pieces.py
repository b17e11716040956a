"""Arrays of any strides, cut into pieces that fill the file."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.storage.file import open_file
from outcore.storage.pieces import Pieces, write_arrays
from outcore.testing import example
from tests.strategies import arrays


@given(array=arrays(max_dims=4).filter(lambda a: a.nbytes > 0), nbytes=st.integers(1, 200), axes=st.randoms())
def test_pieces_are_the_bytes_of_the_array_in_order(array: np.ndarray, nbytes: int, axes: object) -> None:
    order = list(range(array.ndim))
    axes.shuffle(order)
    view = array.transpose(order).view(f"V{array.itemsize}")  # the holes between fields count too
    pieces = Pieces(view, nbytes)
    at, joined = 0, b""
    for number in range(len(pieces)):
        offset, piece = pieces(number)
        assert offset == at
        assert piece.nbytes <= max(nbytes, array.itemsize)
        assert np.shares_memory(piece, array)
        joined += piece.tobytes()
        at += piece.nbytes
    assert joined == view.tobytes()


@pytest.mark.parametrize("threads", [1, 4])
def test_arrays_are_written_to_their_places(tmp_path: Path, threads: int) -> None:
    rows = example((3000, 50), "f4")
    padded = example((77,), np.dtype([("a", "i1"), ("b", "f8")], align=True))[::-2]
    placed = [
        (rows, 100),
        (np.asfortranarray(rows), 700_000),
        (np.float32(3).reshape(()), 8),
        (padded, 1_400_000),
    ]
    (tmp_path / "x").write_bytes(b"")
    done: list[int] = []
    lock = threading.Lock()

    def count(n: int) -> None:
        with lock:
            done.append(n)

    file = open_file(str(tmp_path / "x"), writable=True)
    try:
        write_arrays(file, placed, threads=threads, copy_bytes=1000, done=count)
        write_arrays(file, [], threads=threads, copy_bytes=1000, done=count)
    finally:
        file.close()
    found = (tmp_path / "x").read_bytes()
    for array, offset in placed:
        # As items without fields: the holes between them count too.
        plain = array.view(f"V{array.dtype.itemsize}") if array.ndim else array
        assert found[offset : offset + array.nbytes] == plain.tobytes()
    assert sum(done) == sum(array.nbytes for array, _ in placed)
    assert len(done) > 600  # the one that is not contiguous was cut


def test_an_error_ends_the_writing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    file = open_file(str(tmp_path / "x"), writable=True)

    def fail(n: int) -> None:
        raise RuntimeError

    try:
        with pytest.raises(RuntimeError):
            write_arrays(file, [(np.ones(10), 0)] * 50, threads=3, copy_bytes=1000, done=fail)
    finally:
        file.close()
    assert (tmp_path / "x").stat().st_size == 80
