"""What the user said about the text.

Hands to   : text.plan, text.journal
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from outcore.errors import OptionError
from outcore.text.categories import CategoriesLike, as_wanted
from outcore.text.columns import Values
from outcore.text.dialect import Dialect, check_options
from outcore.text.schema import CATEGORY, parse_dtype_and_categories
from outcore.text.schema_reading import read_json
from outcore.text.schema_text import dtype_text, plain_number

#: Cells that mean "missing" unless the user names others.
MISSING = ("", "NA", "NaN", "nan", "N/A", "NULL", "null")

SchemaLike = str | os.PathLike[str] | Mapping[str, Any]


@dataclass(frozen=True)
class Wishes:
    """What the user said about the text; None means: find out."""

    dtype: DTypeLike | str | None = None
    delimiter: str | None = None
    header: bool | None = None
    names: Sequence[str] | None = None
    columns: Sequence[str | int] | None = None
    skip_rows: int = 0
    comment: str | None = None
    quote: str | None = '"'
    encoding: str = "utf-8"
    decimal: str = "."
    na_values: Sequence[str] = MISSING
    fill: float | None = None
    categories: CategoriesLike | None = None
    schema: SchemaLike | None = None

    def dialect(self) -> Dialect:
        """Say how the text is written; a delimiter and a header that are to be found are missing.

        Raises
        ------
        OptionError
            Options that make no sense, or not together.
        """
        encoding = check_options(self.delimiter, self.quote, self.comment, self.decimal, self.encoding)
        skip_rows: Any = self.skip_rows
        whole = isinstance(skip_rows, (int, np.integer)) and not isinstance(skip_rows, bool)
        if not whole or skip_rows < 0:
            raise OptionError(f"skip_rows={self.skip_rows!r} is not a number of lines.\nUse 0 or more.")
        return Dialect(
            self.delimiter or ",",
            self.quote or "",
            self.comment or "",
            encoding,
            self.decimal,
            int(self.skip_rows),
            bool(self.header),
        )

    def meaning(self) -> Values:
        """Say what cells stand for."""
        given = (self.na_values,) if isinstance(self.na_values, str) else tuple(self.na_values)
        return Values(given, self.fill, self.decimal)

    def given_names(self) -> list[str] | None:
        """Names for all columns of the files."""
        if self.names is None:
            return None
        return self.names.split(",") if isinstance(self.names, str) else list(self.names)

    def as_json(self) -> dict[str, Any]:
        """Write all of it in one way, so that two runs can be compared.

        Raises
        ------
        OptionError, DTypeError, NotFoundError
            Something that makes no sense, or a schema that cannot be read.

        Examples
        --------
        >>> Wishes("a:i4").as_json() == Wishes(np.dtype([("a", "i4")]), comment="").as_json()
        True
        """
        dialect, meaning = self.dialect(), self.meaning()
        columns = [self.columns] if isinstance(self.columns, (str, int, np.integer)) else self.columns
        wanted = as_wanted(self.categories, ())
        return {
            "dtype": None if self.dtype is None else _dtype_json(self.dtype),
            "delimiter": self.delimiter,
            "header": None if self.header is None else bool(self.header),
            "names": self.given_names(),
            "columns": None if columns is None else [_plain(column) for column in columns],
            "skip_rows": dialect.skip_rows,
            "comment": dialect.comment,
            "quote": dialect.quote,
            "encoding": dialect.encoding,
            "decimal": dialect.decimal,
            "na_values": list(meaning.na_values),
            "fill": _plain(meaning.fill),
            "categories": [[_plain(name), texts and list(texts)] for name, texts in wanted.items()],
            "schema": None if self.schema is None else read_json(self.schema)[0],
        }


def _dtype_json(dtype: DTypeLike | str) -> Any:
    parsed, categories = parse_dtype_and_categories(dtype)
    if parsed.fields is None or parsed.names is None:
        return dtype_text(parsed)
    fields = [(name, parsed.fields[name]) for name in parsed.names]
    packed = np.dtype([(name, field[0]) for name, field in fields])
    if packed == parsed:
        return [[name, CATEGORY if name in categories else dtype_text(field[0])] for name, field in fields]
    return {
        "fields": [[name, dtype_text(field[0]), field[1]] for name, field in fields],
        "itemsize": parsed.itemsize,
    }


def _plain(value: Any) -> Any:
    """Turn NumPy's numbers into Python's, and NaN into what equals itself."""
    value = plain_number(value)
    return "nan" if value != value else value
