"""``outcore head``: the first rows."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.cli.addresses import open_from
from outcore.cli.output import dtype_json, dtype_text, plain, print_json, table

#: Wider rows are shown by their first and last values.
SHOWN = 10


def run(arguments: Namespace) -> int:
    """Print rows, as a table where they have fields or at most one axis."""
    array = open_from(arguments)
    if not array.shape:
        rows: Any = array[()]
    else:
        rows = array[: arguments.rows]
    if arguments.json:
        print_json({"shape": array.shape, "dtype": dtype_json(array.dtype), "rows": rows})
        return 0
    print(f"{array.shape} {dtype_text(array.dtype)}")
    if not array.shape or array.ndim > 2 or (array.dtype.names and array.ndim > 1):
        print(np.array2string(np.asarray(rows), threshold=200, edgeitems=3))
    elif len(rows):
        print(table(_fields(rows) if rows.dtype.names else _matrix(rows)))
    return 0


def _fields(rows: NDArray[Any]) -> list[list[str]]:
    names = list(rows.dtype.names or ())
    # An empty first column, so that all fields are aligned to the right.
    return [names, *([_cell(row[name]) for name in names] for row in rows)]


def _matrix(rows: NDArray[Any]) -> list[list[str]]:
    wide = rows.reshape(len(rows), -1)
    if wide.shape[1] <= 2 * SHOWN:
        return [[_cell(value) for value in row] for row in wide]
    return [[*(_cell(v) for v in row[:SHOWN]), "...", *(_cell(v) for v in row[-SHOWN:])] for row in wide]


def _cell(value: Any) -> str:
    if isinstance(value, np.floating):
        return f"{value:.7g}"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(plain(value)) if isinstance(value, (np.ndarray, np.void)) else str(value)
