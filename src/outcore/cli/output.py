"""What every verb prints with: JSON, sizes, aligned tables.

Hands to   : the verbs
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from outcore.budget import format_bytes

#: Fields of a structured type that are written one by one.
TOLD_FIELDS = 30


def print_json(value: Any) -> None:
    """Print one JSON object; NaN, which JSON cannot say, is null, and infinities are text."""
    print(json.dumps(plain(value), allow_nan=False, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Turn NumPy values into what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.void) and value.dtype.names:
        return {name: plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        return [plain(entry) for entry in value] if value.ndim else plain(value[()])
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return None if np.isnat(value) else str(value)
    if isinstance(value, (complex, np.complexfloating)):
        return [plain(float(value.real)), plain(float(value.imag))]
    return _scalar(value.item() if isinstance(value, np.generic) else value)


def _scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first one to the left, the others to the right.

    Examples
    --------
    >>> print(table([["a", "10"], ["long", "2"]]))
    a     10
    long   2
    """
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))] if rows else []
    lines = (
        "  ".join(
            cell.ljust(w) if j == 0 else cell.rjust(w)
            for j, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


class Report:
    """What a verb that made an array tells about it."""

    def __init__(self) -> None:
        self._start_s = time.perf_counter()

    def print(self, made: Any, *, as_json: bool, note: str = "", more: dict[str, Any] | None = None) -> None:
        """Print where the array is, its shape, type, size, how long it took, and (as JSON) what is `more`."""
        seconds = time.perf_counter() - self._start_s
        if as_json:
            print_json(
                {
                    "address": made.address,
                    "shape": made.shape,
                    "dtype": dtype_json(made.dtype),
                    "nbytes": made.nbytes,
                    "seconds": round(seconds, 3),
                    **(more or {}),
                }
            )
            return
        rate = f", {format_bytes(made.nbytes / seconds)}/s" if seconds > 1 else ""
        print(f"{made.address}  {made.shape} {short_dtype(made.dtype)}  {format_bytes(made.nbytes)}")
        print(f"{note + ', ' if note else ''}{seconds:.1f} s{rate}")


def dtype_text(dtype: np.dtype[Any]) -> str:
    """Write a dtype the way `--dtype` takes it.

    Examples
    --------
    >>> dtype_text(np.dtype([("chr", "S10"), ("pos", "i4")]))
    'chr:S10 pos:i4'
    """
    fields = _fields(dtype)
    return str(dtype).lstrip("|") if fields is None else " ".join(fields)


def short_dtype(dtype: np.dtype[Any], categories: Collection[str] = ()) -> str:
    """Write a dtype for people: not all of many fields, and text of no width yet, or of categories, by name.

    Examples
    --------
    >>> short_dtype(np.dtype([("chr", "S"), ("sample", "i1"), ("pos", "i4")]), ["sample"])
    'chr:S sample:category pos:i4'
    >>> short_dtype(np.dtype([(f"x{i}", "f4") for i in range(1000)]))[-38:]
    'x28:f4 ... 970 more fields ... x999:f4'
    """
    fields = _fields(dtype, categories)
    if fields is None:
        return dtype_text(dtype)
    left_out = len(fields) - TOLD_FIELDS
    if left_out > 1:
        fields[TOLD_FIELDS - 1 : -1] = [f"... {left_out} more fields ..."]
    return " ".join(fields)


def _fields(dtype: np.dtype[Any], categories: Collection[str] = ()) -> list[str] | None:
    """Write the fields; None for a type without, or with fields inside of fields."""
    if dtype.names is None or any(dtype[name].subdtype or dtype[name].names for name in dtype.names):
        return None
    known = {"|S0": "S", "<U0": "U"}
    types = ((name, known.get(dtype[name].str, dtype[name].str.lstrip("<|="))) for name in dtype.names)
    return [f"{name}:{'category' if name in categories else text}" for name, text in types]


def dtype_json(dtype: np.dtype[Any]) -> Any:
    """Write a dtype as NumPy's own list of fields, or its short name."""
    return dtype.str if dtype.names is None else np.lib.format.dtype_to_descr(dtype)
