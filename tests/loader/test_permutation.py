"""Keyed permutations: bijective for every n, the same forever, and like drawn ones."""

import copy
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from outcore.errors import OptionError, RowIndexError
from outcore.loader import permutation
from outcore.loader.keys import derive
from outcore.loader.permutation import MAX_N, NARROW, PIECE, TABLE, Permutation

KEYS = st.integers(0, 2**64 - 1)


@pytest.fixture
def networks(monkeypatch):
    """Let small permutations be evaluated as large ones are."""
    monkeypatch.setattr(permutation, "TABLE", 1)


def is_bijective(order, n):
    everything = np.arange(n)
    samples = order(everything)
    assert samples.dtype == np.int64
    assert np.array_equal(np.sort(samples), everything)
    assert np.array_equal(order.inverse(samples), everything)


# ---- bijective ---------------------------------------------------------------------------------------


def test_all_small_n_in_a_table():
    for n in range(1, 301):
        is_bijective(Permutation(n, derive(n, 0)), n)


@pytest.mark.usefixtures("networks")
def test_all_small_n_in_a_network():
    for n in range(1, 301):
        is_bijective(Permutation(n, derive(n, 0)), n)


@pytest.mark.parametrize("n", [TABLE - 1, TABLE, TABLE + 1, 256 * 257, 256 * 257 + 1, 10**5 + 3, 2**18 + 1])
def test_n_about_where_tables_end(n):
    is_bijective(Permutation(n, derive(n, 1)), n)


def test_all_of_a_large_n():
    is_bijective(Permutation(2_000_003, 12345), 2_000_003)


@given(st.integers(1, MAX_N), KEYS, st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_inverse_leads_back(n, key, places):
    order = Permutation(n, key)
    positions = np.array([min(int(place * n), n - 1) for place in places])
    samples = order(positions)
    assert samples.min() >= 0
    assert samples.max() < n
    assert np.array_equal(order.inverse(samples), positions)
    assert np.array_equal(order(order.inverse(positions)), positions)
    assert len(np.unique(samples)) == len(np.unique(positions))


def test_no_samples_have_an_order_too():
    assert Permutation(0, 1)(np.arange(0)).tolist() == []
    assert Permutation(0, 1).inverse(np.arange(0)).tolist() == []


# ---- the same forever ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "key", "samples"),
    [
        (10, 0, [4, 0, 2, 8, 6]),
        (65535, 1, [47431, 18114, 46027, 10204, 30371]),
        (65536, 1, [56802, 9983, 61133, 5553, 9800]),
        (2_000_000, 2**64 - 1, [75248, 1711354, 1979075, 834919, 197989]),
        (10**9, 7, [68688430, 662098027, 201949941, 707866011, 340345094]),
        (
            2**62,
            0x0123456789ABCDEF,
            [
                1308449448912233893,
                814144748058022413,
                512936457288694054,
                4367145593617258778,
                4359404037797692942,
            ],
        ),
    ],
)
def test_orders_of_an_earlier_release(n, key, samples):
    positions = np.arange(0, n, n // 5)[:5]
    assert Permutation(n, key)(positions).tolist() == samples


def finish(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def network_by_hand(n, key, position):
    tall = isqrt(n - 1) + 1
    width = -(-n // tall)
    bits, fold, multiplier = (32, 15, 0x2C1B3C6D) if n <= 2**28 else (64, 32, 0xD6E8FEB86659FD93)
    draws = [finish((finish(key) + i * 0x9E3779B97F4A7C15) % 2**64) % 2**bits for i in range(1, 17)]
    while True:
        digits, sizes = list(divmod(position, width)), (tall, width)
        for i in range(8):
            size = sizes[i % 2]
            kept = 32 if bits == 64 else 32 - max((size - 1).bit_length(), 1)
            hashed = (digits[1 - i % 2] * (draws[2 * i] | 1) + draws[2 * i + 1]) % 2**bits
            hashed = (hashed ^ (hashed >> fold)) * multiplier % 2**bits >> (bits - kept)
            digits[i % 2] = (digits[i % 2] + (hashed * size >> kept)) % size
        position = digits[0] * width + digits[1]
        if position < n:
            return position


@given(st.integers(TABLE, NARROW) | st.integers(NARROW - 3, NARROW + 3), KEYS, st.floats(0, 1))
def test_a_narrow_network_against_integers_of_python(n, key, place):
    position = min(int(place * n), n - 1)
    assert Permutation(n, key)(np.array([position]))[0] == network_by_hand(n, key, position)


@given(st.integers(TABLE, MAX_N), KEYS, st.floats(0, 1))
def test_a_network_against_integers_of_python(n, key, place):
    position = min(int(place * n), n - 1)
    assert Permutation(n, key)(np.array([position]))[0] == network_by_hand(n, key, position)


def test_a_table_against_integers_of_python():
    n, key = 1000, 77
    first, second = (finish((finish(key) + i * 0x9E3779B97F4A7C15) % 2**64) for i in (1, 2))
    hashed = [finish(finish((i + first) % 2**64) ^ second) for i in range(n)]
    assert Permutation(n, key)(np.arange(n)).tolist() == sorted(range(n), key=hashed.__getitem__)


def test_how_positions_are_asked_for_changes_nothing():
    n = 70_000
    order = Permutation(n, 3)
    everything = order(np.arange(n))
    assert n > 2 * PIECE
    some = np.random.default_rng(0).integers(0, n, 500)
    assert np.array_equal(order(some), everything[some])
    assert np.array_equal(order(some.astype(np.int32)[::-1]), everything[some][::-1])
    assert np.array_equal(order(some.reshape(5, 100)), everything[some].reshape(5, 100))
    assert [int(order(np.array([i]))[0]) for i in (0, PIECE - 1, PIECE)] == [
        everything[i] for i in (0, PIECE - 1, PIECE)
    ]


@pytest.mark.parametrize("n", [1000, 10**6])
def test_positions_are_left_as_they_are(n):
    positions = np.arange(100)
    Permutation(n, 1)(positions)
    Permutation(n, 1).inverse(positions)
    assert np.array_equal(positions, np.arange(100))


def test_many_threads_get_the_same():
    order = Permutation(10_000, 1)
    wanted = Permutation(10_000, 1).inverse(np.arange(10_000))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: order.inverse(np.arange(10_000)), range(8)))
    assert all(np.array_equal(one, wanted) for one in found)


def test_a_pickled_order_is_two_numbers():
    order = Permutation(60_000, 9)
    assert len(pickle.dumps(order)) < 200
    for other in (pickle.loads(pickle.dumps(order)), copy.deepcopy(order)):
        assert np.array_equal(other(np.arange(60_000)), order(np.arange(60_000)))


# ---- memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [10**9, 2**62])
def test_a_billion_samples_take_no_memory(n):
    positions = np.arange(n - 5000, n)
    Permutation(TABLE, 0)(positions[:1] * 0)
    tracemalloc.start()
    try:
        order = Permutation(n, 5)
        order.inverse(order(positions))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_many_positions_take_a_piece_more_than_their_result():
    positions = np.arange(1_000_000)
    order = Permutation(10**9, 5)
    tracemalloc.start()
    try:
        order(positions)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < positions.nbytes + 8 * 8 * PIECE


# ---- like a drawn one ------------------------------------------------------------------------------------
# All keys are fixed, so these tests have one outcome; the bounds are what chance exceeds once in 1000 times.


def p_of(counts, degrees=None, scale=1.0):
    expected = counts.sum() / counts.size
    statistic = ((counts - expected) ** 2).sum() / expected
    return stats.chi2.sf(statistic * scale, counts.size - 1 if degrees is None else degrees)


def small_orders(n, count):
    positions = np.arange(n)
    return np.array([Permutation(n, derive(key, 0, "drawn"))(positions) for key in range(count)])


class Drawn:
    """What holds for many small permutations with different keys."""

    @pytest.mark.parametrize("n", [5, 16, 37])
    def test_every_sample_is_at_every_position_equally_often(self, n):
        drawn = small_orders(n, 3000)
        counts = np.array([np.bincount(column, minlength=n) for column in drawn.T])
        # Rows and columns have fixed sums, and cells of one permutation exclude each other.
        assert 1e-3 < p_of(counts, (n - 1) ** 2, (n - 1) / n) < 1 - 1e-3

    @pytest.mark.parametrize("n", [5, 16, 37])
    def test_neighbours_land_anywhere(self, n):
        drawn = small_orders(n, 3000)
        steps = np.bincount((drawn[:, 1] - drawn[:, 0]) % n, minlength=n)
        assert steps[0] == 0
        assert 1e-3 < p_of(steps[1:]) < 1 - 1e-3
        pairs = np.bincount(drawn[:, n // 2] * n + drawn[:, n // 2 + 1], minlength=n * n).reshape(n, n)
        assert 1e-3 < p_of(pairs[~np.eye(n, dtype=bool)]) < 1 - 1e-3

    def test_all_permutations_of_four(self):
        drawn = small_orders(4, 3000)
        counts = np.unique(drawn @ [64, 16, 4, 1], return_counts=True)[1]
        assert len(counts) == 24
        assert 1e-3 < p_of(counts) < 1 - 1e-3

    def test_fixed_points(self):
        drawn = small_orders(50, 2000)
        fixed = (drawn == np.arange(50)).sum()  # one for each permutation, and so is the variance
        assert abs(fixed - 2000) < 3.3 * np.sqrt(2000)


class TestTables(Drawn):
    """As tables."""


@pytest.mark.usefixtures("networks")
class TestNetworks(Drawn):
    """As networks; smaller ones than are ever used, with digits of very few values."""


@pytest.mark.parametrize("n", [TABLE, TABLE + 1, 10**6 + 3, 10**9, 2**62])
def test_one_large_order_fills_all_cells_equally(n):
    positions = np.arange(40_000) * (n // 40_000)
    samples = Permutation(n, derive(0, 0, "order"))(positions)
    cells = np.arange(40_000) * 20 // 40_000 * 20 + (samples / n * 20).astype(int)
    assert p_of(np.bincount(cells, minlength=400), 19 * 20) > 1e-3


@pytest.mark.parametrize("n", [TABLE, TABLE + 1, 10**6 + 3, 10**9, 2**62])
@pytest.mark.parametrize("step", [1, 2, 256, 1024])
def test_differences_of_neighbours_look_uniform(n, step):
    positions = np.arange(30_000)
    order = Permutation(n, derive(1, 0, "order"))
    steps = (order(positions + step) - order(positions)) % n
    assert p_of(np.bincount((steps / n * 100).astype(int), minlength=100)) > 1e-3
    assert p_of(np.bincount(steps % 101, minlength=101)) > 1e-3


@pytest.mark.parametrize("n", [1000, 100_000, 10**9])
@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 1), (1, 0)), ((0, 0), (0, 1)), ((0, 1), (0, 2)), ((5, 5), (6, 4)), ((0, 0), (1, 1))],
)
def test_orders_of_other_seeds_and_epochs_are_unrelated(n, one, other):
    positions = np.arange(min(n, 20_000)) * max(n // 20_000, 1)
    left, right = (Permutation(n, derive(*key, "order"))(positions) for key in (one, other))
    assert abs(np.corrcoef(left, right)[0, 1]) < 3.5 / np.sqrt(len(positions))
    cells = (left / n * 10).astype(int) * 10 + (right / n * 10).astype(int)
    assert p_of(np.bincount(cells, minlength=100)) > 1e-3
    # Nor is one a shifted copy of the other.
    assert np.bincount((left - right) % n % 1009).max() < 5 * len(positions) / 1009 + 20


@pytest.mark.parametrize("n", [1000, 10**6])
def test_neighbouring_keys_are_as_good_as_far_ones(n):
    positions = np.arange(min(n, 20_000))
    orders = [Permutation(n, key)(positions) for key in (0, 1, 2, 0x9E3779B97F4A7C15, 2**63, 2**64 - 1)]
    related = np.corrcoef(orders) - np.eye(len(orders))
    assert np.abs(related).max() < 4 / np.sqrt(len(positions))


# ---- refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 100, TABLE, 10**9])
@pytest.mark.parametrize("beyond", [0, 1, 2**62])
def test_a_position_outside_is_refused(n, beyond):
    order = Permutation(n, 0)
    for wrong in (n + beyond, -1 - beyond):
        positions = np.array([0, wrong, n - 1])
        for ask in (order, order.inverse):
            with pytest.raises(RowIndexError, match=rf"{wrong} is not one of the {n} positions"):
                ask(positions)


@pytest.mark.parametrize("n", [-1, MAX_N + 1])
def test_a_number_of_samples_that_cannot_be(n):
    with pytest.raises(OptionError, match="0 to 2"):
        Permutation(n, 0)
