"""Rows for workers: views, reads into buffers, chunks decoded once, and what other processes get."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks import source as sources
from outcore.blocks.source import Source
from outcore.blocks.statistic import Workspace

A = np.arange(3000.0).reshape(1000, 3)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", A)
    oc.convert(A, f"{tmp_path}/a.h5::/a", chunks=(70, 3), compression="gzip")
    oc.convert(A, f"{tmp_path}/a.h5::/wide", chunks=(1000, 1), compression="gzip")
    return tmp_path


def test_rows_in_memory_are_not_copied() -> None:
    source = Source(oc.asarray(A))
    rows = source.read(10, 20, Workspace())
    assert np.shares_memory(rows, A)
    assert not rows.flags.writeable
    assert A.flags.writeable
    assert source.buffer_bytes(10) == source.held_bytes(10) == source.reading_bytes(10) == 0


@pytest.mark.parametrize("name", ["a.npy", "a.h5::/a", "a.h5::/wide"])
def test_blocks_one_after_the_other(files: Path, name: str) -> None:
    source, workspace = Source(oc.open(f"{files}/{name}")), Workspace()
    for size in (1, 64, 70, 999, 1000):
        for low in range(0, 1000, size):
            rows = source.read(low, min(low + size, 1000), workspace)
            assert np.array_equal(rows, A[low : low + size])
            assert not rows.flags.writeable


def test_blocks_in_any_order(files: Path) -> None:
    """What a worker keeps of one group does not show in another one."""
    source, workspace = Source(oc.open(f"{files}/a.h5::/a")), Workspace()

    @given(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 200)), max_size=8))
    def check(blocks: list[tuple[int, int]]) -> None:
        for low, size in blocks:
            assert np.array_equal(source.read(low, min(low + size, 1000), workspace), A[low : low + size])

    check()


def test_an_error_does_not_leave_rows_half_new(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, workspace = Source(oc.open(f"{files}/a.h5::/a")), Workspace()
    source.read(0, 64, workspace)
    with monkeypatch.context() as patched:
        patched.setattr(Source, "read_into", lambda *args: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            source.read(64, 128, workspace)
    assert np.array_equal(source.read(64, 128, workspace), A[64:128])


def test_chunks_that_are_too_large_are_not_kept(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(oc.open(f"{files}/a.h5::/a"))
    assert source.decoded_rows == 70
    monkeypatch.setattr(sources, "KEPT_BYTES", 70 * 24 - 1)
    assert source.decoded_rows == 1
    assert np.array_equal(source.read(64, 128, Workspace()), A[64:128])
    assert Source(oc.open(files / "a.npy")).decoded_rows == 1


def test_two_sources_do_not_share_their_buffers(files: Path) -> None:
    workspace = Workspace()
    one, two = (Source(oc.open(f"{files}/{name}"), key) for name, key in (("a.npy", "x"), ("a.h5::/a", "y")))
    rows, weights = one.read(0, 50, workspace), two.read(100, 150, workspace)
    assert np.array_equal(rows, A[:50])
    assert np.array_equal(weights, A[100:150])


def test_a_pickle_is_the_address(files: Path) -> None:
    data = pickle.dumps(Source(oc.open(files / "a.npy"), "rows"))
    assert len(data) < 500
    assert np.array_equal(pickle.loads(data).read(3, 5, Workspace()), A[3:5])


def changed(folder: Path) -> oc.Array:
    private = oc.open(folder / "a.npy", "c")
    private[0] = -1
    return private


@pytest.mark.parametrize(
    ("place", "moved"), [("memory", True), ("private", True), ("file", False), ("shared", False)]
)
def test_what_other_processes_cannot_reach_is_copied_once(files: Path, place: str, moved: bool) -> None:
    made: dict[str, Any] = {
        "memory": lambda: oc.asarray(A),
        "private": lambda: changed(files),
        "file": lambda: oc.open(files / "a.npy"),
        "shared": lambda: oc.asarray(oc.share(A)),
    }
    source = Source(made[place]())
    assert source.needs_sharing() is moved
    there = source.reachable()
    assert (there is source) is not moved
    back = pickle.loads(pickle.dumps(there))
    expected = A.copy()
    if place == "private":
        expected[0] = -1
    assert np.array_equal(back.read(0, 10, Workspace()), expected[:10])


@pytest.mark.parametrize(
    ("array", "converts"),
    [
        (A, False),
        (A.astype("f4"), True),
        (A.astype(">f8"), True),
        (A.astype(int), True),
        (np.asfortranarray(A), True),
        (A[::2], True),
        (A[:, :2], True),
        (A[5:], False),
    ],
)
def test_what_has_to_be_converted(array: Any, converts: bool) -> None:
    assert Source(oc.asarray(array)).converts is converts


def test_a_file_of_float64_is_not_converted(files: Path) -> None:
    assert not Source(oc.open(files / "a.npy")).converts
