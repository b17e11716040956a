"""Dividing samples into parts without dividing a group: the ``groups=`` of `outcore.split`.

Reads from : loader.runs (groups, a block at a time), loader.keys, loader.permutation
Hands to   : loader.splitting

Guarantees
- All samples with one value are in one part, wherever they are.
- No part is empty where there are as many groups as parts.
- A large group is as likely to be in a small part as a small one, as long as it fits there.

Giving groups out from the largest to the smallest, each to the part that lacks the most samples, was
rejected: the small parts then have small groups only.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.errors import DTypeError, OptionError
from outcore.loader.keys import derive
from outcore.loader.permutation import Permutation
from outcore.loader.runs import group_runs

#: The largest groups, so many, are given out one by one; the rest are small enough to be cut in bulk.
ONE_BY_ONE = 4096


def whole_groups(
    groups: Any, n: int, sizes: list[int], seed: int | None
) -> tuple[NDArray[np.int64] | range, ...]:
    """Divide the numbers of `n` samples into parts of whole groups.

    Parameters
    ----------
    groups : Array, address, ndarray or array-like of shape (n,)
        The group of each sample.
    n : int
        Samples in all.
    sizes : list of int
        The sizes to come near to; the last one is that of what is in no part.
    seed : int or None
        None: parts follow one another.

    Raises
    ------
    OptionError
        Fewer groups than parts; or, without a seed, a group in several pieces.
    ShapeError
        `groups` has not one value for each sample.
    DTypeError
        `groups` with values that cannot be compared.
    """
    runs = group_runs(groups, n, unit="samples")
    lengths = np.diff(runs.starts, append=n)
    group_of_run = _numbered(runs.values)
    n_groups, n_parts = int(group_of_run.max()) + 1, len(sizes) - 1
    if n_groups < n_parts:
        raise OptionError(
            f"different groups: {n_groups}, parts: {n_parts}; each part needs at least one group.\n"
            "Use fewer parts, or smaller groups."
        )
    if seed is None:
        if n_groups < len(lengths):
            seen = np.unique(group_of_run, return_index=True)[1]
            again = int(np.setdiff1d(np.arange(len(lengths)), seen)[0])
            raise OptionError(
                f"group {runs.values[again]!s} comes back at sample {runs.starts[again]}: with "
                "seed=None each group must be one run of samples.\nUse a seed, or sort the samples by group."
            )
        return _in_order(np.append(runs.starts, n), sizes)
    size = np.zeros(n_groups, np.int64)
    np.add.at(size, group_of_run, lengths)
    part_of_run = _given_out(size, sizes, seed)[group_of_run]
    chosen = (np.flatnonzero(part_of_run == part) for part in range(n_parts))
    return tuple(_spelled_out(runs.starts[each], lengths[each]) for each in chosen)


def _numbered(values: NDArray[Any]) -> NDArray[np.intp]:
    """Give equal values, NaNs too, the same number from 0."""
    if values.dtype.names:
        fields = [_numbered(values[name]) for name in values.dtype.names]
        return np.unique(np.stack(fields, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    try:
        # Python objects become text or numbers: objects of several kinds cannot be sorted.
        plain = np.asarray(values.tolist()) if values.dtype == object else values
        if plain.dtype == object or plain.ndim != 1:
            raise TypeError(f"{plain.dtype}, {plain.ndim} dimensions")
        return np.unique(plain, return_inverse=True)[1].reshape(-1)
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"groups of type {values.dtype} cannot be told apart ({error}).\nUse numbers or text of one kind."
        ) from error


def _given_out(size: NDArray[np.int64], wanted: list[int], seed: int) -> NDArray[np.intp]:
    """Return the part of each group.

    Groups of about the same size are given out in an order drawn by `seed`, the large ones first; each goes
    to the part that is then, counted to the middle of the group, filled the least. This is Webster's method
    of giving out seats: large groups do not favour large parts.
    """
    parts = [i for i, number in enumerate(wanted) if number]
    n_groups = len(size)
    drawn = Permutation(n_groups, derive(seed, 0, "split", "groups"))(np.arange(n_groups, dtype=np.int64))
    by_magnitude = np.argsort(-np.frexp(size[drawn].astype(np.float64))[1], kind="stable")
    part_of = np.empty(n_groups, np.intp)
    filled = [0] * len(wanted)
    for group in drawn[by_magnitude[:ONE_BY_ONE]].tolist():
        number = int(size[group])
        part = min(parts, key=lambda i: (2 * filled[i] + number) / wanted[i])
        filled[part] += number
        part_of[group] = part
    # The others: in the order drawn, not by size, for each part takes a stretch of them.
    others = drawn[np.sort(by_magnitude[ONE_BY_ONE:])]
    if len(others):
        missing = [max(aim - has, 0) for aim, has in zip(wanted, filled, strict=True)]
        ends = np.cumsum(size[others])
        borders = [int(ends[-1]) * upto // sum(missing) for upto in accumulate(missing[:-1])]
        part_of[others] = np.searchsorted(borders, ends - size[others] / 2, side="right")
    _fill_empty(part_of, size, len(wanted) - 1)
    return part_of


def _fill_empty(part_of: NDArray[np.intp], size: NDArray[np.int64], n_parts: int) -> None:
    """Give each empty part the smallest group that another part can spare."""
    for part in range(n_parts):
        count = np.bincount(part_of, minlength=n_parts + 1)
        if not count[part]:
            count[n_parts] += 1  # what is in no part may become nothing
            spare = np.flatnonzero(count[part_of] > 1)
            part_of[spare[np.argmin(size[spare])]] = part


def _in_order(edges: NDArray[np.int64], sizes: list[int]) -> tuple[range, ...]:
    """Cut at the edges between groups that lie nearest to the sizes wanted; no part is empty."""
    n_groups, n_parts = len(edges) - 1, len(sizes) - 1
    cuts = [0]
    for i, aim in enumerate(accumulate(sizes[:-1]), 1):
        after = int(np.searchsorted(edges, aim))
        near = after - 1 if after and aim - edges[after - 1] <= edges[after] - aim else after
        cuts.append(min(max(near, cuts[-1] + 1), n_groups - (n_parts - i)))
    return tuple(range(int(edges[a]), int(edges[b])) for a, b in pairwise(cuts))


def _spelled_out(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all numbers of the runs, one after the other."""
    steps = np.ones(int(lengths.sum()), np.int64)
    steps[0] = starts[0]
    ends = starts + lengths - 1
    steps[np.cumsum(lengths[:-1])] = starts[1:] - ends[:-1]
    return np.cumsum(steps, out=steps)
