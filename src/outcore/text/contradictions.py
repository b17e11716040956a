"""What the user said besides a schema, and whether that is something else.

Hands to   : text.plan
"""

from __future__ import annotations

from typing import Any

import numpy as np

from outcore.errors import OptionError
from outcore.text.categories import as_wanted
from outcore.text.parse import Plan
from outcore.text.schema import (
    Column,
    parse_dtype_and_categories,
    place_of,
    places_by_name,
    select,
    valid_names,
)
from outcore.text.schema_text import dtype_text
from outcore.text.wishes import Wishes


def refuse_contradictions(wishes: Wishes, plan: Plan) -> None:
    """Refuse wishes that are not what the schema says; those left at their defaults say nothing.

    Raises
    ------
    OptionError
        Lists all of them.
    """
    found = [*_about_text(wishes, plan), *_about_columns(wishes, plan)]
    if found:
        raise OptionError(
            f"the schema says something else than {'; '.join(found)}.\n"
            "Leave out what the schema decides, or edit the schema."
        )


def _about_text(wishes: Wishes, plan: Plan) -> list[str]:
    """Compare what was said about the dialect and the missing values."""
    asked, meant, default = wishes.dialect(), wishes.meaning(), Wishes()
    usual = default.dialect()
    pairs: list[tuple[str, Any, Any]] = [
        (name, getattr(asked, name), getattr(plan.dialect, name))
        for name in ("skip_rows", "comment", "quote", "encoding", "decimal")
        if getattr(asked, name) != getattr(usual, name)
    ]
    if wishes.delimiter is not None:
        pairs.append(("delimiter", asked.delimiter, plan.dialect.delimiter))
    if wishes.header is not None:
        pairs.append(("header", asked.header, plan.dialect.header))
    if meant.na_values != default.meaning().na_values:
        pairs.append(("na_values", list(meant.na_values), list(plan.meaning.na_values)))
    if meant.fill is not None:
        pairs.append(("fill", meant.fill, plan.meaning.fill))
    return [f"{name}={given!r} (schema: {there!r})" for name, given, there in pairs if given != there]


def _about_columns(wishes: Wishes, plan: Plan) -> list[str]:
    schema, found = plan.schema, []
    names = wishes.given_names()
    if names is not None and valid_names(names) != schema.file_names:
        found.append(f"names={names!r}")
    if wishes.columns is not None:
        places = select(wishes.columns, schema.file_names, schema.header)
        if places != [column.place for column in schema.columns]:
            found.append(f"columns={wishes.columns!r}")
    if wishes.dtype is not None and not _same_dtype(wishes.dtype, plan):
        types = dtype_text(schema.dtype) if schema.matrix else "other fields"
        found.append(f"dtype={wishes.dtype!r} (schema: {types})")
    known = places_by_name(schema.file_names, schema.header)
    for key, vocabulary in as_wanted(wishes.categories, ()).items():
        place = next((c.place for c in schema.columns if c.name == key), None)
        place = place_of(key, known, schema.file_names, option="categories") if place is None else place
        for column in schema.columns:
            if column.place == place and not _same_category(column, vocabulary):
                found.append(f"categories of {key!r}")
    return found


def _same_category(column: Column, vocabulary: tuple[str, ...] | None) -> bool:
    return column.categories is not None and (vocabulary is None or vocabulary == column.categories)


def _same_dtype(given: Any, plan: Plan) -> bool:
    """Whether a dtype is that of the schema, which may know the width or the vocabulary besides."""
    dtype, categories = parse_dtype_and_categories(given)
    schema = plan.schema
    if dtype.names is None or schema.matrix:
        return schema.matrix and dtype.names is None and _same_type(dtype, schema.columns[0])
    if dtype.names != tuple(column.name for column in schema.columns):
        return False
    return all(
        column.categories is not None if column.name in categories else _same_type(dtype[column.name], column)
        for column in schema.columns
    )


def _same_type(dtype: np.dtype[Any], column: Column) -> bool:
    measured = dtype.kind in "SU" and dtype.itemsize == 0 and column.dtype.kind == dtype.kind
    return measured or dtype == column.dtype
