"""What is wrong in a schema that was edited is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import outcore as oc
from outcore.text.schema_reading import load

SCHEMA: dict[str, Any] = {
    "version": 1,
    "dialect": {
        "delimiter": ",",
        "quote": '"',
        "comment": "",
        "encoding": "utf-8",
        "decimal": ".",
        "skip_rows": 0,
        "header": True,
    },
    "na_values": ["NA"],
    "fill": None,
    "matrix": False,
    "file_columns": ["a", "b"],
    "columns": [{"name": "a", "dtype": "i4", "column": 1}],
}
MATRIX = SCHEMA | {"matrix": True, "dtype": "f4", "columns": "all"}


def edited(key: str, value: Any, schema: dict[str, Any] = SCHEMA) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(schema))
    where: Any = made
    *path, last = key.split(".")
    for part in path:
        where = where[int(part) if part.isdigit() else part]
    where[last] = value
    return made


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("version", 2, r'"version" is 2; it must be 1'),
        ("version", None, r'"version" is null'),
        ("dialekt", {}, r'"dialekt" is no key of a schema.\nThe keys here are: version'),
        ("dialect", 5, r'"dialect" is 5; it must be an object with the keys delimiter'),
        ("dialect.delimeter", ",", r'"dialect.delimeter" is no key'),
        ("dialect.delimiter", "", r'"dialect.delimiter" is ""; it must be one character, or "whitespace"'),
        ("dialect.delimiter", "ab", r"dialect: delimiter='ab' is not one ASCII character"),
        ("dialect.quote", None, r'"dialect.quote" is null; it must be a text'),
        ("dialect.encoding", "ebcdic", r"dialect: encoding='ebcdic' is not supported"),
        ("dialect.decimal", ";", r"dialect: decimal=';' is not supported"),
        ("dialect.skip_rows", -1, r'"dialect.skip_rows" is -1; it must be a number of lines'),
        ("dialect.skip_rows", True, r'"dialect.skip_rows" is true'),
        ("dialect.header", 1, r'"dialect.header" is 1; it must be true or false'),
        ("na_values", "NA", r'"na_values" is "NA"; it must be a list of texts'),
        ("na_values", [1], r'"na_values" is \[1\]; it must be a list of texts'),
        ("fill", "x", r'"fill" is "x"; it must be a number, or null'),
        ("matrix", "yes", r'"matrix" is "yes"; it must be true \(one dtype'),
        ("dtype", "f4", r'"dtype" is "f4"; it must be left out where "matrix" is false'),
        ("file_columns", [], r'"file_columns" is \[\]; it must be a list of names'),
        ("file_columns", 3, r'"file_columns" is 3'),
        ("file_columns", [1], r'"file_columns" is 1; it must be a list of names'),
        ("file_columns", [{"from": "x1"}], r'"file_columns" is {"from": "x1"}'),
        ("file_columns", [{"from": "x1", "to": "y2"}], r"it must be two names with the same start"),
        ("file_columns", ["a", "a"], r'"file_columns" is "a"; .* this one comes twice'),
        ("header", ["a"], r'"header" is \["a"\]; it must be a text for each of the 2 columns'),
        ("header", "a,b", r'"header" is "a,b"; it must be a list of texts'),
        ("columns", "all", r'"columns" is "all"; it must be a list of columns'),
        ("columns", [], r'"columns" is \[\]'),
        ("columns", [1], r'"columns\[0\]" is 1; it must be an object with the keys name, dtype'),
        ("columns", [{"name": "a"}], r'the key "columns\[0\].dtype" is missing'),
        ("columns.0.colour", 1, r'"columns\[0\].colour" is no key'),
        ("columns.0.column", 0, r'"columns\[0\].column" is 0; it must be the column of the files, 1 to 2'),
        ("columns.0.column", "1", r'"columns\[0\].column" is "1"'),
        ("columns.0.name", "a b", r'"columns\[0\].name" is "a b"; it must be a name without blanks'),
        ("columns.0.name", "", r'"columns\[0\].name" is ""'),
        ("columns.0.dtype", "int4", r'"columns\[0\].dtype" is "int4"; it must be a type such as "f4"'),
        ("columns.0.dtype", "a:i4", r'"columns\[0\].dtype" is "a:i4"'),
        ("columns.0.dtype", "i4,i4", r'"columns\[0\].dtype" is "i4,i4"'),
        ("columns.0.dtype", None, r'"columns\[0\].dtype" is null'),
        ("columns.0.categories", "x", r'"columns\[0\].categories" is "x"; it must be a list of texts'),
        ("columns.0.categories", ["x", "x"], r"columns\[0\].categories: categories\['a'\] holds 'x' twice"),
        ("columns.0.categories", ["NA"], r"columns\[0\].categories: .*holds 'NA', which means"),
        ("layout", {"offsets": [0]}, r'"layout" is {"offsets": \[0\]}; it must be left out, or'),
        ("layout", 5, r'"layout" is 5'),
    ],
)
def test_what_is_wrong_is_named(key: str, value: Any, said: str) -> None:
    with pytest.raises(oc.errors.OptionError, match=said):
        load(edited(key, value))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dtype", None, r'"dtype" is null; it must be a type'),
        ("dtype", "category", r'"dtype" is "category"; it must be a type'),
        ("columns", "some", r'"columns" is "some"; it must be a list of columns, or "all"'),
        ("columns", [3], r'"columns\[0\].column" is 3; it must be the column of the files, 1 to 2'),
        (
            "columns",
            [{"column": 1, "dtype": "i4"}],
            r'"columns\[0\].dtype" is "i4"; it must be left out: all',
        ),
        ("columns", [{"name": "a"}], r'the key "columns\[0\].column" is missing'),
    ],
)
def test_what_is_wrong_in_a_matrix(key: str, value: Any, said: str) -> None:
    with pytest.raises(oc.errors.OptionError, match=said):
        load(edited(key, value, MATRIX))


@pytest.mark.parametrize("key", ["dialect", "na_values", "matrix", "file_columns", "columns"])
def test_keys_that_are_missing(key: str) -> None:
    schema = {name: value for name, value in SCHEMA.items() if name != key}
    with pytest.raises(oc.errors.OptionError, match=rf'schema: the key "{key}" is missing.\nThe keys needed'):
        load(schema)


def test_names_may_not_come_twice() -> None:
    with pytest.raises(oc.errors.OptionError, match=r'"columns" is "a"; .* this one comes twice'):
        load(edited("columns", SCHEMA["columns"] * 2))


def test_text_that_is_no_schema(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text('{\n "version": 1,,\n}')
    with pytest.raises(oc.errors.OptionError, match=r"schema.json:2:15  is not JSON: .*\nCorrect it there"):
        load(path)
    path.write_text("[1]")
    with pytest.raises(oc.errors.OptionError, match=r"schema.json holds \[1\], not an object"):
        load(path)
    path.write_bytes(b"{\xff}")
    with pytest.raises(oc.errors.OptionError, match=r"schema.json is not UTF-8"):
        load(path)
    with pytest.raises(oc.errors.NotFoundError, match=r"none.json: there is no such schema file"):
        load(tmp_path / "none.json")


def test_categories_that_were_edited() -> None:
    schema = edited("columns", [{"name": "a", "dtype": "category", "column": 1, "categories": ["x", "y"]}])
    (column,) = load(schema).schema.columns
    assert (column.categories, column.dtype.str, column.sought) == (("x", "y"), "|i1", False)
    for entry in ({"dtype": "category"}, {"dtype": "i2", "categories": "find"}):
        (column,) = load(edited("columns", [{"name": "a", "column": 1} | entry])).schema.columns
        assert (column.categories, column.sought) == ((), True)


def test_a_matrix_of_some_columns() -> None:
    schema = load(edited("columns", [2, {"column": 1, "categories": ["x"]}], MATRIX)).schema
    assert [(c.place, c.name, c.categories) for c in schema.columns] == [(1, "b", None), (0, "a", ("x",))]
    assert schema.dtype == "f4"
