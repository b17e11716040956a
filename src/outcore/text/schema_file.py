"""Write the plan as JSON that a person can read, edit and give back; and as a short table.

Hands to   : text.journal, the command line, users

Guarantees
- What `dump` writes, `load` reads as the same plan.
- A table of 20 000 numbered columns of one type is a page of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from outcore.text.parse import Plan
from outcore.text.schema import CATEGORY, Column, Schema
from outcore.text.schema_reading import load as load
from outcore.text.schema_reading import read_json as read_json
from outcore.text.schema_text import DIALECT_KEYS, FIND, VERSION, as_runs, dtype_text, line, plain_number

#: Columns that `describe` shows one by one.
DESCRIBED = 20


def dump(plan: Plan) -> str:
    """Write the dialect, the columns and what stands for values; not how errors are dealt with."""
    schema, dialect, meaning = plan.schema, plan.dialect, plan.meaning
    parts: dict[str, str] = {
        "version": str(VERSION),
        "dialect": line({key: getattr(dialect, key) for key in DIALECT_KEYS}),
        "na_values": line(list(meaning.na_values)),
        "fill": line(plain_number(meaning.fill)),
        "matrix": line(schema.matrix),
    }
    if schema.matrix:
        parts["dtype"] = line(dtype_text(schema.dtype))
    parts["file_columns"] = _wrapped(as_runs(schema.file_names))
    if schema.header and schema.header != schema.file_names:
        parts["header"] = _wrapped(list(schema.header))
    parts["columns"] = _columns_text(schema)
    if schema.record is not None and schema.record != np.dtype([(c.name, c.dtype) for c in schema.columns]):
        offsets = [field[1] for field in (schema.record.fields or {}).values()]
        parts["layout"] = line({"offsets": offsets, "itemsize": schema.record.itemsize})
    return "{\n" + ",\n".join(f"  {line(key)}: {text}" for key, text in parts.items()) + "\n}\n"


def _wrapped(values: Sequence[Any]) -> str:
    """Write a list, with many entries on each line."""
    whole = line(values)
    if len(whole) <= 90:
        return whole
    lines: list[str] = []
    for entry in map(line, values):
        if lines and len(lines[-1]) + len(entry) < 100:
            lines[-1] += f" {entry},"
        else:
            lines.append(f"{entry},")
    # Not textwrap.indent: it takes other characters in the texts for ends of lines.
    indented = "\n".join(f"    {entries}" for entries in lines)
    return f"[\n{indented.removesuffix(',')}\n  ]"


def _columns_text(schema: Schema) -> str:
    columns = schema.columns
    plain = schema.matrix and not any(column.categories is not None for column in columns)
    if plain and [column.place for column in columns] == list(range(len(schema.file_names))):
        return line("all")
    if plain:
        return _wrapped([column.place + 1 for column in columns])
    entries = []
    for column in columns:
        entry: dict[str, Any] = {"name": column.name}
        if not schema.matrix:
            open_type = column.sought and column.dtype.kind == "S"
            entry["dtype"] = CATEGORY if open_type else dtype_text(column.dtype)
        entry["column"] = column.place + 1
        text = line(entry)
        if column.categories is not None:
            vocabulary = line(FIND) if column.sought else _wrapped(column.categories)
            text = f'{text[:-1]}, "categories": {vocabulary}}}'
        entries.append(text)
    return "[\n    " + ",\n    ".join(entries) + "\n  ]"


def describe(plan: Plan) -> str:
    """Say in a few lines how the files are read: one for the text, one for each column, or for all of them.

    Examples
    --------
    >>> from outcore.text.columns import Values
    >>> from outcore.text.dialect import Dialect
    >>> columns = (Column(0, "carrier", np.dtype("i1"), ("AA", "UA")), Column(2, "delay", np.dtype("f4")))
    >>> schema = Schema(("carrier", "day", "delay"), columns, matrix=False)
    >>> print(describe(Plan(Dialect(",", header=True), schema, Values(("NA",), None, "."))))
    delimiter ','  quote '"'  header  utf-8
    rows of 2 fields, from 3 columns
      name     type                column
      carrier  i1 of 2 categories       1
      delay    f4                       3
    """
    dialect, schema = plan.dialect, plan.schema
    words = [f"delimiter {dialect.delimiter!r}", f"quote {dialect.quote!r}" if dialect.quote else "no quotes"]
    words.append("header" if dialect.header else "no header")
    words += [f"comment {dialect.comment!r}"] if dialect.comment else []
    words += [f"skips {dialect.skip_rows} lines"] if dialect.skip_rows else []
    words += ["decimal comma"] if dialect.decimal == "," else []
    text = "  ".join([*words, dialect.encoding])
    columns, n_all = schema.columns, len(schema.file_names)
    of_all = f", from {n_all} columns" if n_all != len(columns) else ""
    if schema.matrix and all(column.categories is None for column in columns):
        return f"{text}\nmatrix of {dtype_text(schema.dtype)}, {len(columns)} columns{of_all}"
    kind = f"matrix of {dtype_text(schema.dtype)}, {len(columns)} columns" if schema.matrix else ""
    shown = [(c.name, _type_text(c), str(c.place + 1)) for c in columns]
    if len(shown) > DESCRIBED:
        left_out = len(shown) - DESCRIBED + 2
        shown = [*shown[: DESCRIBED - 2], (f"... {left_out - 1} more", "", ""), shown[-1]]
    table = [("name", "type", "column"), *shown]
    name, type_ = (max(len(row[i]) for row in table) for i in (0, 1))
    rows = [f"  {row[0]:{name}}  {row[1]:{type_}}  {row[2]:>6}".rstrip() for row in table]
    return "\n".join([text, (kind or f"rows of {_count(len(columns), 'field')}") + of_all, *rows])


def _count(n: int, what: str) -> str:
    plural = what.removesuffix("y") + "ies" if what.endswith("y") else f"{what}s"
    return f"{n} {what if n == 1 else plural}"


def _type_text(column: Column) -> str:
    if column.sought:
        return "categories, to be found"
    if column.unmeasured:
        return f"{dtype_text(column.dtype)}, to be measured"
    if column.categories is not None:
        return f"{dtype_text(column.dtype)} of {_count(len(column.categories), 'category')}"
    return dtype_text(column.dtype)
