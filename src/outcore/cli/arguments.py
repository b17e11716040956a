"""Arguments that several verbs share, and what they turn text into.

Hands to   : cli.parser, cli.ingest_parser

Nothing but the standard library is imported here.
"""

from __future__ import annotations

import argparse
from typing import Any, Literal

_ADDRESS = "an array: x.npy, run.h5::/group/x, or raw binary with --dtype"
_MEMORY = "memory budget: 4GB, 512MiB, or a share of the limit such as 0.5"


def add_verb(verbs: Any, name: str, summary: str, **settings: Any) -> argparse.ArgumentParser:
    """Add a verb, which module ``outcore.cli.NAME`` runs."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, **({"description": summary[0].upper() + summary[1:] + "."} | settings)
    )
    parser.set_defaults(module=f"outcore.cli.{name}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add what names an existing array."""
    parser.add_argument("address", metavar="ARRAY", help=_ADDRESS)
    raw = parser.add_argument_group("raw binary")
    raw.add_argument("--dtype", help="type of one value, such as f8")
    raw.add_argument("--shape", type=shape, metavar="N,M,...", help="-1 for as many rows as there are")
    raw.add_argument("--offset", type=count, default=0, metavar="BYTES", help="bytes before the first row")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add what names a new array."""
    parser.add_argument(
        "target", metavar="TARGET", help="the new array: x.npy, x.h5::/group/x, or raw binary"
    )
    add_layout(parser)


def add_layout(parser: argparse.ArgumentParser) -> None:
    """Add how a new array is stored."""
    group = parser.add_argument_group("the target")
    group.add_argument(
        "--overwrite", action="store_true", help="replace it if it exists, once the new one is complete"
    )
    group.add_argument(
        "--chunks", type=chunks, metavar="N,M,...", help='HDF5: chunk shape, or "auto" to have one chosen'
    )
    group.add_argument(
        "--compression", type=compression, metavar="NAME", help="HDF5: gzip, lzf, or a level of gzip, 0 to 9"
    )


def add_work(parser: argparse.ArgumentParser) -> None:
    """Add what all work takes: a budget, and a bar."""
    parser.add_argument("--memory", type=memory, metavar="SIZE", help=_MEMORY)
    bars = parser.add_mutually_exclusive_group()
    bars.add_argument("--progress", action="store_true", default=None, help="show a progress bar at once")
    bars.add_argument("--no-progress", action="store_false", dest="progress", help="show none")


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def shape(text: str) -> tuple[int, ...]:
    """Read sizes with commas between them."""
    try:
        return tuple(int(part) for part in text.strip("()").split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of sizes such as 100,5") from None


def chunks(text: str) -> tuple[int, ...] | Literal[True]:
    """Read a chunk shape."""
    return True if text == "auto" else shape(text)


def compression(text: str) -> str | int:
    """Read the name of a filter, or a level."""
    return int(text) if text.isdecimal() else text


def texts(text: str) -> list[str]:
    """Read names with commas between them."""
    return [part.strip() for part in text.split(",")]


def memory(text: str) -> str | float:
    """Read an amount of memory, or a share of it."""
    # A bare number is a share of the limit below 1, bytes from 1 on.
    try:
        return float(text)
    except ValueError:
        return text


def number(text: str) -> float:
    """Read a number; a whole one stays whole."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
