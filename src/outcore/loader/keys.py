"""64-bit keys and random generators out of (seed, epoch, purpose).

Hands to   : loader.permutation, loader.order, loader.splitting, loader.making

Guarantees
- Two different tuples of arguments give unrelated keys: (seed 0, epoch 1) has nothing in common with
  (seed 1, epoch 0), and ("a", "b") nothing with ("ab",).
- The same key on every platform, with every version of Python and NumPy.

``seed + epoch`` was rejected: the second epoch of one run would be the first of the next run.
"""

from __future__ import annotations

import operator
from hashlib import blake2b

import numpy as np

from outcore.errors import OptionError

#: Keeps these keys apart from other uses of the same hash.
_PERSON = b"outcore.loader"


def derive(seed: int, epoch: int, *purpose: str | int) -> int:
    """Return a key of 64 bits for one purpose in one epoch.

    Parameters
    ----------
    seed, epoch : int
        Of any size, from 0.
    *purpose : str or int
        What the key is for; integers from 0.

    Returns
    -------
    int
        In ``[0, 2**64)``.

    Raises
    ------
    OptionError
        A number is negative.

    Examples
    --------
    >>> from outcore.loader.keys import derive
    >>> derive(0, 1, "order") == derive(1, 0, "order")
    False
    """
    parts = [_encode("seed", seed), _encode("epoch", epoch)]
    parts += [_encode("purpose", part) for part in purpose]
    return int.from_bytes(blake2b(b"".join(parts), digest_size=8, person=_PERSON).digest(), "little")


def generator(seed: int, epoch: int, position: int) -> np.random.Generator:
    """Return the random generator that the transform of the batch at `position` gets.

    Parameters
    ----------
    seed, epoch : int
        Of any size, from 0.
    position : int
        Of the first sample of the batch, in the order of the epoch.

    Returns
    -------
    numpy.random.Generator
        A new one with each call, at its beginning.

    Raises
    ------
    OptionError
        A number is negative.

    Notes
    -----
    Its bits are the same everywhere; what a method such as `normal` makes of them is the same for the same
    version of NumPy.
    """
    return np.random.Generator(np.random.Philox(key=derive(seed, epoch, "transform", position)))


def _encode(name: str, value: str | int) -> bytes:
    """Return kind, length and bytes, so that no two lists of values have the same encoding."""
    if isinstance(value, str):
        kind, data = b"s", value.encode()
    else:
        number = operator.index(value)
        if number < 0:
            raise OptionError(f"{name}={number} is negative.\nGive an integer from 0.")
        kind, data = b"i", number.to_bytes((number.bit_length() + 7) // 8, "little")
    return kind + len(data).to_bytes(8, "little") + data
