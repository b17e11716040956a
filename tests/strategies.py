"""Arrays and index expressions for Hypothesis.

Hands to   : the tests of storage and array
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from outcore.testing import example

#: One of every kind that can live in a file.
DTYPES = [
    np.dtype(given)
    for given in (
        "?", "i1", "<u2", ">i4", "u8", "f2", "<f4", ">f8", "g", "c8", ">c16", "S5", "<U3", ">U2", "<M8[s]",
        ">M8[D]", "m8[ns]", "V7",
    )
]  # fmt: skip
STRUCTURED = [
    np.dtype([("a", "i4"), ("b", ">f8")]),
    np.dtype(
        [
            ("id", "u1"),
            ("pos", [("x", "f4"), ("y", ">f4")]),
            ("tag", "S3"),
            ("day", "M8[D]"),
            ("m", "i2", (2, 3)),
        ]
    ),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),  # with a hole between the fields
]


def arrays(
    dtypes: list[np.dtype[Any]] | None = None, *, min_dims: int = 0, max_dims: int = 4, max_side: int = 7
) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    shapes = hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=0, max_side=max_side)
    return st.builds(example, shapes, st.sampled_from(dtypes or [*DTYPES, *STRUCTURED]))


@st.composite
def keys(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """Every index expression that is supported on `shape`; at least one dimension."""
    basic = draw(hnp.basic_indices(shape, allow_newaxis=False, allow_ellipsis=True))
    if not draw(st.booleans()):
        return basic
    first = draw(row_indices(shape[0]))
    if len(shape) == 1 or draw(st.booleans()):
        return first
    rest = draw(hnp.basic_indices(shape[1:], allow_newaxis=False, allow_ellipsis=True))
    return (first, *(rest if isinstance(rest, tuple) else (rest,)))


def row_indices(n_rows: int) -> st.SearchStrategy[Any]:
    """Arrays, lists and masks that select rows."""
    masks = hnp.arrays(np.bool_, n_rows)
    if n_rows == 0:
        return st.one_of(masks, st.just([]), st.just(np.empty((2, 0), np.int32)))
    rows = st.integers(-n_rows, n_rows - 1)
    integers = hnp.arrays(
        st.sampled_from(["i1", "<i4", ">i8"]),
        hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5),
        elements=rows,
    )
    unsigned = hnp.arrays("u2", st.integers(0, 9), elements=st.integers(0, n_rows - 1))
    return st.one_of(masks, masks.map(list), integers, unsigned, st.lists(rows, max_size=9))
