"""Columns of categories: which ones, their codes, and vocabularies."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text import categories as module
from outcore.text.categories import Vocabulary, as_category, as_wanted, codes, mark, settle
from outcore.text.schema import Column

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=4)


def category(dtype: str, *vocabulary: str) -> Column:
    return Column(0, "carrier", np.dtype(dtype), vocabulary)


@given(
    vocabulary=st.lists(TEXT, max_size=6, unique=True),
    others=st.lists(TEXT | st.none() | st.just(""), max_size=6),
    data=st.data(),
    fill=st.sampled_from([None, 7]),
    dtype=st.sampled_from(["i1", "i8", "f4", ">i2"]),
)
def test_codes_are_places_in_the_vocabulary(
    vocabulary: list[str], others: list[str | None], data: st.DataObject, fill: int | None, dtype: str
) -> None:
    texts = data.draw(st.permutations([*vocabulary, *others]))
    values, wrong = codes(pl.Series(texts, dtype=pl.String), category(dtype, *vocabulary), fill)
    assert values.dtype == np.dtype(dtype)
    assert wrong.tolist() == [bool(text) and text not in vocabulary for text in texts]
    missing = -1 if fill is None else fill
    expected = [
        vocabulary.index(text) if text else missing for text in texts if not text or text in vocabulary
    ]
    assert values[~wrong].tolist() == expected


def test_texts_are_taken_as_they_are() -> None:
    values, wrong = codes(pl.Series(["a", " a", "a "]), category("i1", "a", "a "), None)
    assert (values[[0, 2]].tolist(), wrong.tolist()) == ([0, 1], [False, True, False])


@pytest.mark.parametrize(
    ("n", "fill", "dtype"),
    [
        (0, None, "i1"),
        (127, None, "i1"),
        (128, None, "i2"),
        (2**15 - 1, None, "i2"),
        (2**15, None, "i4"),
        (3, 127, "i1"),
        (3, 128, "i2"),
        (3, -40_000, "i4"),
        (3, 2**40, "i8"),
    ],
)
def test_the_type_of_codes_follows_from_their_number(n: int, fill: int | None, dtype: str) -> None:
    found = settle(Column(0, "a", np.dtype("S"), (), sought=True), tuple(map(str, range(n))), fill)
    assert (found.dtype, found.sought, len(found.categories or ())) == (np.dtype(dtype), False, n)


@pytest.mark.parametrize(("dtype", "room"), [("i1", 128), ("u1", 256), ("f2", 2048)])
def test_a_type_that_holds_fewer_codes(dtype: str, room: int) -> None:
    column = Column(0, "carrier", np.dtype(dtype), (), sought=True)
    assert settle(column, tuple(map(str, range(room))), 0).dtype == np.dtype(dtype)
    with pytest.raises(
        oc.errors.DTypeError, match=rf"carrier has {room + 1} categories; .* of {room}\.\n.*i2"
    ):
        settle(column, tuple(map(str, range(room + 1))), 0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, {}),
        ("a", {"a": None}),
        ("a,b", {"a": None, "b": None}),
        (3, {3: None}),
        (["a", -1], {"a": None, -1: None}),
        ({"a": ["x", "y"], "b": None}, {"a": ("x", "y"), "b": None}),
        ({"a": np.array(["x", "y"])}, {"a": ("x", "y")}),
    ],
)
def test_ways_to_name_categories(given: object, wanted: object) -> None:
    assert as_wanted(given, []) == wanted


def test_a_name_may_hold_a_comma() -> None:
    assert as_wanted("a,b", ["a,b"]) == {"a,b": None}


@pytest.mark.parametrize("vocabulary", ["abc", [1, 2], 5, [None]])
def test_a_vocabulary_is_a_list_of_texts(vocabulary: object) -> None:
    with pytest.raises(oc.errors.OptionError, match=r"categories\['a'\] is .*, which is no list of texts"):
        as_wanted({"a": vocabulary}, [])


@pytest.mark.parametrize("given", [2.5, [["a"]]])
def test_what_names_no_columns(given: object) -> None:
    with pytest.raises(oc.errors.OptionError, match=r"categories=.* does not name columns"):
        as_wanted(given, [])


def test_a_text_has_one_code() -> None:
    with pytest.raises(oc.errors.OptionError, match=r"categories\['a'\] holds 'x' twice"):
        as_wanted({"a": ["x", "y", "x"]}, [])


def marked(columns: list[Column], wanted: dict, *, fill: float | None = None, matrix: bool = False) -> list:
    made = mark(columns, wanted, ("a", "b"), ("A x", "b"), missing=("NA",), fill=fill, matrix=matrix)
    return [column.categories for column in made]


def test_columns_are_named_as_in_the_result_or_in_the_files() -> None:
    columns = [Column(0, "first", np.dtype("S")), Column(0, "again", np.dtype("i4"))]
    assert marked(columns, {"again": ("x",)}) == [None, ("x",)]
    for key in ("a", "A x", 0, -2):
        assert marked(columns, {key: ("x",)}) == [("x",), ("x",)]
    with pytest.raises(oc.errors.OptionError, match=r"'b', which is not kept; .* kept are first, again"):
        marked(columns, {"b": None})
    with pytest.raises(oc.errors.OptionError, match=r"categories holds 'c'; the files have 2 columns"):
        marked(columns, {"c": None})


@pytest.mark.parametrize(("text", "said"), [("NA", "holds 'NA', which means"), ("", "holds an empty text")])
def test_missing_is_no_category(text: str, said: str) -> None:
    with pytest.raises(oc.errors.OptionError, match=said):
        marked([Column(0, "a", np.dtype("S"))], {"a": ("x", text)})


@pytest.mark.parametrize("dtype", ["S10", "U", "?", "M8[D]"])
def test_codes_are_numbers(dtype: str) -> None:
    with pytest.raises(oc.errors.DTypeError, match=r'a is a category, .* its dtype is .*\n.*"a:category"'):
        marked([Column(0, "a", np.dtype(dtype))], {"a": None})


def test_a_matrix_of_text_holds_no_codes() -> None:
    with pytest.raises(oc.errors.DTypeError, match="whose codes are whole numbers"):
        marked([Column(0, "a", np.dtype("S"))], {"a": None}, matrix=True)


def test_missing_needs_a_code() -> None:
    column = Column(0, "a", np.dtype("u1"))
    with pytest.raises(oc.errors.DTypeError, match=r"uint8, which has no room for -1(.|\n)*fill=VALUE"):
        as_category(column, ("x",), (), None, matrix=False)
    assert as_category(column, ("x",), (), 255, matrix=False).dtype == np.dtype("u1")


@given(st.lists(st.lists(TEXT, max_size=5), max_size=5))
def test_vocabularies_are_sorted_by_their_bytes(chunks: list[list[str]]) -> None:
    one, other = Vocabulary("a"), Vocabulary("a")
    for chunk in chunks:
        one.add(chunk)
    for chunk in reversed(chunks):
        other.add(chunk)
    assert one.sorted() == other.sorted()
    assert [t.encode() for t in one.sorted()] == sorted({t.encode() for chunk in chunks for t in chunk})


@pytest.mark.parametrize("limit", ["MAX_FOUND", "MAX_FOUND_BYTES"])
def test_too_many_categories(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, limit, 2)
    found = Vocabulary("id")
    found.add(["a", "b"])
    found.add(["b"])
    with pytest.raises(
        oc.errors.IngestError, match=r'id has more than (.|\n)*"id:S"(.|\n)*categories=\{\'id\''
    ):
        found.add(["c"])
