"""Orders of an epoch: bijective, read in ranges, the same forever."""

import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from outcore.errors import OptionError, RowIndexError
from outcore.loader.order import KEPT, BlockShuffled, Sequential, Shuffled

SIZES = st.tuples(st.integers(1, 400), st.integers(1, 60), st.integers(1, 30))
SEEDS = st.tuples(st.integers(0, 2**70), st.integers(0, 1000))


def strung(spans):
    return np.concatenate([np.arange(start, stop) for start, stop in spans.tolist()])


def check(order, n):
    """Check all that a `BufferedOrder` promises."""
    samples = order.samples(np.arange(n))
    assert samples.dtype == np.int64
    assert np.array_equal(np.sort(samples), np.arange(n))
    assert order.buffers_of(0, n) == range(order.n_buffers)
    end, covered = 0, []
    for g in range(order.n_buffers):
        lo, hi = order.bounds(g)
        assert lo == end < hi
        assert hi - lo <= order.max_samples
        end = hi
        spans = order.spans(g)
        assert spans.dtype == np.int64
        assert np.all(spans[:, 0] < spans[:, 1])
        assert np.all(spans[1:, 0] > spans[:-1, 1])  # ascending, disjoint, and those that adjoin are merged
        held = strung(spans)
        covered.append(held)
        positions = np.arange(lo, hi)
        assert np.array_equal(np.sort(samples[lo:hi]), held)
        assert np.array_equal(held[order.places(g, positions)], samples[lo:hi])
        assert order.buffers_of(lo, hi) == range(g, g + 1)
        assert order.buffers_of(hi - 1, hi) == range(g, g + 1)
    assert end == n
    assert np.array_equal(np.sort(np.concatenate(covered)), np.arange(n))


# ---- block shuffle -------------------------------------------------------------------------------------


@given(SIZES, SEEDS)
def test_block_shuffles_of_all_sizes(sizes, seeds):
    n, block_size, blocks = sizes
    order = BlockShuffled(n, block_size, blocks, *seeds)
    assert order.block_size == block_size
    assert order.n_buffers == ceil(ceil(n / block_size) / blocks)
    check(order, n)


def test_block_shuffles_of_small_sizes():
    for n in range(1, 14):
        for block_size in range(1, 15):
            for blocks in range(1, 5):
                check(BlockShuffled(n, block_size, blocks, n, block_size), n)


def test_the_short_block_in_every_buffer():
    """The last block is short, and its place in the order moves all positions behind it."""
    found = set()
    for seed in range(60):
        order = BlockShuffled(41, 4, 3, seed, 0)
        check(order, 41)
        found.add(next(g for g in range(order.n_buffers) if order.spans(g)[-1, 1] == 41))
    assert found == set(range(4))


@pytest.mark.parametrize(("block_size", "blocks"), [(1, 70_000), (7, 3000), (1000, 1), (64, 100), (10**6, 1)])
def test_a_large_block_shuffle(block_size, blocks):
    check(BlockShuffled(200_003, block_size, blocks, 1, 2), 200_003)


def test_a_buffer_is_whole_blocks_but_for_the_last_block():
    order = BlockShuffled(1003, 10, 7, 0, 0)
    for g in range(order.n_buffers):
        spans = order.spans(g)
        assert np.all(spans[:, 0] % 10 == 0)
        assert np.all((spans[:, 1] % 10 == 0) | (spans[:, 1] == 1003))


def test_one_buffer_is_a_full_shuffle():
    order = BlockShuffled(1000, 10, 100, 0, 0)
    assert order.n_buffers == 1
    assert order.spans(0).tolist() == [[0, 1000]]
    samples = order.samples(np.arange(1000))
    assert np.array_equal(order.places(0, np.arange(1000)), samples)
    assert (np.diff(samples) == 1).sum() < 10


@given(SIZES, SEEDS, st.data())
def test_positions_in_any_order_of_any_buffers(sizes, seeds, data):
    order = BlockShuffled(*sizes, *seeds)
    everything = order.samples(np.arange(sizes[0]))
    positions = np.array(data.draw(st.lists(st.integers(0, sizes[0] - 1), max_size=30)), dtype=np.int64)
    assert np.array_equal(order.samples(positions), everything[positions])
    assert np.array_equal(order.samples(positions[:, None]), everything[positions][:, None])


@given(SIZES, SEEDS, st.data())
def test_buffers_that_positions_touch(sizes, seeds, data):
    order = BlockShuffled(*sizes, *seeds)
    hi = data.draw(st.integers(0, sizes[0]))
    lo = data.draw(st.integers(0, hi))
    touched = [
        g for g in range(order.n_buffers) if lo < order.bounds(g)[1] and order.bounds(g)[0] < hi and lo < hi
    ]
    assert list(order.buffers_of(lo, hi)) == touched


def test_what_was_asked_before_changes_nothing():
    n = 5000
    fresh = [BlockShuffled(n, 16, 8, 3, 4).samples(np.arange(lo, lo + 100)) for lo in range(0, n, 100)]
    order = BlockShuffled(n, 16, 8, 3, 4)
    for i in np.random.default_rng(0).permutation(50):
        assert np.array_equal(order.samples(np.arange(i * 100, i * 100 + 100)), fresh[i])


def test_many_threads_get_the_same():
    n = 20_000
    wanted = BlockShuffled(n, 16, 10, 3, 4).samples(np.arange(n))
    order = BlockShuffled(n, 16, 10, 3, 4)

    def ask(turn):
        picked = np.random.default_rng(turn).integers(0, n, 300)
        spans = [order.spans(g) for g in range(turn, order.n_buffers, 8)]
        return np.array_equal(order.samples(picked), wanted[picked]) and bool(spans)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(40)))


@pytest.mark.parametrize(
    "order",
    [BlockShuffled(200_000, 16, 5000, 2**70, 4), Shuffled(50_000, 3, 4), Sequential(1000, 64)],
)
def test_a_pickled_order_is_its_arguments(order):
    positions = np.arange(order.n)
    wanted = order.samples(positions)
    sent = pickle.dumps(order)
    assert len(sent) < 300
    assert np.array_equal(pickle.loads(sent).samples(positions), wanted)


# ---- the same forever ----------------------------------------------------------------------------------


def test_orders_of_an_earlier_release():
    small = BlockShuffled(23, 4, 2, 5, 6).samples(np.arange(23)).tolist()
    assert small == [
        *(13, 22, 15, 21, 20, 12, 14),
        *(6, 1, 3, 0, 7, 5, 4, 2),
        *(8, 16, 17, 11, 18, 10, 9, 19),
    ]
    large = BlockShuffled(10**9, 32, 7341, 5, 6).samples(np.arange(0, 10**9, 10**9 // 5))
    assert large.tolist() == [833399109, 108658923, 605587565, 193003421, 577886611]
    full = Shuffled(12, 3, 4).samples(np.arange(12)).tolist()
    assert full == [10, 3, 6, 4, 9, 11, 1, 2, 8, 0, 7, 5]


# ---- full shuffle and none -----------------------------------------------------------------------------


@given(st.integers(1, 3000), SEEDS)
def test_a_full_shuffle_is_bijective(n, seeds):
    samples = Shuffled(n, *seeds).samples(np.arange(n))
    assert np.array_equal(np.sort(samples), np.arange(n))


@given(st.integers(1, 500), st.integers(1, 600))
def test_no_shuffle(n, buffer_samples):
    order = Sequential(n, buffer_samples)
    assert order.block_size == buffer_samples
    assert np.array_equal(order.samples(np.arange(n)), np.arange(n))
    check(order, n)


def test_samples_are_memory_of_their_own():
    positions = np.arange(10)
    for order in (Sequential(10, 5), Shuffled(10, 0, 0), BlockShuffled(10, 2, 2, 0, 0)):
        order.samples(positions)[:] = -1
        assert np.array_equal(positions, np.arange(10))


def test_no_samples():
    for order in (Sequential(0, 4), BlockShuffled(0, 4, 2, 0, 0)):
        assert order.n_buffers == 0
        assert order.max_samples == 0
        assert order.buffers_of(0, 0) == range(0)
        assert order.samples(np.arange(0)).tolist() == []
    assert Shuffled(0, 0, 0).samples(np.arange(0)).tolist() == []


# ---- memory --------------------------------------------------------------------------------------------


def traced(work):
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_making_an_order_of_a_billion_samples_takes_no_memory():
    for make in (
        lambda: Shuffled(10**9, 1, 2),
        lambda: BlockShuffled(10**9, 32, 7341, 1, 2),
        lambda: BlockShuffled(10**9, 16_384, 4, 1, 2),  # so few blocks that they are a table
        lambda: BlockShuffled(10**9, 1, 1 << 20, 1, 2),
    ):
        # 65 535 blocks at most are sorted at once, in hashes, samples and the memory of the sort.
        assert traced(make)[1] < 4 << 20


def test_a_few_thousand_positions_of_a_billion():
    def evaluate():
        order = BlockShuffled(10**9, 32, 7341, 1, 2)
        return order, [order.samples(np.arange(lo, lo + 2048)) for lo in (0, 10**8, 10**9 - 2048)]

    (order, samples), peak = traced(evaluate)
    assert peak < 4 << 20
    assert len(np.unique(samples)) == 3 * 2048
    assert len(order._kept) <= KEPT


def test_buffers_that_were_left_are_forgotten():
    order = BlockShuffled(10**9, 1, 1 << 16, 1, 2)  # half a megabyte of blocks for each buffer

    def walk():
        for lo in range(0, 40 << 16, 1 << 16):
            order.samples(np.arange(lo, lo + 10))

    assert traced(walk)[1] < (KEPT + 3) << 19


# ---- like a drawn one ----------------------------------------------------------------------------------


def test_every_block_is_in_every_buffer_equally_often():
    n_blocks, blocks, count = 12, 3, 3000
    counts = np.zeros((n_blocks, n_blocks // blocks))
    for seed in range(count):
        order = BlockShuffled(n_blocks * 4, 4, blocks, seed, 0)
        for g in range(order.n_buffers):
            counts[np.unique(strung(order.spans(g)) // 4), g] += 1
    expected = count * blocks / n_blocks
    statistic = ((counts - expected) ** 2).sum() / expected
    # Both sums of the table are fixed; a row has the variance p (1 - p) of one draw out of four.
    assert 1e-3 < stats.chi2.sf(statistic * (n_blocks - 1) / n_blocks, (n_blocks - 1) * 3) < 1 - 1e-3


def test_the_orders_inside_of_buffers_are_unrelated():
    order = BlockShuffled(64_000, 10, 100, 0, 0)
    inside = [order.places(g, np.arange(*order.bounds(g))) for g in range(64)]
    related = np.corrcoef(inside) - np.eye(64)
    assert np.abs(related).max() < 5 / np.sqrt(1000)


def test_neighbours_are_apart_in_a_block_shuffle():
    samples = BlockShuffled(100_000, 10, 500, 0, 0).samples(np.arange(100_000))
    # Two samples of a buffer of 5000 are of one block with probability 9 / 4999.
    together = (samples[1:] // 10 == samples[:-1] // 10).sum()
    assert abs(together - 180) < 5 * np.sqrt(180)


@pytest.mark.parametrize("kind", [Shuffled, lambda n, *seeds: BlockShuffled(n, 8, 250, *seeds)])
def test_the_next_epoch_and_the_next_seed_are_unrelated(kind):
    n = 20_000
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)]
    orders = [kind(n, *key).samples(np.arange(n)) for key in keys]
    related = np.corrcoef(orders) - np.eye(len(keys))
    # Blocks of a buffer stand together: there are 10 buffers, each with a mean position of its own.
    bound = 4.5 / np.sqrt(n) if kind is Shuffled else 4.5 / np.sqrt(n / 8)
    assert np.abs(related).max() < bound
    assert all((one == other).sum() < 12 for i, one in enumerate(orders) for other in orders[:i])


# ---- refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [Sequential(10, 4), Shuffled(10, 0, 0), BlockShuffled(10, 2, 2, 0, 0)])
@pytest.mark.parametrize("wrong", [10, -1])
def test_a_position_outside(order, wrong):
    with pytest.raises(RowIndexError, match=f"{wrong} is not one of"):
        order.samples(np.array([3, wrong, 10]))


@pytest.mark.parametrize("order", [Sequential(10, 4), BlockShuffled(10, 2, 2, 0, 0)])
def test_a_position_outside_of_its_buffer(order):
    with pytest.raises(RowIndexError, match="Position 4 is not one of 0 to 3"):
        order.places(0, np.array([0, 4]))
    with pytest.raises(RowIndexError, match="Position 3 is not one of 4 to 7"):
        order.places(1, np.array([3, 4]))


@pytest.mark.parametrize("order", [Sequential(10, 4), BlockShuffled(10, 2, 2, 0, 0)])
@pytest.mark.parametrize("g", [-1, 3])
def test_a_buffer_that_is_not_there(order, g):
    for ask in (order.bounds, order.spans, lambda g: order.places(g, np.arange(0))):
        with pytest.raises(RowIndexError, match=f"no buffer {g}: this order has 3"):
            ask(g)


@pytest.mark.parametrize("order", [Sequential(10, 4), BlockShuffled(10, 2, 2, 0, 0)])
@pytest.mark.parametrize("positions", [(-1, 4), (0, 11), (5, 4)])
def test_positions_outside_touch_no_buffers(order, positions):
    with pytest.raises(RowIndexError, match="not among the 10"):
        order.buffers_of(*positions)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Sequential(10, 0), "buffer_samples=0"),
        (lambda: Sequential(-1, 5), "order of -1 samples"),
        (lambda: BlockShuffled(10, 0, 1, 0, 0), "block_size=0"),
        (lambda: BlockShuffled(10, 1, -2, 0, 0), "blocks_per_buffer=-2"),
        (lambda: BlockShuffled(10, 1, 1, -1, 0), "seed=-1"),
    ],
)
def test_orders_that_cannot_be(make, text):
    with pytest.raises(OptionError, match=text):
        make()
