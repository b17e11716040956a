"""Measuring text columns and finding vocabularies, in any order and by several threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.text import categories
from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan, Unreadable
from outcore.text.schema import Column, Schema
from outcore.text.survey import Survey


def plan_of(*kinds: str, matrix: bool = False, fill: float | None = None) -> Plan:
    names = tuple("abc"[: len(kinds)])
    columns = tuple(
        Column(i, name, np.dtype(kind.removeprefix("category:")), *(((), True) if "category" in kind else ()))
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )
    return Plan(Dialect(","), Schema(names, columns, matrix=matrix), Values(("NA",), fill, "."))


def surveyed(plan: Plan, chunks: list[bytes], *, guessed: bool = False) -> Schema:
    survey = Survey(plan, guessed=guessed)
    for chunk in chunks:
        survey.add(chunk)
    return survey.result().schema


@given(
    st.lists(st.text(st.sampled_from("abé€"), min_size=1, max_size=9), min_size=1, max_size=20), st.booleans()
)
def test_the_widest_text_decides(texts: list[str], guessed: bool) -> None:
    chunks = [f"{text},1,{text}\n".encode() for text in texts]
    schema = surveyed(plan_of("S", "i4", "U"), chunks, guessed=guessed)
    nbytes, characters = max(len(t.encode()) for t in texts), max(map(len, texts))
    plain = all(t.isascii() for t in texts)
    assert [column.dtype for column in schema.columns] == [
        np.dtype(f"U{characters}" if guessed and not plain else f"S{nbytes}"),
        np.dtype("i4"),
        np.dtype(f"U{characters}"),
    ]


def test_missing_text_has_a_width() -> None:
    survey = Survey(plan_of("S", "i4"), guessed=True)
    assert survey.add(b"NA,1\n,2\n") == 2
    assert survey.add(b"\n\n") == survey.add(b"") == 0
    assert survey.result().schema.columns[0].dtype == np.dtype("S1")


def test_what_is_known_is_not_looked_for() -> None:
    assert not Survey(plan_of("S3", "i4"), guessed=False).needed
    assert Survey(plan_of("S", "i4"), guessed=False).needed
    assert Survey(plan_of("category:S", "i4"), guessed=False).needed
    assert Survey(plan_of("category:i4", "i4"), guessed=False).needed


def test_a_matrix_of_text_is_as_wide_as_its_widest_column() -> None:
    schema = surveyed(plan_of("S", "S", matrix=True), [b"a,bcd\n", b"ab,c\n"])
    assert (schema.dtype, schema.row_shape) == (np.dtype("S3"), (2,))


def test_vocabularies() -> None:
    schema = surveyed(
        plan_of("category:S", "category:i4", "f8"), [b'b,"x, y",1\n', b"a,NA,2\nb,,3\n", "é, x,4\n".encode()]
    )
    assert [column.categories for column in schema.columns] == [("a", "b", "é"), (" x", "x, y"), None]
    assert schema.dtype == np.dtype([("a", "i1"), ("b", "i4"), ("c", "f8")])
    assert not any(column.unmeasured for column in schema.columns)


def test_nothing_but_missing_values() -> None:
    (column,) = surveyed(plan_of("category:S"), [b"NA\n"]).columns
    assert (column.categories, column.unmeasured, column.dtype) == ((), False, np.dtype("i1"))


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["1", "x", ""])), min_size=1), st.randoms()
)
def test_the_order_of_chunks_does_not_matter(rows: list[tuple[str, str]], random: object) -> None:
    chunks = [f"{a},{b}\n".encode() for a, b in rows]
    plan = plan_of("category:S", "S")
    whole = surveyed(plan, [b"".join(chunks)])
    random.shuffle(chunks)
    assert surveyed(plan, chunks) == whole


def test_several_threads() -> None:
    plan = plan_of("category:S", "S")
    survey = Survey(plan, guessed=False)

    def work(n: int) -> None:
        for i in range(n, 2000, 4):
            survey.add(f"k{i % 700},{'x' * (i % 300)}\n".encode())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    category, text = survey.result().schema.columns
    assert category.categories == tuple(sorted(f"k{i}" for i in range(700)))
    assert (category.dtype, text.dtype) == (np.dtype("i2"), np.dtype("S299"))


def test_records_that_cannot_be_read_are_signalled() -> None:
    survey = Survey(plan_of("S", "i4"), guessed=False)
    with pytest.raises(Unreadable):
        survey.add(b"a\n")
    survey.add(b"a,not looked at\n")
    assert survey.result().schema.columns[0].dtype == np.dtype("S1")


def test_too_many_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(categories, "MAX_FOUND", 2)
    with pytest.raises(oc.errors.IngestError, match="a has more than 2 different texts"):
        surveyed(plan_of("category:S", "i4"), [b"x,1\ny,1\n", b"z,1\n"])


def test_more_categories_than_the_type_holds() -> None:
    text = "".join(f"k{i},1\n" for i in range(200)).encode()
    with pytest.raises(oc.errors.DTypeError, match="a has 200 categories; int8 holds the codes of 128"):
        surveyed(plan_of("category:i1", "i4"), [text])
