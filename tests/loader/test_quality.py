"""The quality of a shuffle: what is predicted is what comes out."""

import tracemalloc
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.errors import DTypeError, NonFiniteError, OptionError, ShapeError
from outcore.loader.order import BlockShuffled, Shuffled
from outcore.loader.quality import PIECE, ShuffleQuality, between_share, predict
from outcore.loader.sizes import DEFAULT_BYTES, choose_blocks

# ---- prediction ----------------------------------------------------------------------------------------


def relative_variance(means, values, m):
    """Return how much `means` vary, divided by the exact variance in a full shuffle."""
    n = len(values)
    full = values.var() / m * (1 - (m - 1) / (n - 1))
    return np.mean((np.array(means) - values.mean()) ** 2) / full


def measured(values, block_size, blocks, m, trials):
    """Take a batch at a random place of each buffer, in as many epochs as that takes."""
    rng = np.random.default_rng(0)
    means = []
    for epoch in count():
        order = BlockShuffled(len(values), block_size, blocks, 7, epoch)
        for g in range(order.n_buffers):
            lo, hi = order.bounds(g)
            first = int(rng.integers(lo, hi - m + 1))
            means.append(values[order.samples(np.arange(first, first + m))].mean())
        if len(means) >= trials:
            return relative_variance(means, values, m)


SORTED = np.arange(16_000) / 16_000
DRAWN = np.random.default_rng(0).permutation(SORTED)
#: Groups of 500 with a mean of their own, which are no multiple of a block.
GROUPED = np.repeat(np.random.default_rng(1).normal(size=32), 500) + np.random.default_rng(2).normal(
    size=16_000
)


@pytest.mark.parametrize("values", [SORTED, DRAWN, GROUPED], ids=["sorted", "drawn", "grouped"])
@pytest.mark.parametrize(
    ("block_size", "blocks", "m"), [(32, 20, 64), (32, 50, 64), (32, 125, 64), (8, 100, 256)]
)
def test_the_prediction_is_what_is_measured(values, block_size, blocks, m):
    between = between_share(values, block_size)
    wanted = predict(len(values), block_size, blocks, m, between)
    assert measured(values, block_size, blocks, m, 2000) == pytest.approx(wanted, rel=0.1)


def test_shuffled_data_in_blocks_are_as_good_as_a_full_shuffle():
    assert predict(16_000, 32, 20, 64, between_share(DRAWN, 32)) == pytest.approx(1, abs=0.15)
    assert predict(16_000, 32, 250, 64, between_share(DRAWN, 32)) == pytest.approx(1, abs=0.01)


def test_sorted_data_with_the_default_budget():
    """Rows of 1 kB, 100 GB of them, fully sorted, in batches of 1024."""
    blocks = choose_blocks(10**8, 1024, DEFAULT_BYTES)
    assert 1 < predict(10**8, blocks.block_size, blocks.blocks_per_buffer, 1024, 1.0) <= 1.15


def test_the_formula_by_hand():
    n, b, g, m, share = 4000 * 32, 32, 16, 64, 0.7
    buffer_mean = share / g * (1 - (g - 1) / (4000 - 1))
    batch_mean = buffer_mean + (1 - buffer_mean) / m * (1 - (m - 1) / (g * b - 1))
    assert predict(n, b, g, m, share) == pytest.approx(batch_mean / ((1 - (m - 1) / (n - 1)) / m), rel=1e-12)


@pytest.mark.parametrize(("g", "ratio"), [(16, 4.77), (64, 1.94), (256, 1.2)])
def test_sorted_data_have_about_one_and_a_batch_for_each_block(g, ratio):
    assert predict(4000 * 32, 32, g, 64, 1.0) == pytest.approx(ratio, rel=0.03)


@given(
    st.integers(1, 10**6), st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 5000), st.floats(0, 1)
)
def test_predictions_are_sensible_everywhere(n, b, g, m, between):
    ratio = predict(n, b, g, m, between)
    assert np.isfinite(ratio)
    assert ratio >= 0
    if g * b >= n or m >= n:
        assert ratio == 1
    assert predict(n, b, g, m, 0.0) <= ratio + 1e-9
    assert predict(n, b, g, 1, between) == pytest.approx(1, abs=1e-9)


def test_a_batch_of_several_buffers_counts_as_one_of_its_size():
    n, b = 20_000, 10
    assert predict(n, b, 5, 200, 1.0) == predict(n, b, 20, 200, 1.0)
    values = np.arange(n)
    means = []
    for epoch in range(1500):
        order = BlockShuffled(n, b, 5, 3, epoch)
        means.append(values[order.samples(np.arange(200))].mean())
    assert relative_variance(means, values, 200) == pytest.approx(predict(n, b, 5, 200, 1.0), rel=0.1)


def test_a_full_shuffle_is_what_predictions_are_relative_to():
    means = np.concatenate(
        [
            SORTED[Shuffled(16_000, 0, epoch).samples(np.arange(16_000))].reshape(-1, 100).mean(axis=1)
            for epoch in range(20)
        ]
    )
    assert relative_variance(means, SORTED, 100) == pytest.approx(1, rel=0.1)


# ---- the share between blocks --------------------------------------------------------------------------


def share_by_hand(values, block_size):
    values = np.asarray(values, dtype=np.longdouble)
    values = values - values.mean()
    starts = np.arange(0, len(values), block_size)
    sums = np.add.reduceat(values, starts)
    counts = np.diff(np.append(starts, len(values)))
    return float((sums**2 / counts).sum() / (values**2).sum())


@pytest.mark.parametrize("block_size", [1, 2, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5, 10**6])
@pytest.mark.parametrize("values", ["drawn", "waves", "far"])
def test_the_share_is_that_of_all_values_at_once(values, block_size):
    rng = np.random.default_rng(0)
    n = 4 * PIECE + 321
    values = {
        "drawn": rng.normal(size=n),
        "waves": np.sin(np.arange(n) / 5e4) + rng.normal(size=n) / 3,
        "far": 1e9 + np.arange(n) // 1000 % 7 + rng.normal(size=n),
    }[values]
    assert between_share(values, block_size) == pytest.approx(
        share_by_hand(values, block_size), rel=1e-6, abs=1e-9
    )


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=60), st.integers(1, 70))
def test_the_share_of_few_values(values, block_size):
    expected = share_by_hand(values, block_size) if len(set(values)) > 1 else 0.0
    assert between_share(values, block_size) == pytest.approx(expected, abs=1e-9)


def test_shares_that_are_known():
    assert between_share(np.arange(1000), 1) == pytest.approx(1)
    assert between_share(np.arange(1000), 1000) == pytest.approx(0, abs=1e-12)
    assert between_share(np.arange(10_000) % 2, 2) == pytest.approx(0, abs=1e-12)
    assert between_share(np.arange(10_000) // 2 % 2, 2) == pytest.approx(1)
    assert between_share(DRAWN, 32) == pytest.approx(1 / 32, rel=0.1)
    assert between_share(SORTED, 32) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e150, -7])
def test_equal_values_have_no_variance(constant):
    assert between_share(np.full(1000, constant), 10) == 0
    assert between_share([], 10) == 0


@pytest.mark.parametrize("dtype", ["?", "i1", "<u2", ">i4", "u8", "f2", ">f8", "g"])
def test_values_of_any_kind_of_number(dtype):
    values = (np.arange(500) // 100 % 2).astype(dtype)
    assert between_share(values, 50) == pytest.approx(1)


def test_one_column_of_a_file_in_pieces(tmp_path):
    n = 3 * PIECE
    values = np.sin(np.arange(n) / 1e5).astype(np.float32)
    np.save(tmp_path / "y.npy", values)
    assert between_share(tmp_path / "y.npy", 4096) == pytest.approx(share_by_hand(values, 4096), rel=1e-6)
    records = np.zeros(n, dtype=[("x", "f8", 3), ("y", "f4")])
    records["y"] = values
    np.save(tmp_path / "r.npy", records)
    with oc.open(tmp_path / "r.npy") as rows:
        assert between_share(rows["y"], 4096) == pytest.approx(share_by_hand(values, 4096), rel=1e-6)


def test_memory_is_that_of_a_piece(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros(40 * PIECE, dtype=np.int8))
    with oc.open(tmp_path / "y.npy") as values:
        between_share(values[:10], 64)
        tracemalloc.start()
        try:
            assert between_share(values, 64) == 0
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 40 * PIECE  # one byte a value would be all of them


# ---- refused -------------------------------------------------------------------------------------------


def test_values_that_have_no_share():
    with pytest.raises(ShapeError, match=r"shape \(4, 2\)"):
        between_share(np.zeros((4, 2)), 2)
    with pytest.raises(ShapeError, match=r"shape \(\)"):
        between_share(3.0, 2)
    for dtype in ("S3", "c8", "M8[s]"):
        with pytest.raises(DTypeError, match="have no variance"):
            between_share(np.zeros(4, dtype), 2)
    with pytest.raises(OptionError, match="block_size=0"):
        between_share(np.zeros(4), 0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_named(wrong):
    values = np.zeros(2 * PIECE)
    values[PIECE + 77] = wrong
    with pytest.raises(NonFiniteError, match=f"row {PIECE + 77}"):
        between_share(values, 2)


# ---- text ----------------------------------------------------------------------------------------------


def test_a_quality_in_two_lines():
    text = str(ShuffleQuality("block", 32, 7376, 1024, 0.98765, 1.1389)).splitlines()
    assert text == [
        "Block shuffle: each batch is 1024 samples out of 7376 blocks of 32;"
        " between blocks lies 0.988 of the variance.",
        "The variance of a batch's mean is 1.139 times that after a full shuffle.",
    ]


def test_a_bad_quality_says_what_lowers_it():
    bad = ShuffleQuality("block", 32, 10, 1024, 1.0, 100.0)
    assert str(bad).endswith("full shuffle; more memory= or a smaller block_size= lowers it.")


def test_other_kinds_of_shuffle():
    full = str(ShuffleQuality("full", 1, 1, 8, 0.5, 1.0)).splitlines()
    none = str(ShuffleQuality("none", 1, 1, 8, 0.5, 8.0)).splitlines()
    assert full[0] == "Full shuffle: every sample can be anywhere."
    assert none[0] == "No shuffle: each batch is 8 neighbouring samples."
    assert len(full) == len(none) == 2
