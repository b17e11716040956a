"""``outcore combine``: many arrays into one HDF5 file."""

from __future__ import annotations

import os
import time
from argparse import Namespace

from outcore.budget import format_bytes
from outcore.cli.output import dtype_json, dtype_text, print_json, table
from outcore.combination import combine
from outcore.errors import AddressError
from outcore.storage import formats


def run(arguments: Namespace) -> int:
    """Write the file and list what is in it."""
    start_s = time.perf_counter()
    made = combine(
        _named(arguments.arrays),
        arguments.target,
        chunks=arguments.chunks,
        compression=arguments.compression,
        memory=arguments.memory,
        progress=arguments.progress,
        workers=arguments.workers,
        overwrite=arguments.overwrite,
    )
    seconds = time.perf_counter() - start_s
    nbytes = sum(array.nbytes for array in made.values())
    if arguments.json:
        facts = {
            name: {
                "address": array.address,
                "shape": array.shape,
                "dtype": dtype_json(array.dtype),
                "nbytes": array.nbytes,
            }
            for name, array in made.items()
        }
        print_json({"arrays": facts, "nbytes": nbytes, "seconds": round(seconds, 3)})
        return 0
    print(
        table([[a.address, str(a.shape), dtype_text(a.dtype), format_bytes(a.nbytes)] for a in made.values()])
    )
    rate = f", {format_bytes(nbytes / seconds)}/s" if seconds > 1 else ""
    print(f"{len(made)} arrays, {format_bytes(nbytes)}, {seconds:.1f} s{rate}")
    return 0


def _named(given: list[str]) -> dict[str, str]:
    """Find the name of each array: what is before the first "=", or what its address ends with."""
    named: dict[str, str] = {}
    for text in given:
        name, separator, address = text.partition("=")
        if not separator or os.path.exists(text.partition(formats.SEPARATOR)[0]):
            name, address = _stem(text), text
        if name in named:
            raise AddressError(
                f"{named[name]} and {address} would both be named {name!r}.\n"
                f"Give one of them another name: OTHER={address}."
            )
        named[name] = address
    return named


def _stem(address: str) -> str:
    path, inner = formats.split(address)
    last = inner.rpartition("/")[2]
    return last or os.path.splitext(os.path.basename(path))[0]
