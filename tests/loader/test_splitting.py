"""`outcore.split`: exact sizes, gaps, and the same parts everywhere."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import outcore as oc
from outcore.errors import OptionError
from outcore.loader import splitting
from outcore.loader.splitting import split
from tests.loader.shares import SHARES, as_fractions


@given(st.integers(1, 300), SHARES, st.integers(0, 5), st.none() | st.integers(0, 3))
def test_parts_are_disjoint_ascending_and_of_exact_size(
    n: int, shares: list[int], rest: int, seed: int | None
) -> None:
    fractions = as_fractions(shares, rest)
    assume(all(n * share >= sum(shares) + rest for share in shares))
    parts = split(n, fractions, seed)
    assert len(parts) == len(fractions)
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - Fraction(n * share, sum(shares) + rest)) < 1
        assert isinstance(part, range) if seed is None else part.dtype == np.int64
        assert np.all(np.diff(part) > 0)
    together = np.concatenate([np.array(part) for part in parts])
    assert len(np.unique(together)) == len(together)
    assert together.min() >= 0
    assert together.max() < n
    if not rest:
        assert len(together) == n
    if seed is None:
        assert together.tolist() == list(range(len(together)))


@pytest.mark.parametrize(
    ("n", "fractions", "sizes"),
    [
        (10, 0.7, (7, 3)),
        (10, (0.8, 0.1, 0.1), (8, 1, 1)),
        (10, (1 / 3, 1 / 3, 1 / 3), (4, 3, 3)),
        (100, (0.29, 0.71), (29, 71)),
        (3, (0.5, 0.5), (2, 1)),
        (5, (0.1, 0.7, 0.2), (1, 3, 1)),
        (5, (0.5, 0.2), (3, 1)),  # 2.5, 1 and, in no part, 1.5: the first part comes first
        (1000, (0.001, 0.5), (1, 500)),
        (10, [1.0], (10,)),
        (10, (np.float32(0.5), Fraction(1, 4)), (5, 3)),
        (10**18, 0.3, (3 * 10**17, 7 * 10**17)),
    ],
    ids=str,
)
def test_sizes_are_those_of_the_largest_remainder(n: int, fractions: Any, sizes: tuple[int, ...]) -> None:
    assert tuple(len(part) for part in split(n, fractions, seed=None)) == sizes
    if n < 10**6:
        assert tuple(len(part) for part in split(n, fractions, seed=1)) == sizes


def test_parts_are_the_same_on_every_machine() -> None:
    train, test = split(12, 0.75, seed=5)
    assert (train.tolist(), test.tolist()) == ([2, 3, 4, 6, 7, 8, 9, 10, 11], [0, 1, 5])
    train, test = split(100_000, (0.5, 0.00004), seed=2**70)
    assert test.tolist() == [29742, 33450, 47506, 59506]
    train, test = split(9, 0.5, seed=1, groups=list("aabbccdde"))
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3, 8], [4, 5, 6, 7])


def test_other_seeds_give_other_parts() -> None:
    firsts = {tuple(split(1000, 0.5, seed=seed)[0]) for seed in range(20)}
    assert len(firsts) == 20
    groups = np.repeat(np.arange(20), 5)
    assert len({tuple(split(100, 0.5, seed=seed, groups=groups)[0]) for seed in range(20)}) > 15


def test_every_sample_is_as_likely_to_be_in_a_part_as_any_other() -> None:
    n, seeds = 50, 400
    count = np.zeros(n)
    for seed in range(seeds):
        count[split(n, 0.8, seed)[1]] += 1
    # Binomial with mean 80 and deviation 8.
    assert abs(count.mean() - 80) < 1e-9
    assert count.min() > 80 - 5 * 8
    assert count.max() < 80 + 5 * 8


def test_what_is_permuted_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [part.tolist() for part in split(1000, (0.3, 0.6), seed=3)]
    monkeypatch.setattr(splitting, "PIECE", 7)
    assert [part.tolist() for part in split(1000, (0.3, 0.6), seed=3)] == expected


@given(st.integers(1, 200), SHARES, st.integers(0, 5), st.integers(0, 30))
def test_gaps_lie_between_neighbouring_parts(n: int, shares: list[int], rest: int, gap: int) -> None:
    fractions = as_fractions(shares, rest)
    remaining = n - gap * (len(shares) - 1)
    if remaining < 1:
        with pytest.raises(OptionError, match=f"of the {n} samples: none remains"):
            split(n, fractions, None, gap=gap)
        return
    assume(all(remaining * fraction >= 1 for fraction in fractions))
    parts = split(n, fractions, seed=None, gap=gap)
    assert [len(part) for part in parts] == [len(part) for part in split(remaining, fractions, seed=None)]
    assert parts[0].start == 0
    for before, after in pairwise(parts):
        assert after.start - before.stop == gap
    assert parts[-1].stop <= n
    if not rest:
        assert parts[-1].stop == n


def test_a_billion_samples_in_order_cost_nothing() -> None:
    tracemalloc.start()
    try:
        parts = split(10**9, (0.8, 0.1, 0.1), seed=None, gap=1000)
        assert [len(part) for part in parts] == [799_998_400, 99_999_800, 99_999_800]
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_the_length_of_an_array_may_be_given_as_the_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((40, 2)))
    for n in (
        40,
        np.int64(40),
        oc.open(tmp_path / "x.npy"),
        np.zeros((40, 3)),
        range(40),
        [0] * 40,
        np.array(40),
    ):
        assert split(n, 0.75, seed=None) == (range(30), range(30, 40))


@pytest.mark.parametrize(
    "n", [0, -1, True, 10.0, None, "x.npy", (np.zeros(9), np.zeros(9)), [], {"x": 1}], ids=str
)
def test_what_has_no_number_of_samples_is_refused(n: Any) -> None:
    with pytest.raises(OptionError, match="expected a number of samples from 1"):
        split(n, 0.5)


@pytest.mark.parametrize("fractions", [0, 0.0, -0.1, 1.5, 80, (0.5, 0), (0.5, float("nan")), ("0.5",)])
def test_fractions_outside_0_and_1_are_refused(fractions: Any) -> None:
    with pytest.raises(OptionError, match="is not above 0 and at most 1"):
        split(10, fractions)


@pytest.mark.parametrize("fractions", [(), [], None, "0.8", True])
def test_what_are_no_fractions_is_refused(fractions: Any) -> None:
    with pytest.raises(OptionError, match=r"expected a number such as 0\.9"):
        split(10, fractions)


def test_fractions_above_a_whole_are_refused_with_their_sum() -> None:
    with pytest.raises(OptionError, match=r"add up to 1\.1"):
        split(10, (0.8, 0.2, 0.1))


def test_an_empty_part_is_refused_with_both_numbers() -> None:
    with pytest.raises(OptionError, match=r"part 1 would be empty: 0\.01 of 10 samples is 0\.1"):
        split(10, (0.9, 0.01))
    with pytest.raises(OptionError, match=r"part 1 would be empty: 0 of 10 samples is 0"):
        split(10, 1.0)
    with pytest.raises(OptionError, match=r"part 1 would be empty: 0\.1 of 3 samples is 0\.3"):
        split(9, (0.8, 0.1, 0.1), seed=None, gap=3)


@pytest.mark.parametrize("seed", [-1, 0.5, "0", True])
def test_seeds_that_make_no_sense_are_refused(seed: Any) -> None:
    with pytest.raises(OptionError, match=r"seed=.*expected an integer from 0, or None"):
        split(10, 0.5, seed)


def test_gaps_are_for_parts_in_order() -> None:
    with pytest.raises(OptionError, match=r"Use seed=None"):
        split(10, 0.5, gap=1)
    with pytest.raises(OptionError, match=r"Leave gap out"):
        split(10, 0.5, seed=None, gap=1, groups=[0, 1] * 5)
    for gap in (-1, 0.5, True, None):
        with pytest.raises(OptionError, match=r"expected a number of samples from 0"):
            split(10, 0.5, seed=None, gap=gap)
