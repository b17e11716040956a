"""Windows: which rows they have, where they begin, and what stops them."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.errors import OptionError, ShapeError
from outcore.loader.window import Starts, Window, cut
from tests.loader.windows_by_hand import NUMBERS, starts_by_hand


def all_of(starts: Starts) -> list[int]:
    return starts.rows(np.arange(starts.n)).tolist()


def whole(n_rows: int) -> Any:
    return np.array([[0, n_rows]])


@given(st.lists(st.integers(0, 1), min_size=1, max_size=40), st.fixed_dictionaries(NUMBERS))
def test_windows_are_those_that_are_enumerated_by_hand(groups: list[int], numbers: dict[str, int]) -> None:
    window = Window(**numbers, groups=groups)
    expected = starts_by_hand(len(groups), window)
    if not expected:
        with pytest.raises(OptionError, match=f"needs {window.span} rows"):
            cut(window, len(groups), whole(len(groups)))
        return
    starts = cut(window, len(groups), whole(len(groups)))
    assert all_of(starts) == expected
    backwards = np.arange(starts.n)[::-1]
    assert starts.rows(backwards).tolist() == expected[::-1]


def keras_starts(n_steps: int, length: int, stride: int, rate: int) -> list[int]:
    """Where `keras.utils.timeseries_dataset_from_array` documents that sequences start.

    At steps 0, stride, 2 * stride, ..., as long as the sequence's last step is inside.
    """
    return [start for start in range(0, n_steps, stride) if start + (length - 1) * rate < n_steps]


def test_the_first_example_of_keras_documentation() -> None:
    starts = all_of(cut(Window(10, stride=3, sampling_rate=2), 99, whole(99)))
    assert starts[:3] == [0, 3, 6]
    assert starts[-1] == 78  # the next would start at 81 and its last step would be 99
    assert starts == keras_starts(99, 10, 3, 2)


def test_the_second_example_of_keras_documentation() -> None:
    # Ten steps predict the next one; Keras is given targets that begin ten steps later.
    data = np.arange(50)
    window = Window(10, horizon=1)
    for start in all_of(cut(window, 50, whole(50))):
        assert data[10:][start] == data[start + window.length - 1 + window.horizon]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_without_groups_windows_are_those_of_keras(n_rows: int, length: int, stride: int, rate: int) -> None:
    expected = keras_starts(n_rows, length, stride, rate)
    window = Window(length, stride=stride, sampling_rate=rate)
    if expected:
        assert all_of(cut(window, n_rows, whole(n_rows))) == expected
    else:
        with pytest.raises(OptionError):
            cut(window, n_rows, whole(n_rows))


def test_no_window_and_no_target_crosses_a_group() -> None:
    groups = np.repeat(["a", "b", "a"], [7, 5, 6])
    window = Window(3, horizon=2, groups=groups)
    starts = all_of(cut(window, 18, whole(18)))
    assert starts == [0, 1, 2, 7, 12, 13]
    for start in starts:
        assert len(set(groups[[start, start + 1, start + 2, start + 4]])) == 1


def test_groups_shorter_than_the_window_have_no_samples() -> None:
    groups = np.repeat(np.arange(5), [2, 4, 1, 3, 2])
    assert all_of(cut(Window(3, groups=groups), 12, whole(12))) == [2, 3, 7]


def test_groups_of_one_length_are_found_by_division() -> None:
    groups = np.repeat(np.arange(1000), 10)
    starts = cut(Window(4, stride=3, groups=groups), 10_000, whole(10_000))
    assert all_of(starts) == [g * 10 + s for g in range(1000) for s in (0, 3, 6)]


def test_a_billion_rows_cost_nothing() -> None:
    tracemalloc.start()
    try:
        starts = cut(Window(16, horizon=4), 10**9, whole(10**9))
        assert starts.n == 10**9 - 19
        assert starts.rows(np.array([starts.n - 1])).tolist() == [10**9 - 20]
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_windows_cost_memory_by_the_group_and_not_by_the_window() -> None:
    groups = np.zeros(3_000_000, np.int8)
    groups[1_000_000:2_000_000] = 1
    tracemalloc.start()
    try:
        starts = cut(Window(64, groups=groups), len(groups), whole(len(groups)))
        assert starts.n == 3 * (1_000_000 - 63)
        now, peak = tracemalloc.get_traced_memory()
        assert now < 20_000
        assert peak < 5e6
    finally:
        tracemalloc.stop()
    assert len(pickle.dumps(starts)) < 1000


def test_a_stride_longer_than_the_arrays_leaves_one_window_a_group() -> None:
    groups = np.repeat([0, 1], [9, 8])
    assert all_of(cut(Window(2, stride=10**30, groups=groups), 17, whole(17))) == [0, 9]


def test_a_window_longer_than_every_group_is_refused_with_both_numbers() -> None:
    with pytest.raises(OptionError, match=r"needs 7 rows .* the longest of 2 runs of rows has 6\.\n"):
        cut(Window(4, sampling_rate=2, groups=[0] * 6 + [1] * 5), 11, whole(11))
    with pytest.raises(
        OptionError, match=r"needs 12 rows .* the one run of rows has 11\.\n.*no more than 11\.$"
    ):
        cut(Window(10, horizon=2), 11, whole(11))
    with pytest.raises(OptionError, match=f"needs {10**30} rows"):
        cut(Window(10**30), 11, whole(11))


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(ShapeError, match="groups has 3 values; there are 4 rows"):
        cut(Window(1, groups=[1, 1, 2]), 4, whole(4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 0), ("length", 2.0), ("length", None), ("length", True), ("length", "3"), ("stride", 0),
        ("sampling_rate", -1), ("horizon", -1), ("horizon", np.array([1])),
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"{name}=.*expected a whole number of rows, [01] or more"):
        Window(**{"length": 3, name: value})


def test_numpy_integers_do_not_wrap_around() -> None:
    assert Window(np.int8(100), sampling_rate=np.int8(100), horizon=np.uint8(200)).span == 99 * 100 + 201


def test_a_window_says_what_it_is_without_its_groups() -> None:
    window = Window(16, stride=2, horizon=3, groups=np.zeros(10**6))
    assert repr(window) == "Window(length=16, stride=2, sampling_rate=1, horizon=3)"
    assert window.describe() == "length=16 stride=2 sampling_rate=1 horizon=3"
