from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.blocks.source import Source
from outcore.loader import sources
from outcore.loader.sources import Feed, feeds_of
from outcore.loader.structure import Structure

N = 200
TABLE = np.zeros(N, [("a", "i4"), ("b", "f8", (2,))])
TABLE["a"], TABLE["b"] = np.arange(N), np.arange(2.0 * N).reshape(N, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("sources")
    np.save(where / "table.npy", TABLE)
    np.save(where / "matrix.npy", TABLE["b"])
    return where


def kinds(folder):
    return {
        "matrix": (TABLE["b"], lambda: np.ascontiguousarray(TABLE["b"])),
        "strided": (TABLE["b"], lambda: TABLE["b"]),
        "fortran": (TABLE["b"], lambda: np.asfortranarray(TABLE["b"])),
        "file": (TABLE["b"], lambda: str(folder / "matrix.npy")),
        "table": (TABLE, lambda: str(folder / "table.npy")),
        "field": (TABLE["a"], lambda: oc.open(str(folder / "table.npy"))["a"]),
        "byte": (TABLE["a"] % 7 == 0, lambda: TABLE["a"] % 7 == 0),
    }


@given(
    kind=st.sampled_from(["matrix", "strided", "fortran", "file", "table", "field", "byte"]),
    offsets=st.sampled_from([[0], [3], [0, 1, 2, 3], [0, 2, 4], [5, 6], [0, 100]]),
    rows=st.lists(st.integers(0, N - 101), max_size=30),
    pieces=st.sampled_from([1 << 20, 64]),
)
def test_samples_are_rows_at_their_offsets(folder, kind, offsets, rows, pieces):
    values, make = kinds(folder)[kind]
    feed = Feed(Source(oc.asarray(make())), offsets, windowed=len(offsets) > 1)
    expected = values[np.array(rows, int)[:, None] + offsets]
    expected = expected if feed.windowed else expected[:, 0]
    rows = np.array(rows, np.int64)
    before, sources.INDEX_BYTES = sources.INDEX_BYTES, pieces
    try:
        out = np.empty((len(rows), *feed.sample_shape), feed.dtype)
        nbytes = feed.gather(rows, out)
        buffered = np.empty_like(out)
        feed.gather_from(np.ascontiguousarray(values[offsets[0] :]), rows, buffered)
    finally:
        sources.INDEX_BYTES = before
    assert np.array_equal(out, expected)
    assert np.array_equal(buffered, expected)
    assert nbytes == (0 if feed.in_memory else out.nbytes)
    assert feed.sample_bytes * len(rows) == out.nbytes


def test_the_first_array_is_cut_into_windows_and_the_others_are_targets():
    structure, parts = Structure.of((TABLE["b"], TABLE["a"]))
    inputs, targets = feeds_of(structure, parts, oc.Window(3, sampling_rate=2, horizon=5))
    assert inputs.offsets.tolist() == [0, 2, 4]
    assert inputs.sample_shape == (3, 2)
    assert targets.offsets.tolist() == [9]
    assert targets.sample_shape == ()


def test_rows_in_memory_are_shared_once_for_other_processes():
    feed = Feed(Source(oc.asarray(np.arange(100_000))), [1, 2], windowed=True)
    there = feed.reachable()
    assert there.reachable() is there
    again = pickle.loads(pickle.dumps(there))
    out = np.empty((1, 2), np.int64)
    again.gather(np.array([41]), out)
    assert out.tolist() == [[42, 43]]
    assert again.windowed


def test_a_file_needs_no_sharing(folder):
    feed = Feed(Source(oc.open(str(folder / "matrix.npy"))), [0], windowed=False)
    assert feed.reachable() is feed
    assert not feed.in_memory
