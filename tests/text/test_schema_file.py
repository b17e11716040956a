"""Plans as JSON: what is written is read as the same plan, and is short."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcore.text.columns import Values
from outcore.text.dialect import Dialect
from outcore.text.parse import Plan
from outcore.text.schema import Column, Schema, valid_names
from outcore.text.schema_file import describe, dump, load

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
NAMES = st.lists(
    TEXT | st.sampled_from(["x1", "x2", "x3", "x08", "x09", "x10", "9"]), min_size=1, max_size=30
)
DTYPES = st.sampled_from(["i1", ">i2", "u8", "f2", "f8", "?", "S5", "S", "U3", "U", "M8[D]", "M8[10ms]"])


@st.composite
def columns(draw: st.DrawFn, place: int, name: str) -> Column:
    kind = draw(st.sampled_from(["plain", "found", "sought", "sought as i4"]))
    if kind == "plain":
        return Column(place, name, np.dtype(draw(DTYPES)))
    if kind == "found":
        vocabulary = draw(st.lists(TEXT.filter(bool), max_size=40, unique=True))
        return Column(place, name, np.dtype("i4"), tuple(vocabulary))
    return Column(place, name, np.dtype("S" if kind == "sought" else "i4"), (), sought=True)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    header = draw(st.booleans())
    raw = draw(NAMES)
    file_names = valid_names(raw)
    if matrix := draw(st.booleans()):
        dtype = np.dtype(draw(DTYPES))
        places = draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=12))
        everything = draw(st.booleans())
        made = tuple(Column(p, file_names[p], dtype) for p in (range(len(raw)) if everything else places))
    else:
        places = draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=5, unique=True))
        made = tuple(draw(columns(p, file_names[p])) for p in places)
    dialect = Dialect(
        draw(st.sampled_from([",", ";", "\t", "whitespace"])),
        draw(st.sampled_from(['"', "'", ""])),
        draw(st.sampled_from(["", "#", "//"])),
        draw(st.sampled_from(["utf-8", "latin-1", "utf-16-le"])),
        ".",
        draw(st.integers(0, 5)),
        header,
    )
    meaning = Values((), draw(st.sampled_from([None, 0, -1.5, True])) if matrix else None, ".")
    return Plan(dialect, Schema(file_names, made, matrix, None, tuple(raw) if header else ()), meaning)


@given(plans())
def test_what_is_written_is_read_as_the_same_plan(plan: Plan) -> None:
    text = dump(plan)
    assert load(text) == plan
    assert load(json.loads(text)) == plan
    assert dump(load(text)) == text


def plan_of(*made: Column, names: tuple[str, ...], matrix: bool = False, **more: object) -> Plan:
    schema = Schema(names, made, matrix, **more)
    return Plan(Dialect(",", header=bool(schema.header)), schema, Values(("", "NA"), None, "."))


def test_the_file_that_people_edit() -> None:
    made = (Column(2, "carrier", np.dtype("i1"), ("AA", "UA")), Column(0, "when", np.dtype("M8[s]")))
    assert dump(plan_of(*made, names=("when", "x", "carrier"), header=("when", " x", "carrier"))) == (
        "{\n"
        '  "version": 1,\n'
        '  "dialect": {"delimiter": ",", "quote": "\\"", "comment": "", "encoding": "utf-8", "decimal": ".", '
        '"skip_rows": 0, "header": true},\n'
        '  "na_values": ["", "NA"],\n'
        '  "fill": null,\n'
        '  "matrix": false,\n'
        '  "file_columns": ["when", "x", "carrier"],\n'
        '  "header": ["when", " x", "carrier"],\n'
        '  "columns": [\n'
        '    {"name": "carrier", "dtype": "i1", "column": 3, "categories": ["AA", "UA"]},\n'
        '    {"name": "when", "dtype": "M8[s]", "column": 1}\n'
        "  ]\n"
        "}\n"
    )


def test_20_000_columns_are_a_few_lines() -> None:
    names = ("id", *(f"gene_{i:05d}" for i in range(20_000)))
    made = tuple(Column(i, name, np.dtype("f4")) for i, name in enumerate(names))
    text = dump(plan_of(*made, names=names, matrix=True))
    assert len(text) < 500
    assert '["id", {"from": "gene_00000", "to": "gene_19999"}]' in text
    assert '"columns": "all"' in text
    assert load(text).schema.columns == made


def test_many_names_stand_on_few_lines() -> None:
    names = tuple(f"{'abc'[i % 3]}{i}" for i in range(1000))
    text = dump(plan_of(Column(5, names[5], np.dtype("f4")), names=names))
    assert max(map(len, text.splitlines())) < 140
    assert len(text.splitlines()) < 120


def test_padding_is_kept() -> None:
    record = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    made = (Column(0, "a", record["a"]), Column(1, "b", record["b"]))
    plan = plan_of(*made, names=("a", "b"), record=record)
    assert load(dump(plan)).schema.dtype == record
    assert '"layout": {"offsets": [0, 8], "itemsize": 16}' in dump(plan)


def test_a_path_or_text(tmp_path: object) -> None:
    plan = plan_of(Column(0, "é", np.dtype("S")), names=("é",))
    path = tmp_path / "schema.json"  # type: ignore[operator]
    path.write_text(dump(plan), encoding="utf-8")
    assert load(path) == load(str(path)) == load("\n" + dump(plan)) == plan


@pytest.mark.parametrize(
    ("made", "lines"),
    [
        ((Column(0, "a", np.dtype("S")),), ["  a     S, to be measured       1"]),
        ((Column(0, "a", np.dtype("S"), (), True),), ["  a     categories, to be found       1"]),
        ((Column(0, "a", np.dtype("i2"), ("x",)),), ["  a     i2 of 1 category       1"]),
    ],
)
def test_a_plan_in_words(made: tuple[Column, ...], lines: list[str]) -> None:
    text = describe(plan_of(*made, names=("a", "b")))
    assert text.splitlines()[:2] == [
        "delimiter ','  quote '\"'  no header  utf-8",
        "rows of 1 field, from 2 columns",
    ]
    assert [" ".join(line.split()) for line in text.splitlines()[3:]] == [
        " ".join(line.split()) for line in lines
    ]


def test_many_columns_in_few_words() -> None:
    names = tuple(f"x{i}" for i in range(1000))
    made = tuple(Column(i, name, np.dtype("i4" if i else "f8")) for i, name in enumerate(names))
    lines = describe(plan_of(*made, names=names)).splitlines()
    assert len(lines) == 23
    assert lines[-2].strip() == "... 981 more"
    assert lines[-1].split() == ["x999", "i4", "1000"]
    same = tuple(Column(i, name, np.dtype("f4")) for i, name in enumerate(names))
    assert describe(plan_of(*same, names=names, matrix=True)).splitlines()[1:] == [
        "matrix of f4, 1000 columns"
    ]


def test_what_is_unusual_is_said() -> None:
    dialect = Dialect("whitespace", "", "#", "latin-1", ",", 3, header=True)
    plan = Plan(
        dialect, Schema(("a",), (Column(0, "a", np.dtype("f4")),), matrix=True), Values((), None, ",")
    )
    assert describe(plan).splitlines()[0] == (
        "delimiter 'whitespace'  no quotes  header  comment '#'  skips 3 lines  decimal comma  latin-1"
    )
