"""How large the blocks and buffers of a block shuffle are: arithmetic.

Reads from : budget
Hands to   : loader.loading

Guarantees
- The sizes depend on the arguments of `choose_blocks` alone, never on workers, batch size, world size or the
  memory that happens to be free: the same data and the same budget give the same order everywhere.
- Two buffers, with what is remembered of each of their samples, take at most half of the budget; the rest
  is for batches on their way.

The number of blocks in a buffer decides how good the shuffle is (loader.quality), so blocks are small; but
large enough that reading them at random is about as fast as reading in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from outcore import budget
from outcore.errors import OptionError

#: Bytes of a block where a buffer has room for enough of them: at random as fast to read as in order.
BLOCK_BYTES = 1 << 18
#: What blocks may shrink to for the sake of `ENOUGH_BLOCKS`, whichever is fewer samples: of tiny samples, so
#: many are read in less time than batches are made of them.
LEAST_BYTES, LEAST_SAMPLES = 1 << 15, 1 << 10
#: With so many blocks the variance of the mean of 400 samples is at most a tenth above a full shuffle's.
ENOUGH_BLOCKS = 4096
#: Buffers of tiny samples end here: what is remembered of the samples would be larger than the samples.
MOST_SAMPLES = 1 << 22
#: The budget of a loader that is not told one. Not a share of what is free: the order would depend on that.
DEFAULT_BYTES = 1 << 30
#: What is kept, or needed to find it out, for each sample of a buffer.
EXTRA_BYTES = 40


@dataclass(frozen=True)
class Blocks:
    """The sizes of a block shuffle.

    Attributes
    ----------
    block_size : int
        Samples of a block.
    blocks_per_buffer : int
        Blocks that are shuffled among each other.
    """

    block_size: int
    blocks_per_buffer: int


def choose_blocks(
    n: int,
    sample_bytes: int,
    budget_bytes: int,
    *,
    block_size: int | None = None,
    align: int = 1,
    extra_bytes: int = EXTRA_BYTES,
) -> Blocks:
    """Choose how large blocks and buffers are.

    Parameters
    ----------
    n : int
        Samples of an epoch.
    sample_bytes : int
        What a sample takes in a buffer.
    budget_bytes : int
        What the whole loader may take.
    block_size : int, optional
        Samples of a block, kept as it is.
    align : int
        Otherwise a block is a multiple of so many samples: those of a chunk that is decoded as a whole.
    extra_bytes : int
        What is remembered of each sample of a buffer besides.

    Returns
    -------
    Blocks
        The buffers are about equally large. There is one where all samples fit into it: a full shuffle.

    Raises
    ------
    OptionError
        `block_size` is not positive.
    MemoryBudgetError
        Two buffers of one block do not fit in half of the budget.

    Examples
    --------
    >>> choose_blocks(10**9, 1024, 10**9)
    Blocks(block_size=32, blocks_per_buffer=7341)
    >>> choose_blocks(1000, 1024, 10**9)
    Blocks(block_size=256, blocks_per_buffer=4)
    """
    if block_size is not None and block_size < 1:
        raise OptionError(
            f"block_size={block_size}: a block has at least one sample.\nUse an integer from 1."
        )
    each = max(sample_bytes, 1) + extra_bytes
    fitting = budget_bytes // 4 // each
    room = min(fitting, MOST_SAMPLES)
    size = _size(n, max(sample_bytes, 1), room, align) if block_size is None else block_size
    if min(size, n) > fitting:
        _refuse(size, min(size, n) * each, budget_bytes, align if block_size is None else 1)
    if n <= room:
        return Blocks(size, max(-(-n // size), 1))
    n_blocks = -(-n // size)
    # Equal buffers: a last one of a few blocks would end each epoch with batches that are hardly shuffled.
    n_buffers = -(-n_blocks // max(room // size, 1))
    return Blocks(size, -(-n_blocks // n_buffers))


def _size(n: int, sample_bytes: int, room: int, align: int) -> int:
    """Choose the samples of a block."""
    size = _multiple(BLOCK_BYTES // sample_bytes, align)
    least = _multiple(min(LEAST_BYTES // sample_bytes, LEAST_SAMPLES), align)
    while n > room and room < ENOUGH_BLOCKS * size and size > least:
        size = max(_multiple(size // 2, align), least)
    # A budget so small that blocks, not buffers, are what does not fit: slow reads are better than none.
    return max(min(size, room // align * align), align) if n > room else size


def _multiple(count: int, align: int) -> int:
    return -(-max(count, 1) // align) * align


def _refuse(size: int, block_bytes: int, budget_bytes: int, align: int) -> None:
    cure = "Use a smaller block_size."
    if align > 1:
        cure = (
            f"Each chunk of the file has {align} samples and is decoded whole; a smaller block_size fits,"
            " but then chunks are decoded many times."
        )
    parts = {"two buffers of one block": 2 * block_bytes, "as much again for batches": 2 * block_bytes}
    budget.require(f'Loader(shuffle="block") with blocks of {size} samples', parts, budget_bytes, cure=cure)
