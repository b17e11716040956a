"""Texts cut to fit, against Python's own cutting of bytes and characters."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.truncation import cut_to_fit

TEXTS = st.lists(st.text(st.sampled_from("aé€𝄞 "), max_size=9), max_size=9)


@given(texts=TEXTS, width=st.integers(1, 9), kind=st.sampled_from("SU"))
def test_no_character_is_halved(texts: list[str], width: int, kind: str) -> None:
    series = pl.Series(texts, dtype=pl.String)
    made, cut = cut_to_fit(series, np.dtype(f"{kind}{width}"))
    expected = [t[:width] if kind == "U" else t.encode()[:width].decode(errors="ignore") for t in texts]
    assert made.to_list() == expected
    assert cut == sum(one != other for one, other in zip(texts, expected, strict=True))
    assert series.to_list() == texts  # not changed in place
