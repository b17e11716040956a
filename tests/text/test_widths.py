"""Measuring text columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan
from outcore.text.schema import Column, Schema
from outcore.text.widths import Widths


def plan_of(*kinds: str) -> Plan:
    names = tuple("abc"[: len(kinds)])
    columns = tuple(Column(i, n, np.dtype(k)) for i, (n, k) in enumerate(zip(names, kinds, strict=True)))
    return Plan(Dialect(","), Schema(names, columns, matrix=False), Values(("NA",), None, "."))


@given(
    st.lists(st.text(st.sampled_from("abé€"), min_size=1, max_size=9), min_size=1, max_size=20), st.booleans()
)
def test_the_widest_text_decides(texts: list[str], guessed: bool) -> None:
    widths = Widths(plan_of("S", "i4", "U"), guessed=guessed)
    for text in texts:  # a chunk for each
        widths.add(f"{text},1,{text}\n".encode(), 100)
    nbytes, characters = max(len(t.encode()) for t in texts), max(map(len, texts))
    plain = all(t.isascii() for t in texts)
    assert widths.dtypes() == {
        0: np.dtype(f"U{characters}" if guessed and not plain else f"S{nbytes}"),
        2: np.dtype(f"U{characters}"),
    }


def test_missing_text_has_a_width() -> None:
    widths = Widths(plan_of("S", "i4"), guessed=True)
    assert widths.add(b"NA,1\n,2\n", 100) == 2
    assert widths.dtypes() == {0: np.dtype("S1")}


def test_columns_with_a_width_are_not_measured() -> None:
    assert not Widths(plan_of("S3", "i4"), guessed=False).needed
    assert Widths(plan_of("S", "i4"), guessed=False).needed
