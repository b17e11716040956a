"""Samples: rows, the choice among them, and windows, all at once."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.errors import OptionError, RowIndexError
from outcore.loader.samples import Samples, samples_of
from outcore.loader.window import Window
from tests.loader.windows_by_hand import NUMBERS, starts_by_hand


def all_of(samples: Samples) -> list[int]:
    return samples.rows(np.arange(samples.n)).tolist()


@st.composite
def choices(draw: st.DrawFn, n_rows: int) -> Any:
    """`indices` of every kind, hardly ever of no row."""
    bound = st.none() | st.integers(-n_rows, n_rows)
    return draw(
        st.one_of(
            st.none(),
            st.builds(slice, bound, bound, st.none() | st.sampled_from([1, 2, -1, -3])),
            st.lists(st.integers(-n_rows, n_rows - 1), max_size=2 * n_rows),
            st.lists(st.sampled_from([True, True, True, False]), min_size=n_rows, max_size=n_rows),
        )
    )


@given(st.data(), st.integers(1, 40), st.fixed_dictionaries(NUMBERS))
def test_every_combination_against_rows_counted_by_hand(
    data: st.DataObject, n_rows: int, numbers: dict[str, int]
) -> None:
    indices = data.draw(choices(n_rows))
    groups = data.draw(st.none() | st.lists(st.integers(0, 1), min_size=n_rows, max_size=n_rows))
    key: Any = (
        slice(None) if indices is None else indices if isinstance(indices, slice) else np.array(indices)
    )
    if isinstance(indices, list) and not indices:
        key = slice(0, 0)
    rows = np.arange(n_rows)[key].tolist()
    window = data.draw(st.none() | st.just(Window(**numbers, groups=groups)))
    expected = rows if window is None else starts_by_hand(n_rows, window, set(rows))
    if not expected:
        with pytest.raises(OptionError):
            samples_of(n_rows, indices, window)
        return
    samples = samples_of(n_rows, indices, window)
    assert samples.n == len(expected)
    assert all_of(samples) == expected
    assert samples.describe()["samples"] == str(len(expected))
    assert all_of(pickle.loads(pickle.dumps(samples))) == expected


def test_nothing_leaks_from_one_part_of_a_split_into_another() -> None:
    window = Window(4, sampling_rate=2, horizon=3)
    train, test = samples_of(100, slice(0, 70), window), samples_of(100, slice(70, None), window)
    reach = np.arange(window.span)
    used = [set((samples.rows(np.arange(samples.n))[:, None] + reach).ravel()) for samples in (train, test)]
    assert used == [set(range(70)), set(range(70, 100))]


def test_neighbouring_rows_are_told_from_scattered_ones() -> None:
    assert samples_of(100).contiguous
    assert samples_of(100, slice(10, 90)).contiguous
    assert samples_of(100, slice(None, None, -1)).contiguous
    assert samples_of(100, window=Window(8)).contiguous
    assert samples_of(100, window=Window(8, stride=8)).contiguous
    assert not samples_of(100, slice(None, None, 2)).contiguous
    assert not samples_of(100, [5, 9, 2]).contiguous
    assert not samples_of(100, window=Window(8, stride=9)).contiguous
    assert not samples_of(100, slice(None, None, 2), Window(1)).contiguous


def test_plain_samples_are_rows_that_follow_one_another() -> None:
    assert samples_of(100).plain
    assert samples_of(100, slice(10, 90)).plain
    assert samples_of(100, np.arange(3, 8)).plain
    assert not samples_of(100, slice(None, None, -1)).plain
    assert not samples_of(100, [0, 1, 3]).plain
    assert not samples_of(100, window=Window(2)).plain


@given(st.integers(30, 200), st.fixed_dictionaries(NUMBERS), st.integers(1, 20))
def test_the_rows_of_blocks_are_not_underestimated(n_rows: int, numbers: dict[str, int], block: int) -> None:
    samples = samples_of(n_rows, None, Window(**numbers))
    needed = 0
    for start in range(0, samples.n, block):
        first = samples.rows(np.arange(start, min(start + block, samples.n)))
        needed += len(np.unique(first[:, None] + np.arange(samples.span)))
    assert needed <= samples.rows_of_blocks(samples.n, -(-samples.n // block), samples.span)


def test_the_span_is_that_of_the_window() -> None:
    assert samples_of(100).span == 1
    assert samples_of(100, window=Window(3, sampling_rate=5, horizon=2)).span == 13


@pytest.mark.parametrize("indices", [None, slice(5, None), range(10**9), slice(None, None, 3)], ids=str)
@pytest.mark.parametrize("window", [None, Window(1), Window(16, horizon=2), Window(4, stride=4)], ids=str)
def test_a_billion_rows_cost_nothing(indices: Any, window: Window | None) -> None:
    scattered = isinstance(indices, slice) and indices.step == 3
    tracemalloc.start()
    try:
        if scattered and window is not None and window.span > 1:
            with pytest.raises(OptionError, match=r"runs of rows has 1\.\n"):
                samples_of(10**9, indices, window)
        else:
            samples = samples_of(10**9, indices, window)
            samples.describe()
            assert 0 <= samples.rows(np.array([samples.n - 1]))[0] <= 10**9 - samples.span
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_facts_of_plain_rows() -> None:
    assert samples_of(1000).describe() == {"samples": "1000", "indices": "all 1000 rows"}
    facts = samples_of(1000, [4, 2, 2]).describe()
    assert facts == {"samples": "3", "indices": "3 of 1000 rows, blake2b d9114948fed5fa50"}


def test_facts_of_windows() -> None:
    window = Window(16, horizon=1, groups=np.repeat([0, 1], [400, 600]))
    assert samples_of(1000, slice(0, 800), window).describe() == {
        "samples": "768",
        "window": "length=16 stride=1 sampling_rate=1 horizon=1",
        "indices": "range(0, 800, 1) of 1000 rows",
        "groups": "2 runs in 1000 rows, blake2b e49798346db0d890",
    }


def test_facts_are_the_same_for_the_same_samples_only() -> None:
    groups = np.repeat([0, 1], [6, 4])
    several = [
        (None, None), (slice(1, None), None), ([3, 1, 2], None), ([3, 2, 1, 0, 5], None), (None, Window(2)),
        (None, Window(2, horizon=1)), (None, Window(3)), (None, Window(2, groups=groups)),
        (None, Window(2, groups=groups[::-1])), ([0, 1, 2, 5, 6], Window(2)), ([0, 1, 3, 4, 5], Window(2)),
    ]  # fmt: skip
    facts = [str(samples_of(10, indices, window).describe()) for indices, window in several]
    assert len(set(facts)) == len(several)
    # With windows the order of indices means nothing, and so it is no part of the facts.
    assert (
        samples_of(10, [6, 5, 2, 1, 0, 0], Window(2)).describe()
        == samples_of(10, [0, 1, 2, 5, 6], Window(2)).describe()
    )
    # Whatever the groups are called, they are the same groups.
    names = np.where(groups, "x", "y")
    assert (
        samples_of(10, None, Window(2, groups=names)).describe()
        == samples_of(10, None, Window(2, groups=groups)).describe()
    )


def test_no_samples_at_all_is_an_error() -> None:
    with pytest.raises(OptionError, match="indices choose none of the 10 rows"):
        samples_of(10, np.zeros(10, bool))
    with pytest.raises(OptionError, match="the arrays have no rows"):
        samples_of(0)
    with pytest.raises(OptionError, match=r"needs 3 rows .* the longest of 4 runs of rows has 2"):
        samples_of(12, [0, 1, 3, 4, 6, 7, 9], Window(3))


def test_a_window_that_is_a_number_is_refused() -> None:
    with pytest.raises(OptionError, match=r"Use window=oc.Window\(length"):
        samples_of(10, None, 4)


def test_rows_outside_are_an_error_with_windows_too() -> None:
    with pytest.raises(RowIndexError, match="row 10 is out of bounds"):
        samples_of(10, [3, 10, 4], Window(2))
