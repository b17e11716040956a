"""A keyed permutation of ``range(n)`` that is evaluated where it is asked for.

Reads from : loader.keys (the key)
Hands to   : loader.order

Guarantees
- Bijective for every n up to 2**62, and a pure function of (n, key): integer arithmetic only, the same on
  every platform and with every version of NumPy.
- No memory that grows with n: below `TABLE` positions a table of two bytes each, none from there on.
- Safe to call from several threads.

From `TABLE` on it is a Feistel network over pairs of digits (Black and Rogaway's generalised one): a position
is ``left * width + right`` with both digits near the square root of n, and in each round a keyed hash of one
digit is added to the other. The pairs are fewer than ``n + sqrt(n) + 1``; the few results beyond n are sent
through again until they lie inside (cycle walking).

A network over 2**k bits was rejected: just above a power of two every other result lies outside, and the ten
rounds of walking cost more than all the rest. `numpy.random.Generator.permutation` was rejected: it needs
memory for all n, and its order may change with NumPy.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from outcore.errors import OptionError, RowIndexError

#: Fewer positions than this are put into a table: the digits of a network would have too few values to mix.
TABLE = 1 << 16
MAX_N = 1 << 62
ROUNDS = 8
#: Up to here arithmetic is of 32 bits, which is two to three times as fast: digits have 14 bits, hashes 18.
NARROW = 1 << 28
#: Positions are worked on in pieces whose five temporaries stay in a core's cache. Not in smaller ones: NumPy
#: lets go of the interpreter's lock in each call, and threads that do so too often wait for one another.
PIECE = 1 << 14

_MASK = (1 << 64) - 1
#: Steps and multipliers of SplitMix64.
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
#: For each width of numbers: how far a hash is folded over itself, and a multiplier.
_FOLD = {32: 15, 64: 32}
_HASH = {32: 0x2C1B3C6D, 64: 0xD6E8FEB86659FD93}


class Permutation:
    """A permutation of ``range(n)``, drawn by a key.

    Parameters
    ----------
    n : int
        From 0 to 2**62.
    key : int
        64 bits; see `outcore.loader.keys.derive`.

    Raises
    ------
    OptionError
        `n` is negative or too large.

    Notes
    -----
    Memory: at most 256 kB, whatever n; a call needs 8 bytes for each position and 0.3 MB.

    Examples
    --------
    >>> from outcore.loader.permutation import Permutation
    >>> order = Permutation(10**12, key=1)
    >>> samples = order(np.arange(5))
    >>> order.inverse(samples)
    array([0, 1, 2, 3, 4])
    """

    def __init__(self, n: int, key: int) -> None:
        if not 0 <= n <= MAX_N:
            raise OptionError(f"A permutation of {n} samples: there can be 0 to 2**62.")
        self.n = n
        self.key = key & _MASK
        self._map: _Table | _Network = _Table(n, self.key) if n < TABLE else _Network(n, self.key)

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sample at each position.

        Raises
        ------
        RowIndexError
            A position is outside ``[0, n)``.
        """
        return self._map.forward(self._checked(positions))

    def inverse(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the position of each sample.

        Raises
        ------
        RowIndexError
            A sample is outside ``[0, n)``.
        """
        return self._map.backward(self._checked(samples))

    def __reduce__(self) -> tuple[type[Self], tuple[int, int]]:
        return type(self), (self.n, self.key)

    def _checked(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        numbers = np.ascontiguousarray(numbers, dtype=np.int64)
        # Negative numbers are the largest ones when read as unsigned.
        if numbers.size and int(numbers.view(np.uint64).max()) >= self.n:
            wrong = numbers[(numbers < 0) | (numbers >= self.n)][0]
            raise RowIndexError(
                f"{wrong} is not one of the {self.n} positions of this order, 0 to {self.n - 1}."
            )
        return numbers


class _Table:
    """All of a small permutation: positions sorted by a keyed hash."""

    def __init__(self, n: int, key: int) -> None:
        keys = _stream(key, 2)
        hashes = _mix(_mix(np.arange(n, dtype=np.uint64) + keys[0]) ^ keys[1])
        # Stable: where two hashes are equal, the position decides, whatever the algorithm.
        self._samples = np.argsort(hashes, kind="stable").astype(np.uint16)
        self._positions: NDArray[np.uint16] | None = None

    def forward(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._samples[positions].astype(np.int64)

    def backward(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        found = self._positions
        if found is None:
            found = np.empty_like(self._samples)
            found[self._samples] = np.arange(len(found), dtype=np.uint16)
            self._positions = found  # Two threads may both make it; they make the same.
        return found[samples].astype(np.int64)


class _Network:
    """A Feistel network with cycle walking.

    Each round adds a hash of one digit to the other one, modulo the number of values of that; the two take
    turns.
    """

    def __init__(self, n: int, key: int) -> None:
        tall = isqrt(n - 1) + 1
        width = -(-n // tall)
        bits = 32 if n <= NARROW else 64
        word: type[np.unsignedinteger[Any]] = np.uint32 if bits == 32 else np.uint64
        self._word = word
        self._n, self._width = word(n), word(width)
        self._fold, self._hash = word(_FOLD[bits]), word(_HASH[bits])
        keys = [int(draw) & ((1 << bits) - 1) for draw in _stream(key, 2 * ROUNDS)]
        self._rounds = []
        for i in range(ROUNDS):
            size = (tall, width)[i % 2]
            # A hash is scaled to [0, size) by a product instead of a remainder. Its upper bits are mixed
            # best; there is room for as many as the product leaves.
            up = 32 if bits == 64 else 32 - max(size - 1, 1).bit_length()
            scale = word(bits - up), word(size), word(up)
            self._rounds.append((i % 2, word(keys[2 * i] | 1), word(keys[2 * i + 1]), *scale))

    def forward(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._pieces(positions, back=False)

    def backward(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._pieces(samples, back=True)

    def _pieces(self, numbers: NDArray[np.int64], *, back: bool) -> NDArray[np.int64]:
        source, result = numbers.reshape(-1), np.empty(numbers.size, np.int64)
        for start in range(0, source.size, PIECE):
            piece = self._once(source[start : start + PIECE].astype(self._word), back)
            outside = np.flatnonzero(piece >= self._n)
            while outside.size:
                again = self._once(piece[outside], back)
                piece[outside] = again
                outside = outside[again >= self._n]
            result[start : start + PIECE] = piece
        return result.reshape(numbers.shape)

    def _once(self, numbers: NDArray[Any], back: bool) -> NDArray[Any]:
        left: NDArray[Any] = numbers // self._width
        right = numbers - left * self._width
        digits = (left, right)
        hashed, spare = np.empty_like(left), np.empty_like(left)
        for side, factor, summand, down, size, up in reversed(self._rounds) if back else self._rounds:
            digit = digits[side]
            np.multiply(digits[1 - side], factor, out=hashed)
            np.add(hashed, summand, out=hashed)
            np.right_shift(hashed, self._fold, out=spare)
            np.bitwise_xor(hashed, spare, out=hashed)
            np.multiply(hashed, self._hash, out=hashed)
            np.right_shift(hashed, down, out=hashed)
            np.multiply(hashed, size, out=hashed)
            np.right_shift(hashed, up, out=hashed)
            # Modulo `size`, below 2 * size: the wrong one of the two has wrapped around, or is larger.
            if back:
                np.subtract(digit, hashed, out=digit)
                np.add(digit, size, out=spare)
            else:
                np.add(digit, hashed, out=digit)
                np.subtract(digit, size, out=spare)
            np.minimum(digit, spare, out=digit)
        left *= self._width
        left += right
        return left


def _stream(key: int, count: int) -> list[np.uint64]:
    """Return numbers out of `key`, by SplitMix64; keys that are neighbours give unrelated ones."""
    start = _mixed(key)
    return [np.uint64(_mixed((start + i * _STEP) & _MASK)) for i in range(1, count + 1)]


def _mixed(z: int) -> int:
    """Return the finishing hash of SplitMix64."""
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the same for each of an array."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(_FIRST)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(_SECOND)
    return numbers ^ (numbers >> np.uint64(31))
