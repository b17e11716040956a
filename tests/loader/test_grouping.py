"""``oc.split(groups=...)``: groups stay whole, sizes come near, and no part is empty."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import outcore as oc
from outcore.errors import DTypeError, OptionError, ShapeError
from outcore.loader import grouping
from outcore.loader.splitting import split
from tests.loader.shares import SHARES, as_fractions


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), SHARES, st.integers(0, 3), st.integers(0, 5))
def test_groups_stay_whole_and_no_part_is_empty(
    groups: list[int], shares: list[int], rest: int, seed: int
) -> None:
    values = np.array(groups)
    fractions = as_fractions(shares, rest)
    assume(all(len(groups) * fraction >= 1 for fraction in fractions))
    if len(set(groups)) < len(shares):
        with pytest.raises(OptionError, match=f"different groups: {len(set(groups))}, parts: {len(shares)}"):
            split(len(groups), fractions, seed, groups=values)
        return
    parts = split(len(groups), fractions, seed, groups=values)
    seen: set[int] = set()
    for part in parts:
        assert len(part)
        assert part.dtype == np.int64
        assert np.all(np.diff(part) > 0)
        mine = set(values[part].tolist())
        assert not mine & seen
        assert np.flatnonzero(np.isin(values, list(mine))).tolist() == part.tolist()
        seen |= mine
    if not rest:
        assert seen == set(groups)


@given(st.integers(0, 1000), st.sampled_from([0, 3, 4096]))
def test_sizes_of_groups_come_near_to_the_fractions(seed: int, one_by_one: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(1 / 20, 500)
    groups = rng.permutation(np.repeat(np.arange(500), sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "ONE_BY_ONE", one_by_one)
        parts = split(len(groups), (0.7, 0.2), seed, groups=groups)
    for part, fraction in zip(parts, (0.7, 0.2), strict=True):
        assert abs(len(part) - fraction * len(groups)) <= sizes.max()


@pytest.mark.parametrize("one_by_one", [0, 4096])
def test_large_groups_are_as_likely_in_a_small_part_as_small_ones(
    one_by_one: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "ONE_BY_ONE", one_by_one)
    sizes = np.repeat([1, 10], 100)
    groups = np.repeat(np.arange(200), sizes)
    large = small = 0
    for seed in range(50):
        test = np.unique(groups[split(len(groups), 0.8, seed, groups=groups)[1]])
        large += int(np.count_nonzero(sizes[test] == 10))
        small += int(np.count_nonzero(sizes[test] == 1))
    # 20 of each are expected in each of 50 draws; the deviation of the sum is below 30.
    assert abs(large - 1000) < 150
    assert abs(small - 1000) < 150


@pytest.mark.parametrize("one_by_one", [0, 1, 4096])
def test_a_part_that_no_group_fits_still_gets_one(one_by_one: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "ONE_BY_ONE", one_by_one)
    groups = np.repeat([0, 1, 2], [40, 40, 20])
    parts = split(100, (0.8, 0.1, 0.1), groups=groups)
    assert sorted(len(part) for part in parts) == [20, 40, 40]
    parts = split(100, (0.01, 0.01), groups=groups[:40].tolist() + [1] * 60)
    assert sorted(len(part) for part in parts) == [40, 60]


def test_groups_in_pieces_are_put_together(tmp_path: Path) -> None:
    groups = np.tile(np.repeat(np.arange(10), 3), 4)
    np.save(tmp_path / "groups.npy", groups)
    expected = [part.tolist() for part in split(120, 0.5, groups=groups)]
    assert [len(part) for part in expected] == [60, 60]
    for given_as in (tmp_path / "groups.npy", oc.open(tmp_path / "groups.npy"), groups.tolist()):
        assert [part.tolist() for part in split(120, 0.5, groups=given_as)] == expected


@pytest.mark.parametrize(
    "values",
    [
        np.array([np.nan, 1.0, np.nan, 2.0]),
        np.array(["NaT", "2020", "NaT", "2021"], "M8[Y]"),
        np.array(["a", "bb", "a", "ccc"], object),
        np.array([np.nan, 1.0, np.nan, 2.0], object),
        np.array([(np.nan, b"x"), (1.0, b"x"), (np.nan, b"x"), (np.nan, b"y")], [("v", "f4"), ("id", "S1")]),
        np.array([True, False, True, False]),
        np.array([b"a", b"bb", b"a", b"ccc"], "V3"),
    ],
    ids=str,
)
def test_equal_values_stay_together_wherever_they_are(values: Any) -> None:
    for seed in range(8):
        parts = [set(part.tolist()) for part in split(4, 0.5, seed, groups=values)]
        assert sum({0, 2} <= part for part in parts) == 1


def test_values_of_several_kinds_are_refused() -> None:
    with pytest.raises(DTypeError, match="cannot be told apart"):
        split(2, 0.5, groups=np.array([None, "a"], object))
    with pytest.raises(DTypeError, match="cannot be told apart"):
        split(2, 0.5, groups=np.zeros(2, [("m", "i2", (2,))]))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), SHARES, st.integers(0, 5))
def test_in_order_groups_are_cut_between_them(sizes: list[int], shares: list[int], rest: int) -> None:
    n, fractions = sum(sizes), as_fractions(shares, rest)
    assume(all(n * fraction >= 1 for fraction in fractions))
    assume(len(sizes) >= len(shares))
    parts = split(n, fractions, seed=None, groups=np.repeat(np.arange(len(sizes)), sizes))
    edges = {0, *np.cumsum(sizes).tolist()}
    assert parts[0].start == 0
    assert all(part.stop > part.start and part.stop in edges for part in parts)
    assert all(before.stop == after.start for before, after in pairwise(parts))
    if not rest:
        assert parts[-1].stop == n


def test_in_order_the_nearest_edge_is_taken() -> None:
    groups = np.repeat([0, 1, 2, 3], [30, 25, 40, 5])
    assert split(100, 0.5, seed=None, groups=groups) == (range(55), range(55, 100))
    assert split(100, (0.4, 0.5), seed=None, groups=groups) == (range(30), range(30, 95))


def test_in_order_a_group_that_comes_back_is_refused() -> None:
    with pytest.raises(OptionError, match="group b comes back at sample 5: with seed=None"):
        split(6, 0.5, seed=None, groups=["a", "b", "b", "c", "c", "b"])


@pytest.mark.parametrize("seed", [0, None])
def test_groups_of_another_length_are_refused(seed: int | None) -> None:
    with pytest.raises(ShapeError, match="groups has 9 values; there are 10 samples"):
        split(10, 0.5, seed, groups=np.zeros(9))
