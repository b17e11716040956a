"""Which sample stands at which position of an epoch.

Reads from : loader.keys, loader.permutation
Hands to   : loader.reading, loader.loading

Guarantees
- A pure function of the constructor's arguments, and bijective for all of them: no worker, no batch size
  and no earlier call has any influence.
- Memory is that of a few buffers: 8 bytes for each block of at most `KEPT` buffers, and a permutation of at
  most 256 kB for each; nothing grows with n.
- Safe to call from several threads, and in children of a fork.

A `BufferedOrder` says more than where samples are: its positions fall into buffers, one after the other, and
the samples of a buffer are few long ranges, so they can be read in order and served in another one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import OptionError, RowIndexError
from outcore.loader.keys import derive
from outcore.loader.permutation import Permutation

#: Buffers whose blocks are remembered: one is served, one is read, one was just left.
KEPT = 3


class Order(ABC):
    """An order of the samples ``0 .. n-1``.

    Attributes
    ----------
    n : int
        Samples, and positions.
    """

    def __init__(self, n: int) -> None:
        if n < 0:
            raise OptionError(f"An order of {n} samples: there can be 0 or more.")
        self.n = n

    @abstractmethod
    def samples(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sample at each position, in any order of the positions.

        Raises
        ------
        RowIndexError
            A position is outside ``[0, n)``.
        """


class BufferedOrder(Order):
    """An order whose positions fall into buffers.

    Attributes
    ----------
    n_buffers : int
        They hold all positions, one after the other.
    max_samples : int
        No buffer has more.
    block_size : int
        Neighbouring samples that are read together.
    """

    n_buffers: int
    max_samples: int
    block_size: int

    @abstractmethod
    def buffers_of(self, lo: int, hi: int) -> range:
        """Return the numbers of the buffers that the positions ``[lo, hi)`` touch."""

    @abstractmethod
    def bounds(self, g: int) -> tuple[int, int]:
        """Return the first position of buffer `g`, and the one behind its last."""

    @abstractmethod
    def spans(self, g: int) -> NDArray[np.int64]:
        """Return the samples of buffer `g` as ranges.

        Returns
        -------
        ndarray of int64, shape (n_ranges, 2)
            First sample and the one behind the last; ascending, disjoint, no two adjoining.
        """

    @abstractmethod
    def places(self, g: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the samples at `positions`, all in buffer `g`, are in the ranges strung together.

        Raises
        ------
        RowIndexError
            A position is outside the bounds of the buffer.
        """

    def _buffer(self, g: int) -> int:
        if not 0 <= g < self.n_buffers:
            raise RowIndexError(f"There is no buffer {g}: this order has {self.n_buffers}, from 0.")
        return g


class Sequential(BufferedOrder):
    """Each sample at the position of its own number.

    Parameters
    ----------
    n : int
    buffer_samples : int
        Samples that are read together.
    """

    def __init__(self, n: int, buffer_samples: int) -> None:
        super().__init__(n)
        self.block_size = _positive("buffer_samples", buffer_samples)
        self.n_buffers = -(-n // buffer_samples)
        self.max_samples = min(n, buffer_samples)

    def samples(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sample at each position."""
        return _inside(positions, 0, self.n).copy()

    def buffers_of(self, lo: int, hi: int) -> range:
        """Return the numbers of the buffers that the positions ``[lo, hi)`` touch."""
        if _range(lo, hi, self.n):
            return range(lo // self.block_size, (hi - 1) // self.block_size + 1)
        return range(0)

    def bounds(self, g: int) -> tuple[int, int]:
        """Return the positions of buffer `g`."""
        lo = self._buffer(g) * self.block_size
        return lo, min(lo + self.block_size, self.n)

    def spans(self, g: int) -> NDArray[np.int64]:
        """Return the samples of buffer `g` as one range."""
        return np.array([self.bounds(g)], dtype=np.int64)

    def places(self, g: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the samples at `positions` are in the ranges strung together."""
        lo, hi = self.bounds(g)
        return _inside(positions, lo, hi) - lo


class Shuffled(Order):
    """All samples in an order drawn at random; every sample can be anywhere.

    Parameters
    ----------
    n, seed, epoch : int
    """

    def __init__(self, n: int, seed: int, epoch: int) -> None:
        super().__init__(n)
        self._permutation = Permutation(n, derive(seed, epoch, "order"))

    def samples(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sample at each position."""
        return self._permutation(positions)


class BlockShuffled(BufferedOrder):
    """Blocks of neighbouring samples in an order drawn at random, then samples inside each buffer of blocks.

    Parameters
    ----------
    n : int
    block_size : int
        Neighbouring samples that stay in one buffer; the last block may have fewer.
    blocks_per_buffer : int
    seed, epoch : int

    Notes
    -----
    With one buffer (``blocks_per_buffer * block_size >= n``) this is a full shuffle.

    Examples
    --------
    >>> from outcore.loader.order import BlockShuffled
    >>> order = BlockShuffled(20, block_size=4, blocks_per_buffer=2, seed=0, epoch=0)
    >>> order.n_buffers, order.bounds(0)
    (3, (0, 8))
    >>> sorted(order.samples(np.arange(20)).tolist()) == list(range(20))
    True
    """

    def __init__(self, n: int, block_size: int, blocks_per_buffer: int, seed: int, epoch: int) -> None:
        super().__init__(n)
        self.block_size = _positive("block_size", block_size)
        self.blocks_per_buffer = _positive("blocks_per_buffer", blocks_per_buffer)
        self._key = (seed, epoch)
        self._n_blocks = -(-n // block_size)
        self.n_buffers = -(-self._n_blocks // blocks_per_buffer)
        self.max_samples = min(n, block_size * blocks_per_buffer)
        self._permutation = Permutation(self._n_blocks, derive(seed, epoch, "blocks"))
        # The last block may be short; positions behind it are so many earlier than with whole blocks.
        self._missing = self._n_blocks * block_size - n
        self._short = 0
        if n:
            self._short = int(self._permutation.inverse(np.array([self._n_blocks - 1]))[0])
        # Replaced, never changed, and without a lock: two threads may both make what they miss, and make the
        # same; a lock held by another thread during a fork would be held in the child for good.
        self._kept: tuple[_Buffer, ...] = ()

    def __reduce__(self) -> tuple[type[BlockShuffled], tuple[Any, ...]]:
        return type(self), (self.n, self.block_size, self.blocks_per_buffer, *self._key)

    def samples(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sample at each position."""
        positions = _inside(positions, 0, self.n)
        flat = positions.reshape(-1)
        buffers = self._block_at(flat) // self.blocks_per_buffer
        result = np.empty_like(flat)
        if flat.size and buffers.min() == buffers.max():
            result[:] = self._samples(int(buffers[0]), flat)
        elif flat.size:
            # Sorted once, so that the positions of each buffer are a slice, however many buffers there are.
            by_buffer = np.argsort(buffers, kind="stable")
            cuts = np.flatnonzero(np.diff(buffers[by_buffer])) + 1
            for mine in np.split(by_buffer, cuts):
                result[mine] = self._samples(int(buffers[mine[0]]), flat[mine])
        return result.reshape(positions.shape)

    def buffers_of(self, lo: int, hi: int) -> range:
        """Return the numbers of the buffers that the positions ``[lo, hi)`` touch."""
        if not _range(lo, hi, self.n):
            return range(0)
        first, last = self._block_at(np.array([lo, hi - 1])) // self.blocks_per_buffer
        return range(int(first), int(last) + 1)

    def bounds(self, g: int) -> tuple[int, int]:
        """Return the positions of buffer `g`."""
        first = self._buffer(g) * self.blocks_per_buffer
        return self._start(first), self._start(min(first + self.blocks_per_buffer, self._n_blocks))

    def spans(self, g: int) -> NDArray[np.int64]:
        """Return the samples of buffer `g` as ranges."""
        blocks = self._blocks(g)
        cuts = np.flatnonzero(np.diff(blocks) != 1)
        spans = np.empty((len(cuts) + 1, 2), dtype=np.int64)
        spans[0, 0], spans[1:, 0] = blocks[0], blocks[cuts + 1]
        spans[:-1, 1], spans[-1, 1] = blocks[cuts] + 1, blocks[-1] + 1
        spans *= self.block_size
        spans[-1, 1] = min(spans[-1, 1], self.n)
        return spans

    def places(self, g: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the samples at `positions` are in the ranges strung together."""
        lo, hi = self.bounds(g)
        return self._inner(g)(_inside(positions, lo, hi) - lo)

    def _samples(self, g: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        # The short block has the largest number, so it is the last of its buffer: those before are whole.
        places = self.places(g, positions)
        blocks = places // self.block_size
        places -= blocks * self.block_size
        places += self._blocks(g)[blocks] * self.block_size
        return places

    def _start(self, place: int) -> int:
        """Return the first position of the block at `place` in the order of blocks."""
        return place * self.block_size - (self._missing if place > self._short else 0)

    def _block_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place, in the order of blocks, that holds each position."""
        behind = positions >= self._start(self._short + 1)
        return (positions + behind * self._missing) // self.block_size

    def _made(self, g: int) -> _Buffer:
        for buffer in self._kept:
            if buffer.g == g:
                return buffer
        buffer = _Buffer(self._buffer(g))
        self._kept = (*self._kept[1 - KEPT :], buffer)
        return buffer

    def _blocks(self, g: int) -> NDArray[np.int64]:
        """Return the numbers of the blocks of buffer `g`, ascending."""
        buffer = self._made(g)
        if buffer.blocks is None:
            first = g * self.blocks_per_buffer
            places = np.arange(first, min(first + self.blocks_per_buffer, self._n_blocks))
            blocks = self._permutation(places)
            blocks.sort()
            buffer.blocks = blocks
        return buffer.blocks

    def _inner(self, g: int) -> Permutation:
        """Return the order inside of buffer `g`."""
        buffer = self._made(g)
        if buffer.inner is None:
            lo, hi = self.bounds(g)
            buffer.inner = Permutation(hi - lo, derive(*self._key, "buffer", g))
        return buffer.inner


@dataclass(eq=False)
class _Buffer:
    """What is remembered of buffer `g`, once it was asked for."""

    g: int
    blocks: NDArray[np.int64] | None = None
    inner: Permutation | None = None


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise OptionError(f"{name}={value}: there must be at least one sample.\nGive an integer from 1.")
    return value


def _range(lo: int, hi: int, n: int) -> bool:
    """Whether ``[lo, hi)`` holds any position; all of it must be inside."""
    if not 0 <= lo <= hi <= n:
        raise RowIndexError(f"Positions {lo} to {hi} are not among the {n} of this order.")
    return lo < hi


def _inside(positions: NDArray[np.int64], lo: int, hi: int) -> NDArray[np.int64]:
    """Return positions as int64, all of them in ``[lo, hi)``."""
    positions = np.asarray(positions, dtype=np.int64)
    if positions.size and (positions.min() < lo or positions.max() >= hi):
        wrong = positions[(positions < lo) | (positions >= hi)][0]
        raise RowIndexError(f"Position {wrong} is not one of {lo} to {hi - 1}.")
    return positions
