"""What users give as ``indices=``, against NumPy's indexing."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import outcore as oc
from outcore.errors import OptionError, RowIndexError, SelectionError, ShapeError
from outcore.loader import indices as module
from outcore.loader.indices import Indices, RowList, RowRange, indices_of

BOUND = st.none() | st.integers(-25, 25)
STEP = st.none() | st.integers(-5, 5).filter(bool)


def rows(chosen: Indices) -> list[int]:
    return chosen.rows(np.arange(chosen.n)).tolist()


def runs(chosen: Indices) -> list[int]:
    """The rows of the runs, which must ascend and not adjoin."""
    found = chosen.runs()
    assert found.shape[1:] == (2,)
    assert found.dtype == np.int64
    assert np.all(found[:, 0] < found[:, 1])
    assert np.all(found[1:, 0] > found[:-1, 1])
    return [row for start, stop in found.tolist() for row in range(start, stop)]


@given(st.integers(0, 20), st.builds(slice, BOUND, BOUND, STEP))
def test_slices_are_those_of_numpy(n_rows: int, chosen: slice) -> None:
    expected = np.arange(n_rows)[chosen].tolist()
    found = indices_of(chosen, n_rows)
    assert isinstance(found, RowRange)
    assert rows(found) == expected
    assert runs(found) == sorted(expected)


@given(st.integers(1, 20), st.builds(range, st.integers(-25, 25), st.integers(-25, 25), STEP.filter(bool)))
def test_ranges_are_checked_as_numpy_checks_them(n_rows: int, chosen: range) -> None:
    try:
        expected = np.arange(n_rows)[np.array(chosen, np.int64)].tolist()
    except IndexError:
        first = next(row for row in chosen if not -n_rows <= row < n_rows)
        with pytest.raises(RowIndexError, match=rf"has row {first}; the arrays have {n_rows} rows"):
            indices_of(chosen, n_rows)
        return
    found = indices_of(chosen, n_rows)
    assert rows(found) == expected
    assert runs(found) == sorted(set(expected))


@given(st.data(), st.integers(1, 300), st.integers(1, 7))
def test_arrays_keep_their_order_and_repeats(data: st.DataObject, n_rows: int, rows_a_block: int) -> None:
    inside = st.integers(-n_rows, n_rows - 1)
    given_as = data.draw(hnp.arrays(st.sampled_from(["<i8", ">i4"]), st.integers(0, 40), elements=inside))
    expected = np.arange(n_rows)[given_as].tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outcore.loader.runs.BLOCK_BYTES", 8 * rows_a_block)
        patch.setattr(module, "BLOCK_BYTES", 8 * rows_a_block)
        for chosen in (given_as, given_as.tolist()):
            found = indices_of(chosen, n_rows)
            assert rows(found) == expected
            assert runs(found) == sorted(set(expected))


@given(st.data(), st.integers(1, 300), st.integers(1, 7))
def test_masks_choose_the_rows_that_are_true(data: st.DataObject, n_rows: int, rows_a_block: int) -> None:
    mask = data.draw(hnp.arrays(np.bool_, n_rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outcore.loader.runs.BLOCK_BYTES", rows_a_block)
        found = indices_of(mask, n_rows)
    assert rows(found) == runs(found) == np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        (np.arange(5, 95), range(5, 95)),
        ([3, 1], range(3, -1, -2)),
        (np.arange(99, -1, -3), range(99, -1, -3)),
        (np.ones(100, bool), range(100)),
        ([7], range(7, 8)),
        ([], range(0)),
        (range(-100, 0), range(100)),
    ],
    ids=str,
)
def test_what_counts_evenly_is_kept_as_three_numbers(chosen: Any, kept: range) -> None:
    found = indices_of(chosen, 100)
    assert isinstance(found, RowRange)
    assert rows(found) == list(kept)
    assert found.digest() == RowRange(kept, 100).digest()


@pytest.mark.parametrize(
    ("n_rows", "dtype"), [(256, "u1"), (257, "u2"), (1 << 16, "u2"), ((1 << 32) + 1, "u8"), (1 << 32, "u4")]
)
def test_row_numbers_are_kept_in_the_smallest_type(n_rows: int, dtype: str) -> None:
    found = indices_of([n_rows - 1, 0, 0], n_rows)
    assert isinstance(found, RowList)
    assert found._chosen.dtype == dtype
    answer = found.rows(np.array([2, 0]))
    assert answer.tolist() == [0, n_rows - 1]
    assert answer.dtype == np.int64


def test_what_was_given_may_change_afterwards() -> None:
    chosen = np.array([4, 1, 1], np.uint8)
    found = indices_of(chosen, 9)
    chosen[:] = 99
    assert rows(found) == [4, 1, 1]


def test_indices_may_be_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([3, 1, -1]))
    np.save(tmp_path / "mask.npy", np.array([True, False, True, True, False]))
    assert rows(indices_of(tmp_path / "rows.npy", 5)) == [3, 1, 4]
    assert rows(indices_of(oc.open(tmp_path / "mask.npy"), 5)) == [0, 2, 3]
    assert rows(indices_of(np.load(tmp_path / "mask.npy", mmap_mode="r"), 5)) == [0, 2, 3]


def test_without_indices_samples_are_rows_and_not_copied() -> None:
    samples = np.array([5, 2])
    assert indices_of(None, 10**12).rows(samples) is samples


@pytest.mark.parametrize("chosen", [None, slice(3, None, 7), range(10**9), slice(None, None, -1)], ids=str)
def test_a_billion_rows_cost_nothing(chosen: Any) -> None:
    tracemalloc.start()
    try:
        found = indices_of(chosen, 10**9)
        assert found.digest()
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_the_digest_says_what_was_chosen() -> None:
    assert indices_of(None, 9).digest() == indices_of(slice(None), 9).digest() == "all 9 rows"
    assert indices_of(slice(2, 9, 3), 9).digest() == "range(2, 11, 3) of 9 rows"
    assert indices_of(range(1, 2, 5), 9).digest() == indices_of([1], 9).digest() == "range(1, 2, 1) of 9 rows"
    assert indices_of([5, 2, 2], 9).digest() == "3 of 9 rows, blake2b 845ccb514ee52379"


def test_the_digest_differs_where_the_order_does() -> None:
    several = [
        [1, 2, 4],
        [2, 1, 4],
        [1, 2, 2, 4],
        [1, 2],
        [2, 1],
        slice(1, 3),
        slice(0, 3),
        slice(2, None, -1),
    ]
    digests = {indices_of(chosen, 9).digest() for chosen in several}
    assert len(digests) == len(several) - 1  # [1, 2] is slice(1, 3)
    assert indices_of([5, 2, 2], 9).digest() != indices_of([5, 2, 2], 10).digest()


@pytest.mark.parametrize(
    ("chosen", "row"), [([0, 10, 11], 10), (np.array([3, -11]), -11), (np.array([1, 200], "u1"), 200)]
)
def test_the_first_row_outside_is_named(chosen: Any, row: int) -> None:
    with pytest.raises(RowIndexError, match=f"row {row} is out of bounds; the array has 10 rows"):
        indices_of(chosen, 10)


def test_masks_of_another_length_are_refused() -> None:
    with pytest.raises(ShapeError, match="a mask of 9 booleans; the arrays have 10 rows"):
        indices_of(np.ones(9, bool), 10)


def test_what_is_no_list_of_rows_is_refused() -> None:
    with pytest.raises(SelectionError, match="dtype float64"):
        indices_of([0.5, 1.5], 10)
    with pytest.raises(SelectionError, match="dtype <U1"):
        indices_of(["a"], 10)
    with pytest.raises(ShapeError, match=r"indices has shape \(2, 2\)"):
        indices_of([[1, 2], [3, 4]], 10)
    with pytest.raises(ShapeError, match=r"indices has shape \(\)"):
        indices_of(3, 10)
    with pytest.raises(OptionError, match="no array can be made of this tuple"):
        indices_of((range(3), range(2)), 10)
    with pytest.raises(OptionError, match="not a slice of whole numbers"):
        indices_of(slice(0, 5, 0), 10)
    with pytest.raises(OptionError, match="not a slice of whole numbers"):
        indices_of(slice(0.5), 10)
