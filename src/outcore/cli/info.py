"""``outcore info``: what an array is and how it lies, without reading it."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from outcore.array.handle import Array
from outcore.budget import format_bytes
from outcore.cli.addresses import open_from
from outcore.cli.output import dtype_json, dtype_text, print_json
from outcore.storage.file import open_file

#: Places in the file that are asked whether they are in the page cache.
PROBES = 256


def run(arguments: Namespace) -> int:
    """Print the facts."""
    array = open_from(arguments)
    facts = dict(array.info)
    facts |= {"size": array.size, "nbytes": array.nbytes, "dtype": dtype_json(array.dtype)}
    cached = _cached_share(array, facts)
    if cached is not None:
        facts["page_cache"] = cached
    if arguments.json:
        print_json(facts)
        return 0
    shown = facts | {
        "dtype": dtype_text(array.dtype),
        "nbytes": f"{array.nbytes} ({format_bytes(array.nbytes)})",
    }
    if cached is not None:
        shown["page_cache"] = f"{cached:.0%}"
    width = max(map(len, shown))
    for name, value in shown.items():
        if value is not None:
            print(f"{name.replace('_', ' ').ljust(width)}  {value}")
    return 0


def _cached_share(array: Array, facts: dict[str, Any]) -> float | None:
    """Share of the data that is in the page cache, from a few probes; None where nobody can tell cheaply."""
    offset = facts.get("offset")
    if offset is None or not array.nbytes:
        return None
    file = open_file(array.spec.path)
    try:
        if not file.positional:
            return None
        places = offset + np.linspace(0, array.nbytes - 1, PROBES).astype(np.int64)
        return sum(file.resident(int(place)) for place in places) / PROBES
    finally:
        file.close()
