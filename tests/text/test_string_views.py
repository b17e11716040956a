"""Texts as fixed bytes, straight from what Polars keeps."""

from __future__ import annotations

import ctypes

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text import string_views
from outcore.text.string_views import INLINE_BYTES, lengths, long_texts, short_texts

SHORT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12).map(
    lambda text: text.encode()[:INLINE_BYTES].decode(errors="ignore")
)
LONG = SHORT | st.sampled_from(
    ["a" * 12, "b" * 13, "c" * 14, "é" * 6, "é" * 7, "\U0001f600" * 30, "d" * 5000]
)


@st.composite
def columns(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> tuple[pl.Series, list[str]]:
    """Draw a column in several parts, perhaps a slice or a choice of a larger one."""
    parts = draw(st.lists(st.lists(texts, max_size=8), min_size=1, max_size=4))
    column = pl.concat([pl.Series(part, dtype=pl.String) for part in parts], rechunk=False)
    listed = [text for part in parts for text in part]
    start = draw(st.integers(0, len(listed)))
    length = draw(st.integers(0, len(listed) - start))
    column, listed = column.slice(start, length), listed[start : start + length]
    if draw(st.booleans()):
        kept = draw(st.lists(st.booleans(), min_size=length, max_size=length))
        column = column.filter(pl.Series(kept, dtype=pl.Boolean))
        listed = [text for text, keep in zip(listed, kept, strict=True) if keep]
    return column, listed


@given(drawn=columns(SHORT), more=st.integers(0, 9))
def test_short_texts_are_those_of_numpy(drawn: tuple[pl.Series, list[str]], more: int) -> None:
    column, listed = drawn
    encoded = [text.encode() for text in listed]
    width = max(map(len, encoded), default=0) + more or 1
    made = short_texts(column, width)
    assert made.dtype == np.dtype(f"S{width}")
    assert made.tolist() == encoded
    assert made.tobytes() == np.array(encoded, f"S{width}").tobytes()  # padded with zeros, and nothing else


@given(drawn=columns(LONG), more=st.integers(0, 9))
def test_long_texts_are_those_of_numpy(drawn: tuple[pl.Series, list[str]], more: int) -> None:
    column, listed = drawn
    encoded = [text.encode() for text in listed]
    width = max(map(len, encoded), default=0) + more or 1
    assert (
        long_texts(column, np.zeros(len(column), f"S{width}")).tobytes()
        == np.array(encoded, f"S{width}").tobytes()
    )


@given(columns(LONG))
def test_lengths_are_those_of_the_bytes(drawn: tuple[pl.Series, list[str]]) -> None:
    column, listed = drawn
    assert lengths(column).tolist() == [len(text.encode()) for text in listed]


@pytest.mark.parametrize("width", range(1, 20))
def test_every_width(width: int) -> None:
    listed = ["x" * n for n in range(min(width, INLINE_BYTES) + 1)]
    assert short_texts(pl.Series(listed), width).tolist() == [text.encode() for text in listed]
    listed = ["x" * n for n in range(width + 1)]
    assert long_texts(pl.Series(listed), np.zeros(len(listed), f"S{width}")).tolist() == [
        text.encode() for text in listed
    ]


def test_texts_outlive_the_column() -> None:
    column = pl.Series(["ab" * 50, "c"] * 1000)
    made, short = (
        long_texts(column, np.zeros(len(column), "S100")),
        short_texts(pl.Series(["ab", "c"] * 1000), 2),
    )
    del column
    pl.Series(["x" * 100] * 5000)
    assert made.tolist() == [b"ab" * 50, b"c"] * 1000
    assert short.tolist() == [b"ab", b"c"] * 1000


def test_other_columns_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Arrow format b'l'; b'vu' was expected"):
        short_texts(pl.Series([1, 2]), 3)


def test_what_arrow_cannot_hand_over_is_an_error() -> None:
    class Stream:
        def get_next(self, stream: object, array: object) -> int:
            return 5

        get_schema = get_next
        contents = property(lambda self: self)

    with pytest.raises(OSError, match="cannot describe"):
        string_views._check_format(Stream())
    with pytest.raises(OSError, match="cannot hand over"), string_views._next(Stream()):
        pass


def test_every_part_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pl.concat([pl.Series(["a"]), pl.Series(["b"]), pl.Series(["c"])], rechunk=False)
    released = []
    kind = ctypes.CFUNCTYPE(None, ctypes.POINTER(string_views._Array))

    @kind
    def note(array: object) -> None:
        released.append(array)

    views = string_views._arrays(column)
    for array, _ in views:
        original = array.release
        original(ctypes.byref(array))
        array.release = note
    assert len(released) == column.n_chunks() == 3
