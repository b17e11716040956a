"""How a schema is spelled: types, and names that count up.

Hands to   : text.schema_file, text.schema_reading, text.wishes
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

VERSION = 1
#: So many names that count up are written as the first and the last of them.
RUN = 8
#: Stands for a vocabulary that is still to be found.
FIND = "find"
DIALECT_KEYS = ("delimiter", "quote", "comment", "encoding", "decimal", "skip_rows", "header")


def dtype_text(dtype: np.dtype[Any]) -> str:
    """Write a plain dtype as a user would.

    Examples
    --------
    >>> [dtype_text(np.dtype(t)) for t in ("<i4", "S10", ">f8", "?", "M8[s]", "S")]
    ['i4', 'S10', '>f8', '?', 'M8[s]', 'S']
    """
    text = {"|b1": "?", "|S0": "S", "<U0": "U"}.get(dtype.str, dtype.str)
    return text.lstrip("<|=")


def line(value: Any) -> str:
    """Write JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def plain_number(value: Any) -> Any:
    """Turn NumPy's numbers into Python's."""
    return value.item() if isinstance(value, np.generic) else value


def as_runs(names: Sequence[str]) -> list[Any]:
    """Write names that count up, such as x1, x2, ... x900, as the first and the last of them."""
    parts = [re.fullmatch(r"(.*?)([0-9]{1,15})", name, re.DOTALL) for name in names]
    keys = [(part[1], int(part[2])) if part else None for part in parts]

    def goes_on(i: int) -> bool:
        before, after = keys[i], keys[i + 1]
        return before is not None and after == (before[0], before[1] + 1)

    breaks = [0, *(i + 1 for i in range(len(names) - 1) if not goes_on(i)), len(names)]
    found: list[Any] = []
    for start, stop in pairwise(breaks):
        run = {"from": names[start], "to": names[stop - 1]} if stop > start else {}
        if stop - start >= RUN and run_of(run["from"], run["to"]) == list(names[start:stop]):
            found.append(run)
        else:  # a few of them, or numbers that are written with zeros in front now and then
            found.extend(names[start:stop])
    return found


def run_of(first: str, last: str) -> list[str] | None:
    """Name all from the first to the last; None if they do not count up."""
    begin, end = (re.fullmatch(r"(.*?)([0-9]{1,15})", name, re.DOTALL) for name in (first, last))
    if begin is None or end is None or begin[1] != end[1] or int(begin[2]) > int(end[2]):
        return None
    width = len(begin[2]) if begin[2].startswith("0") else 0
    return [f"{begin[1]}{i:0{width}d}" for i in range(int(begin[2]), int(end[2]) + 1)]
