"""Read a schema that a person may have edited, and say what is wrong in it.

Reads from : a file, text or dict
Hands to   : text.plan, text.wishes, text.journal

What is wrong is named: the key, its value, and what is allowed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from outcore.errors import NotFoundError, OptionError, OutcoreError
from outcore.text.categories import as_category, as_wanted
from outcore.text.columns import Values
from outcore.text.dialect import Dialect, check_options
from outcore.text.parse import Plan
from outcore.text.schema import CATEGORY, Column, Schema, parse_dtype, valid_names
from outcore.text.schema_text import DIALECT_KEYS, FIND, VERSION, line, run_of

_KEYS = (
    "version",
    "dialect",
    "na_values",
    "fill",
    "matrix",
    "dtype",
    "file_columns",
    "header",
    "columns",
    "layout",
)
_NEEDED = ("version", "dialect", "na_values", "matrix", "file_columns", "columns")
_COLUMN = ("name", "dtype", "column", "categories")


def load(source: str | os.PathLike[str] | Mapping[str, Any]) -> Plan:
    """Read what `dump` wrote, and a person may have edited.

    Parameters
    ----------
    source : str, path or mapping
        A path, JSON text, or what JSON text was parsed to.

    Raises
    ------
    NotFoundError
        There is no such file.
    OptionError
        It is no JSON, or a key is missing, unknown or has a value that makes no sense.
    """
    content, where = read_json(source)
    return _Loading(content, where).plan()


def read_json(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Read JSON; return its content, and what to call it in messages.

    Raises
    ------
    NotFoundError, OptionError
        As `load` does.
    """
    if isinstance(source, Mapping):
        return dict(source), "schema"
    text, where = os.fspath(source), "schema"
    if not isinstance(source, str) or not text.lstrip().startswith("{"):
        where = text
        try:
            with open(where, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError as error:
            raise NotFoundError(
                f"{where}: there is no such schema file (looked from {os.getcwd()}).\n"
                "Leave schema= (--schema) out to have the types found; the run saves what it found."
            ) from error
        except UnicodeDecodeError as error:
            raise OptionError(f"{where} is not UTF-8 ({error}).\nSave the schema as UTF-8.") from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise OptionError(
            f"{where}:{error.lineno}:{error.colno}  is not JSON: {error.msg}.\n"
            "Correct it there; keys and texts stand in double quotes, with a comma between entries."
        ) from error
    if not isinstance(content, dict):
        raise OptionError(
            f'{where} holds {_shown(content)}, not an object.\nIt starts with {{"version": 1, ...}}.'
        )
    return content, where


def _shown(value: Any) -> str:
    text = line(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Loading:
    """Checks a schema key by key."""

    def __init__(self, content: dict[str, Any], where: str) -> None:
        self._content = content
        self._where = where

    def plan(self) -> Plan:
        content = self._content
        if content.get("version") != VERSION:
            self._refuse("version", content.get("version"), f"{VERSION}, the one that this outcore reads")
        self._check_keys(content, _KEYS, _NEEDED, "")
        dialect, meaning = self._dialect(), self._meaning()
        matrix = content["matrix"]
        if not isinstance(matrix, bool):
            self._refuse("matrix", matrix, "true (one dtype, plain rows) or false (rows with fields)")
        file_names = self._file_names()
        columns = self._columns(file_names, meaning, matrix=matrix)
        header = self._texts("header", content.get("header", list(file_names) if dialect.header else []))
        if dialect.header and len(header) != len(file_names):
            self._refuse("header", list(header), f"a text for each of the {len(file_names)} columns")
        schema = Schema(file_names, columns, matrix, None if matrix else self._record(columns), header)
        return Plan(dialect, schema, meaning)

    def _refuse(self, key: str, value: Any, allowed: str) -> NoReturn:
        raise OptionError(
            f'{self._where}: "{key}" is {_shown(value)}; it must be {allowed}.\nCorrect it in the schema.'
        )

    def _check_keys(
        self, content: dict[str, Any], known: Sequence[str], needed: Sequence[str], at: str
    ) -> None:
        for key in content:
            if key not in known:
                raise OptionError(
                    f'{self._where}: "{at}{key}" is no key of a schema.\n'
                    f"The keys here are: {', '.join(known)}."
                )
        for key in needed:
            if key not in content:
                raise OptionError(
                    f'{self._where}: the key "{at}{key}" is missing.\nThe keys needed here are: '
                    f"{', '.join(needed)}."
                )

    def _texts(self, key: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            self._refuse(key, value, "a list of texts")
        return tuple(value)

    def _dialect(self) -> Dialect:
        given = self._content["dialect"]
        if not isinstance(given, dict):
            self._refuse("dialect", given, f"an object with the keys {', '.join(DIALECT_KEYS)}")
        self._check_keys(given, DIALECT_KEYS, DIALECT_KEYS, "dialect.")
        for key in ("delimiter", "quote", "comment", "encoding", "decimal"):
            if not isinstance(given[key], str):
                self._refuse(f"dialect.{key}", given[key], "a text")
        if type(given["skip_rows"]) is not int or given["skip_rows"] < 0:
            self._refuse("dialect.skip_rows", given["skip_rows"], "a number of lines, 0 or more")
        if not isinstance(given["header"], bool):
            self._refuse("dialect.header", given["header"], "true or false")
        if not given["delimiter"]:
            self._refuse("dialect.delimiter", "", 'one character, or "whitespace"')
        options = [given[key] for key in ("delimiter", "quote", "comment", "decimal", "encoding")]
        try:
            encoding = check_options(*options)
        except OptionError as error:
            raise OptionError(f"{self._where}: dialect: {error}") from error
        return Dialect(**(given | {"encoding": encoding}))

    def _meaning(self) -> Values:
        fill = self._content.get("fill")
        if fill is not None and not isinstance(fill, (int, float)):
            self._refuse("fill", fill, "a number, or null for none")
        na_values = self._texts("na_values", self._content["na_values"])
        return Values(na_values, fill, self._content["dialect"]["decimal"])

    def _file_names(self) -> tuple[str, ...]:
        given = self._content["file_columns"]
        allowed = 'a list of names, or of {"from": "x1", "to": "x900"}'
        if not isinstance(given, list) or not given:
            self._refuse("file_columns", given, allowed)
        names: list[str] = []
        for entry in given:
            if isinstance(entry, str):
                names.append(entry)
                continue
            if not isinstance(entry, dict) or set(entry) != {"from", "to"}:
                self._refuse("file_columns", entry, allowed)
            run = run_of(str(entry["from"]), str(entry["to"]))
            if run is None:
                self._refuse("file_columns", entry, "two names with the same start that count up")
            names.extend(run)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            self._refuse("file_columns", twice, "a name of its own for each column; this one comes twice")
        return tuple(names)

    def _columns(self, file_names: tuple[str, ...], meaning: Values, *, matrix: bool) -> tuple[Column, ...]:
        given = self._content["columns"]
        whole = self._dtype("dtype", self._content.get("dtype")) if matrix else None
        if not matrix and "dtype" in self._content:
            self._refuse("dtype", self._content["dtype"], 'left out where "matrix" is false')
        if given == "all" and matrix:
            given = list(range(1, len(file_names) + 1))
        if not isinstance(given, list) or not given:
            self._refuse("columns", given, 'a list of columns, or "all" for a matrix')
        columns = tuple(self._column(i, entry, file_names, whole, meaning) for i, entry in enumerate(given))
        names = [column.name for column in columns]
        if not matrix and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            self._refuse("columns", twice, "a name of its own for each column; this one comes twice")
        return columns

    def _column(
        self, i: int, entry: Any, file_names: tuple[str, ...], whole: np.dtype[Any] | None, meaning: Values
    ) -> Column:
        at = f"columns[{i}]."
        if whole is not None and type(entry) is int:
            entry = {"column": entry}
        if not isinstance(entry, dict):
            self._refuse(at[:-1], entry, f"an object with the keys {', '.join(_COLUMN)}")
        self._check_keys(
            entry, _COLUMN, ("column",) if whole is not None else ("name", "dtype", "column"), at
        )
        place = entry["column"]
        if type(place) is not int or not 1 <= place <= len(file_names):
            self._refuse(f"{at}column", place, f"the column of the files, 1 to {len(file_names)}")
        name = entry.get("name", file_names[place - 1])
        if not isinstance(name, str) or valid_names([name]) != (name,):
            self._refuse(f"{at}name", name, "a name without blanks, commas and colons")
        is_category = "categories" in entry or entry.get("dtype") == CATEGORY
        if whole is not None:
            if "dtype" in entry:
                self._refuse(
                    f"{at}dtype", entry["dtype"], 'left out: all columns of a matrix have its "dtype"'
                )
            column = Column(place - 1, name, whole)
        elif entry["dtype"] == CATEGORY:
            column = Column(place - 1, name, np.dtype("S"))
        else:
            column = Column(place - 1, name, self._dtype(f"{at}dtype", entry["dtype"]))
        return self._category(at, entry, column, meaning, matrix=whole is not None) if is_category else column

    def _category(
        self, at: str, entry: dict[str, Any], column: Column, meaning: Values, *, matrix: bool
    ) -> Column:
        given = entry.get("categories", FIND)
        if given != FIND:
            self._texts(f"{at}categories", given)
        try:
            wanted = as_wanted({column.name: None if given == FIND else given}, ())
            return as_category(column, wanted[column.name], meaning.na_values, meaning.fill, matrix=matrix)
        except OutcoreError as error:
            raise OptionError(f"{self._where}: {at}categories: {error}") from error

    def _dtype(self, key: str, given: Any) -> np.dtype[Any]:
        allowed = 'a type such as "f4", "i8", "S10", "U5", "?", "M8[s]", or "category" for a single column'
        if not isinstance(given, str) or ":" in given or "," in given:
            self._refuse(key, given, allowed)
        try:
            return parse_dtype(given)
        except OutcoreError:
            self._refuse(key, given, allowed)

    def _record(self, columns: tuple[Column, ...]) -> np.dtype[Any] | None:
        layout = self._content.get("layout")
        if layout is None:
            return None
        try:
            return np.dtype(
                {
                    "names": [column.name for column in columns],
                    "formats": [column.dtype for column in columns],
                    "offsets": layout["offsets"],
                    "itemsize": layout["itemsize"],
                }
            )
        except (TypeError, ValueError, KeyError) as error:
            self._refuse("layout", layout, f'left out, or "offsets" for each column and "itemsize" ({error})')
