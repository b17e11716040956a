from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import outcore as oc
from outcore.layout import PAGE_BYTES, check_out, cut_runs, normalise_rows, normalise_starts

# ---- rows -----------------------------------------------------------------------------------------


@given(n_rows=st.integers(0, 300), rows=hnp.arrays(hnp.integer_dtypes(), st.integers(0, 8)))
def test_rows_are_those_of_numpy_or_refused(n_rows: int, rows: np.ndarray) -> None:
    try:
        expected = np.arange(n_rows)[rows]
    except IndexError:
        with pytest.raises(oc.errors.RowIndexError) as caught:
            normalise_rows(rows, n_rows)
        first = next(row for row in rows.tolist() if not -n_rows <= row < n_rows)
        assert str(caught.value).startswith(f"row {first} is out of bounds; the array has {n_rows} rows.")
    else:
        found = normalise_rows(rows, n_rows)
        assert found.dtype == np.int64
        assert found.tolist() == expected.tolist()


def test_rows_of_the_caller_are_never_changed() -> None:
    rows = np.array([-1, 0], np.int64)
    found = normalise_rows(rows, 5)
    found[:] = 9
    assert rows.tolist() == [-1, 0]
    starts = np.array([2, 0], np.int64)
    normalise_starts(starts, 2, 5)[:] = 9
    assert starts.tolist() == [2, 0]


def test_masks_select_rows() -> None:
    assert normalise_rows([True, False, True], 3).tolist() == [0, 2]
    with pytest.raises(oc.errors.RowIndexError, match="2 entries; the array has 3 rows"):
        normalise_rows([True, False], 3)


def test_no_rows_in_every_way_to_say_so() -> None:
    for rows in ([], np.empty(0, np.int8), np.zeros(0, bool), ()):
        assert normalise_rows(rows, 0).tolist() == []


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (3, "0 dimensions"),
        ([[1, 2]], "2 dimensions"),
        ([1.0], "dtype float64"),
        (["1"], "dtype <U1"),
        ([2**70], "dtype object"),
        (np.array(["2020"], "M8[Y]"), "dtype datetime64"),
    ],
    ids=repr,
)
def test_what_is_not_a_list_of_rows_is_named(rows: Any, text: str) -> None:
    with pytest.raises(oc.errors.SelectionError, match=text):
        normalise_rows(rows, 5)


def test_an_array_without_rows_says_that_there_is_nothing_to_take() -> None:
    with pytest.raises(oc.errors.RowIndexError, match="nothing to take"):
        normalise_rows([0], 0)


# ---- windows --------------------------------------------------------------------------------------


@given(
    n_rows=st.integers(0, 200),
    length=st.integers(1, 20),
    starts=hnp.arrays(hnp.integer_dtypes(), st.integers(0, 8)),
)
def test_windows_lie_inside_or_the_first_that_does_not_is_named(
    n_rows: int, length: int, starts: np.ndarray
) -> None:
    wrong = [i for i, start in enumerate(starts.tolist()) if not 0 <= start <= n_rows - length]
    if wrong:
        with pytest.raises(oc.errors.RowIndexError) as caught:
            normalise_starts(starts, length, n_rows)
        text = (
            f"window {wrong[0]} starts at row {starts[wrong[0]]} and has {length} rows; there are {n_rows}."
        )
        assert str(caught.value).startswith(text)
    else:
        assert normalise_starts(starts, length, n_rows).tolist() == starts.tolist()


@pytest.mark.parametrize("length", [0, -1, 1.5, 2.0, True, None, "3"], ids=repr)
def test_a_length_that_is_no_number_of_rows(length: Any) -> None:
    with pytest.raises(oc.errors.ShapeError, match="window length is"):
        normalise_starts([0], length, 10)


def test_a_length_may_be_a_numpy_integer() -> None:
    assert normalise_starts([0, 7], np.uint8(3), 10).tolist() == [0, 7]


@pytest.mark.parametrize("starts", [3, [[1]], [1.0], [True], ["1"]], ids=repr)
def test_starts_that_are_no_list_of_integers(starts: Any) -> None:
    with pytest.raises(oc.errors.SelectionError, match="expected a list of integers"):
        normalise_starts(starts, 2, 10)


# ---- runs -----------------------------------------------------------------------------------------


@given(
    offsets=st.lists(st.integers(0, 60_000), min_size=1, max_size=30).map(sorted),
    nbytes=st.integers(1, 9000),
    gap=st.sampled_from([1, 100, PAGE_BYTES]),
)
def test_runs_cover_the_ranges_and_bridge_no_wide_gap(offsets: list[int], nbytes: int, gap: int) -> None:
    runs = cut_runs(np.array(offsets), nbytes, gap=gap)
    assert runs.first[0] == 0
    assert runs.first[-1] == len(offsets)
    covered = {(b, b + n) for b, n in zip(runs.begin.tolist(), runs.nbytes.tolist(), strict=True)}
    for r in range(len(runs.begin)):
        members = offsets[runs.first[r] : runs.first[r + 1]]
        assert (members[0], members[-1] + nbytes) in covered
        assert all(b - (a + nbytes) < gap for a, b in pairwise(members))
    ends = (runs.begin + runs.nbytes).tolist()
    assert all(begin - end >= gap for end, begin in zip(ends, runs.begin.tolist()[1:], strict=False))
    steps = [b - a for a, b in pairwise(offsets)]
    assert runs.plain == all(step == nbytes or step >= nbytes + gap for step in steps)


# ---- out ------------------------------------------------------------------------------------------


def test_an_out_that_fits_is_returned_itself() -> None:
    out = np.empty((4, 6), ">f4")[::2, ::3]
    assert check_out(out, (2, 2), np.dtype(">f4")) is out


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ([[0.0, 0.0]], r"out is a list; expected an ndarray of shape \(1, 2\) and dtype float64"),
        (np.empty((2, 1)), r"out has shape \(2, 1\)"),
        (np.empty(2), r"out has shape \(2,\)"),
        (np.empty((1, 2), "f4"), "dtype float32; expected"),
        (np.empty((1, 2), ">f8"), "dtype >f8; expected"),
        (np.broadcast_to(0.0, (1, 2)), "out is read-only"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_an_out_that_does_not_fit_names_both(out: Any, text: str) -> None:
    with pytest.raises(oc.errors.ShapeError, match=text):
        check_out(out, (1, 2), np.dtype("f8"))
