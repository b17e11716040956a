"""Runs of equal values and of consecutive rows."""

from __future__ import annotations

import tracemalloc
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import outcore as oc
from outcore.errors import DTypeError, OptionError, ShapeError
from outcore.loader import runs
from outcore.testing import example
from tests.strategies import STRUCTURED


def starts(values: Any, n: int | None = None) -> list[int]:
    return runs.group_runs(values, len(values) if n is None else n).starts.tolist()


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 7))
def test_runs_are_those_of_itertools_wherever_blocks_end(values: list[int], rows_a_block: int) -> None:
    expected = [next(run)[0] for _, run in groupby(enumerate(values), key=lambda pair: pair[1])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BLOCK_BYTES", 8 * rows_a_block)
        for given_as in (np.array(values, np.int64), np.array(values, object)):
            found = runs.group_runs(given_as, len(values))
            assert found.starts.tolist() == expected
            assert found.starts.dtype == np.int64
            assert found.values.tolist() == [values[row] for row in expected]


@pytest.mark.parametrize(
    "values",
    [
        [1, 1, 2, 2, 2, 1],
        (1.5, 1.5, np.nan, np.nan, np.nan, 0.0),
        ["a", "a", "bcd", "bcd", "bcd", ""],
        np.array(["a", "a", "bcd", "bcd", "bcd", ""], object),
        np.array([1.0, 1.0, np.nan, np.nan, np.nan, 0.0], object),
        np.array(["2020", "2020", "NaT", "NaT", "NaT", "2021"], "M8[Y]"),
        np.array([1, 1, "NaT", "NaT", "NaT", 2], "m8[s]"),
        np.array([1, 1, complex(0, np.nan), complex(1, np.nan), np.nan, 2]),
        np.array([0, 0, 1, 1, 1, 0], ">u2"),
        np.array([True, True, False, False, False, True]),
        np.array([b"1", b"1", b"22", b"22", b"22", b""], "V2"),
    ],
    ids=str,
)
def test_every_kind_of_value_has_its_runs(values: Any) -> None:
    assert starts(values) == [0, 2, 5]


def test_nan_in_one_field_does_not_hide_a_change_in_another() -> None:
    records = np.array([(np.nan, 1), (np.nan, 1), (np.nan, 2), (0.0, 2)], [("x", "f4"), ("id", "i8")])
    assert starts(records) == [0, 2, 3]


@pytest.mark.parametrize("dtype", STRUCTURED, ids=str)
def test_records_are_compared_field_by_field(dtype: np.dtype[Any]) -> None:
    records = np.repeat(example((5,), dtype), [3, 1, 2, 1, 4])
    assert starts(records) == [0, 3, 4, 6, 7]


def test_groups_may_be_anywhere(tmp_path: Path) -> None:
    values = np.repeat(np.arange(4), [3, 1, 5, 2])
    np.save(tmp_path / "groups.npy", values)
    oc.convert(values, tmp_path / "groups.h5::/g", chunks=(4,), compression="gzip")
    records = np.zeros(11, [("id", "i4"), ("x", "f8")])
    records["id"] = values
    np.save(tmp_path / "records.npy", records)
    for groups in (
        tmp_path / "groups.npy",
        oc.open(tmp_path / "groups.npy"),
        np.load(tmp_path / "groups.npy", mmap_mode="r"),
        oc.open(f"{tmp_path}/groups.h5::/g"),
        oc.open(tmp_path / "records.npy")["id"],
        oc.share(values),
        values.tolist(),
    ):
        assert starts(groups, 11) == [0, 3, 4, 9]


def test_no_rows_have_no_runs() -> None:
    assert starts(np.empty(0, "U3")) == []
    assert runs.consecutive(np.empty(0, np.uint8)).shape == (0, 2)


def test_one_row_of_records_with_several_values_each() -> None:
    assert starts(np.zeros(1, [("m", "i2", (2, 3))])) == [0]


@pytest.mark.parametrize("n", [0, 3, 5])
def test_the_wrong_number_of_groups_is_named_with_the_right_one(n: int) -> None:
    with pytest.raises(ShapeError, match=rf"groups has {n} values; there are 4 rows"):
        runs.group_runs(np.zeros(n), 4)


def test_what_is_no_column_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"groups has shape \(4, 1\)"):
        runs.group_runs(np.zeros((4, 1)), 4)
    with pytest.raises(ShapeError, match=r"groups has shape \(\)"):
        runs.group_runs(3, 4)
    with pytest.raises(OptionError, match="no array can be made of this list"):
        runs.group_runs([[1], [2, 3]], 2)


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise TypeError("boolean value is ambiguous")

    __hash__ = None


def test_objects_that_refuse_to_be_compared_are_named() -> None:
    with pytest.raises(DTypeError, match=r"cannot be compared.*ambiguous"):
        runs.group_runs(np.array([Incomparable(), Incomparable()], object), 2)


def test_ten_million_groups_values_need_a_few_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "groups.npy"
    with oc.create(path, (10_000_000,), "i8") as made:
        made[5_000_000:] = 1
    tracemalloc.start()
    try:
        assert starts(path, 10_000_000) == [0, 5_000_000]
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


@given(hnp.arrays(np.bool_, st.integers(0, 60)), st.integers(1, 7))
def test_consecutive_rows_are_found_wherever_blocks_end(mask: Any, rows_a_block: int) -> None:
    rows = np.flatnonzero(mask).astype(np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BLOCK_BYTES", 8 * rows_a_block)
        found = runs.consecutive(rows)
    assert [row for start, stop in found.tolist() for row in range(start, stop)] == rows.tolist()
    assert np.all(found[:, 0] < found[:, 1])
    assert np.all(found[1:, 0] > found[:-1, 1])  # none adjoin


@given(hnp.arrays(np.bool_, st.integers(1, 40)), st.sets(st.integers(0, 40)))
def test_runs_are_cut_and_lose_no_row(mask: Any, cuts: set[int]) -> None:
    whole = runs.consecutive(np.flatnonzero(mask))
    pieces = runs.cut_at(whole, np.array(sorted(cuts), np.int64)).tolist()
    assert [row for a, b in pieces for row in range(a, b)] == np.flatnonzero(mask).tolist()
    assert all(a < b for a, b in pieces)
    inner = {cut for cut in cuts for a, b in whole.tolist() if a < cut < b}
    assert {a for a, _ in pieces} == {a for a, _ in whole.tolist()} | inner


def test_the_digest_depends_on_the_numbers_and_not_on_how_they_are_kept() -> None:
    numbers = np.array([5, 200, 7])
    assert runs.digest(numbers) == runs.digest(numbers.astype(">u2")) == runs.digest(numbers.astype(np.uint8))
    assert runs.digest(numbers) != runs.digest(numbers[::-1])
    # Written into states of training: a change would make all of them strangers.
    assert runs.digest(numbers) == "blake2b b5af4f6c8b6dbf05"
