"""Sizes of blocks and buffers: clause by clause."""

import inspect
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.errors import MemoryBudgetError, OptionError
from outcore.loader.sizes import (
    BLOCK_BYTES,
    DEFAULT_BYTES,
    ENOUGH_BLOCKS,
    LEAST_BYTES,
    LEAST_SAMPLES,
    MOST_SAMPLES,
    Blocks,
    choose_blocks,
)

GB = 10**9


def test_the_sizes_follow_from_these_arguments_alone():
    assert list(inspect.signature(choose_blocks).parameters) == [
        "n",
        "sample_bytes",
        "budget_bytes",
        "block_size",
        "align",
        "extra_bytes",
    ]


@given(
    st.integers(1, 10**12),
    st.integers(0, 10**6),
    st.integers(4 * 10**6 + 200, 10**12),
    st.integers(0, 100),
)
def test_two_buffers_take_at_most_half_of_the_budget(n, sample_bytes, budget_bytes, extra_bytes):
    if budget_bytes // 4 < sample_bytes + extra_bytes:
        with pytest.raises(MemoryBudgetError):
            choose_blocks(n, sample_bytes, budget_bytes, extra_bytes=extra_bytes)
        return
    blocks = choose_blocks(n, sample_bytes, budget_bytes, extra_bytes=extra_bytes)
    samples = min(blocks.block_size * blocks.blocks_per_buffer, n)
    assert 2 * samples * (sample_bytes + extra_bytes) <= budget_bytes / 2
    assert samples <= MOST_SAMPLES
    assert min(blocks.block_size, blocks.blocks_per_buffer) >= 1


@pytest.mark.parametrize("sample_bytes", [32, 100, 1024, 1028, 16_384, 100_000, 10**6])
@pytest.mark.parametrize("budget_bytes", [10**8, GB, 16 * GB])
def test_most_of_that_is_used(sample_bytes, budget_bytes):
    blocks = choose_blocks(10**12, sample_bytes, budget_bytes)
    fitting = min(budget_bytes // 4 // (sample_bytes + 40), MOST_SAMPLES)
    assert fitting - blocks.block_size * blocks.blocks_per_buffer < 2 * blocks.block_size


@given(st.integers(1, 10**5), st.integers(1, 2000), st.integers(1, 500))
def test_data_that_fit_into_one_buffer_are_shuffled_fully(n, sample_bytes, align):
    blocks = choose_blocks(n, sample_bytes, 4 * n * (sample_bytes + 40), align=align)
    assert blocks.blocks_per_buffer == -(-n // blocks.block_size)


def test_a_sample_more_than_fits_makes_two_buffers_of_the_same_size():
    n = 100_000
    assert choose_blocks(n, 60, 4 * n * 100, block_size=10) == Blocks(10, 10_000)
    assert choose_blocks(n + 1, 60, 4 * n * 100, block_size=10) == Blocks(10, 5001)
    assert choose_blocks(3 * n, 60, 4 * n * 100, block_size=10) == Blocks(10, 10_000)
    assert choose_blocks(3 * n + 10, 60, 4 * n * 100, block_size=10) == Blocks(10, 7501)


def test_a_block_is_a_quarter_of_a_megabyte_where_enough_of_them_fit():
    assert choose_blocks(10**12, 1024, 64 * GB).block_size == BLOCK_BYTES // 1024
    assert choose_blocks(10**12, 100_000, 64 * GB).block_size == BLOCK_BYTES // 100_000
    assert choose_blocks(10**12, 10**6, 64 * GB).block_size == 1


@pytest.mark.parametrize("sample_bytes", [40, 1024, 5000, 16_384])
@pytest.mark.parametrize("budget_bytes", [10**8, 3 * 10**8, GB, 4 * GB])
def test_blocks_are_smaller_while_a_buffer_has_too_few(sample_bytes, budget_bytes):
    blocks = choose_blocks(10**12, sample_bytes, budget_bytes)
    room = min(budget_bytes // 4 // (sample_bytes + 40), MOST_SAMPLES)
    assert LEAST_BYTES // sample_bytes <= blocks.block_size <= BLOCK_BYTES // sample_bytes
    if blocks.block_size > LEAST_BYTES // sample_bytes:
        assert room >= ENOUGH_BLOCKS * blocks.block_size
    if blocks.block_size < BLOCK_BYTES // sample_bytes:
        assert room < ENOUGH_BLOCKS * 2 * (blocks.block_size + 1)


@pytest.mark.parametrize("sample_bytes", [1, 4, 8, 31])
def test_of_tiny_samples_so_many_are_enough_for_a_block(sample_bytes):
    blocks = choose_blocks(10**10, sample_bytes, 16 * GB)
    assert blocks.block_size == LEAST_SAMPLES
    assert blocks.blocks_per_buffer > 0.99 * MOST_SAMPLES / LEAST_SAMPLES


@pytest.mark.parametrize("align", [7, 100, 1000])
def test_a_block_is_whole_chunks(align):
    for budget_bytes in (10**8, GB, 64 * GB):
        plain = choose_blocks(10**12, 1024, budget_bytes).block_size
        blocks = choose_blocks(10**12, 1024, budget_bytes, align=align)
        assert blocks.block_size % align == 0
        assert blocks.block_size < 2 * plain + 2 * align


def test_a_block_size_that_is_given_is_kept():
    for block_size in (1, 3, 1000, 200_000):
        assert choose_blocks(10**12, 1024, GB, block_size=block_size, align=7).block_size == block_size
    assert choose_blocks(10, 1024, GB, block_size=1000) == Blocks(1000, 1)


def test_a_block_that_is_given_may_have_more_samples_than_a_buffer_of_tiny_ones_should():
    assert choose_blocks(10**10, 1, 64 * GB, block_size=2 * MOST_SAMPLES) == Blocks(2 * MOST_SAMPLES, 1)


def test_more_memory_makes_larger_buffers():
    sizes = [choose_blocks(10**12, 1024, budget) for budget in range(10**7, 3 * GB, 10**7)]
    held = [blocks.block_size * blocks.blocks_per_buffer for blocks in sizes]
    assert all(later >= 0.99 * earlier for earlier, later in pairwise(held))


def test_the_default_budget_shuffles_sorted_rows_of_a_kilobyte_well():
    """A batch of 1024 then varies less than 1.15 times as much as in a full shuffle."""
    assert choose_blocks(10**9, 1024, DEFAULT_BYTES).blocks_per_buffer > 1024 / 0.15


def test_no_samples():
    assert choose_blocks(0, 8, GB).blocks_per_buffer == 1
    assert choose_blocks(0, 8, 1).blocks_per_buffer == 1


# ---- refused -------------------------------------------------------------------------------------------


def test_the_least_budget_is_four_samples():
    assert choose_blocks(10**6, 960, 4000) == Blocks(1, 1)
    assert choose_blocks(10**6, 960, 39_999) == Blocks(9, 1)
    assert choose_blocks(10**6, 10**6, 4 * (10**6 + 40)) == Blocks(1, 1)
    with pytest.raises(MemoryBudgetError, match=r"needs 4\.0 MB; the budget is 4\.0 MB"):
        choose_blocks(10**6, 10**6, 4 * (10**6 + 40) - 1)


def test_a_block_that_does_not_fit_names_both_numbers():
    with pytest.raises(MemoryBudgetError) as caught:
        choose_blocks(10**6, 960, 10**6, block_size=1000)
    text = str(caught.value)
    assert text.splitlines()[0] == (
        'Loader(shuffle="block") with blocks of 1000 samples needs 4.0 MB; the budget is 1.0 MB.'
    )
    assert "two buffers of one block 2.0 MB" in text
    assert "Use a smaller block_size." in text
    assert 'memory="4MB"' in text


def test_a_chunk_that_does_not_fit_says_so():
    with pytest.raises(MemoryBudgetError, match="Each chunk of the file has 5000 samples") as caught:
        choose_blocks(10**6, 960, 10**6, align=5000)
    assert "20.0 MB; the budget is 1.0 MB" in str(caught.value)
    assert choose_blocks(10**6, 960, 10**6, align=5000, block_size=50) == Blocks(50, 5)


@pytest.mark.parametrize("block_size", [0, -5])
def test_a_block_has_samples(block_size):
    with pytest.raises(OptionError, match=f"block_size={block_size}"):
        choose_blocks(10, 8, GB, block_size=block_size)
