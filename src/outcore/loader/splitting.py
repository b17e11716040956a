"""Training, validation and test: `outcore.split`.

Reads from : loader.keys, loader.permutation (which sample goes where), loader.grouping (``groups=``)
Hands to   : users, who give the parts to ``Loader(indices=...)``

Guarantees
- Parts are disjoint, and their sizes exact where there are no groups.
- The same arguments give the same parts on every machine and with every version of NumPy.
- A group is in one part only, wherever its rows are.

`numpy.random.Generator.permutation` was rejected: its order may change with NumPy's version.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from numbers import Real
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from outcore.errors import OptionError
from outcore.loader.grouping import whole_groups
from outcore.loader.keys import derive
from outcore.loader.permutation import Permutation

#: Samples that are permuted at a time, so that what the permutation needs besides is small.
PIECE = 1 << 20
#: Fractions such as three times 1/3 need not add up to 1 exactly.
_EPS = Fraction(1, 10**9)

Part = NDArray[np.int64] | range


def split(
    n: int | Any,
    fractions: float | Sequence[float],
    seed: int | None = 0,
    *,
    groups: Any = None,
    gap: int = 0,
) -> tuple[Part, ...]:
    """Divide samples into parts, for training, validation and test.

    Parameters
    ----------
    n : int, or anything with a length
        How many samples; of an Array, its rows.
    fractions : float or sequence of float
        Share of each part, above 0. One number `f` means ``(f, 1 - f)``; what several leave of 1 is in no
        part.
    seed : int or None
        From 0: parts are drawn at random. None: parts follow one another in the order of the samples.
    groups : Array, address, ndarray or array-like of shape (n,), optional
        Samples with the same value stay together, wherever they are: a patient, a recording. Sizes are
        then about those of `fractions`. With ``seed=None`` each group must be one run of samples.
    gap : int
        Samples left out between two neighbouring parts, so that no part knows what comes just before or
        after it. Only with ``seed=None`` and without groups; `fractions` are those of what remains.

    Returns
    -------
    tuple of ndarray of int64, or of range
        One for each fraction; numbers of samples, ascending. Ranges with ``seed=None``.

    Raises
    ------
    OptionError
        Fractions that make no sense, a part that would be empty, fewer groups than parts, or a `gap` that
        means nothing here.
    ShapeError
        `groups` has not one value for each sample.
    DTypeError
        `groups` with values that cannot be compared.

    Notes
    -----
    Memory: O(1) with ``seed=None``. Otherwise 8 bytes a sample for the parts. Groups need some 90 bytes
    for each run of equal values besides.

    Examples
    --------
    >>> train, test = oc.split(10, 0.8)
    >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
    (8, 2, True)

    The last part of a time series, a week left out before it:

    >>> oc.split(1000, (0.9, 0.1), seed=None, gap=7)
    (range(0, 894), range(901, 1000))

    No patient in two parts:

    >>> patients = np.repeat(["ann", "bob", "cid", "dan"], [3, 2, 4, 1])
    >>> train, test = oc.split(10, 0.7, groups=patients)
    >>> set(patients[train]) & set(patients[test])
    set()
    """
    total = _length(n)
    wanted, seed, gap = _fractions(fractions), _seed(seed), _gap(gap, seed, groups)
    left_out = gap * (len(wanted) - 1)
    if left_out >= total:
        raise OptionError(
            f"gap={gap} between {len(wanted)} parts takes {left_out} of the {total} samples: none remains.\n"
            "Use a smaller gap."
        )
    sizes = _sizes(total - left_out, wanted)
    if groups is not None:
        return whole_groups(groups, total, sizes, seed)
    bounds = list(pairwise(accumulate(sizes[: len(wanted)], initial=0)))
    if seed is None:
        return tuple(range(lo + i * gap, hi + i * gap) for i, (lo, hi) in enumerate(bounds))
    permutation = Permutation(total, derive(seed, 0, "split"))
    return tuple(_drawn(permutation, lo, hi) for lo, hi in bounds)


def _length(n: Any) -> int:
    total = -1
    # The length of a path, or of a tuple of arrays, is hardly what anybody means.
    if not isinstance(n, (bool, str, bytes, tuple, dict)):
        if hasattr(n, "__len__") and getattr(n, "ndim", None) != 0:
            total = len(n)
        elif isinstance(n, SupportsIndex):
            total = operator.index(n)
    if total < 1:
        what = f"a {type(n).__name__} of length 0" if total == 0 and hasattr(n, "__len__") else repr(n)
        raise OptionError(
            f"n is {what}; expected a number of samples from 1, or an array with a row for each.\n"
            "Use len(X): split(len(X), 0.9)."
        )
    return total


def _fractions(fractions: Any) -> list[Fraction]:
    """Return the shares as users write them: 0.7 is 7/10, not the binary number next to it."""
    single = isinstance(fractions, Real) and not isinstance(fractions, bool)
    try:
        given = [fractions] if single else list(fractions)
    except TypeError:
        given = []
    if not given or isinstance(fractions, str):
        raise OptionError(
            f"fractions={fractions!r}: expected a number such as 0.9, or several: (0.8, 0.1, 0.1)."
        )
    for each in given:
        if not isinstance(each, Real) or not 0 < float(each) <= 1:
            raise OptionError(
                f"fractions={fractions!r}: {each!r} is not above 0 and at most 1.\n"
                "Use shares of the whole; for a number of samples, count / n."
            )
    exact = [Fraction(repr(float(each))) for each in given]
    if single:
        exact.append(1 - exact[0])
    if sum(exact) > 1 + _EPS:
        raise OptionError(
            f"fractions={fractions!r} add up to {float(sum(exact)):.6g}; they are shares of 1 whole.\n"
            "Make them smaller, or divide each of them by their sum."
        )
    return exact


def _seed(seed: Any) -> int | None:
    if seed is None:
        return None
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0 or isinstance(seed, bool):
        raise OptionError(f"seed={seed!r}: expected an integer from 0, or None for parts in order.")
    return number


def _gap(gap: Any, seed: int | None, groups: Any) -> int:
    try:
        number = operator.index(gap)
    except TypeError:
        number = -1
    if number < 0 or isinstance(gap, bool):
        raise OptionError(f"gap={gap!r}: expected a number of samples from 0.")
    if number and groups is not None:
        raise OptionError(
            f"gap={gap} with groups: parts are cut between groups, not samples.\nLeave gap out."
        )
    if number and seed is not None:
        raise OptionError(
            f"gap={gap} with seed={seed}: parts that are drawn at random have no gap between them.\n"
            "Use seed=None for parts that follow one another."
        )
    return number


def _sizes(n: int, fractions: list[Fraction]) -> list[int]:
    """Return the size of each part, and of what is in none; by the largest remainder."""
    rest = 1 - sum(fractions)
    shares = [*fractions, rest if rest > _EPS else Fraction(0)]
    whole = sum(shares)
    exact = [n * share / whole for share in shares]
    sizes = [int(each) for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: sizes[i] - exact[i])  # stable: the first part wins
    for i in by_remainder[: n - sum(sizes)]:
        sizes[i] += 1
    for i, fraction in enumerate(fractions):
        if not sizes[i]:
            raise OptionError(
                f"part {i} would be empty: {float(fraction):.6g} of {n} samples is {float(exact[i]):.6g}.\n"
                "Use a larger fraction, or fewer parts."
            )
    return sizes


def _drawn(permutation: Permutation, lo: int, hi: int) -> NDArray[np.int64]:
    part = np.empty(hi - lo, np.int64)
    for start in range(lo, hi, PIECE):
        stop = min(start + PIECE, hi)
        part[start - lo : stop - lo] = permutation(np.arange(start, stop, dtype=np.int64))
    part.sort()
    return part
