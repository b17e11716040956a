"""``outcore shm``: the shared arrays on this machine, and who holds them."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from outcore.budget import format_bytes
from outcore.cli.output import dtype_json, dtype_text, print_json, table
from outcore.shared.census import SharedSegment, segments
from outcore.shared.holders import Holder

#: Longer texts are cut in the table; --json has them whole.
DTYPE_CHARACTERS = 32
COMMAND_CHARACTERS = 60
_AGES = (("d", 86400), ("h", 3600), ("min", 60))


def run(arguments: Namespace) -> int:
    """Print the table."""
    found = segments()
    nbytes = sum(segment.nbytes for segment in found)
    allocated = sum(segment.allocated_bytes or 0 for segment in found)
    pss = sum(segment.pss_bytes for segment in found)
    if arguments.json:
        totals = {"nbytes": nbytes, "allocated_bytes": allocated, "pss_bytes": pss}
        print_json({"segments": [_facts(segment) for segment in found]} | totals)
        return 0
    if not found:
        print("no shared arrays: no process that this user may look at holds one")
        return 0
    head, *lines = table([HEAD, *map(_row, found)]).splitlines()
    print(head)
    for segment, line in zip(found, lines, strict=True):
        print(line)
        for holder in segment.holders:
            print(f"  {_held(holder)}")
        if not segment.holders:
            print(f"  holders unknown; file {segment.path}")
    count = "1 shared array" if len(found) == 1 else f"{len(found)} shared arrays"
    print(
        f"{count}, {format_bytes(nbytes)}; {format_bytes(allocated)} of memory; "
        f"PSS of the holders {format_bytes(pss)}"
    )
    return 0


HEAD = ("segment", "shape", "dtype", "size", "memory", "age", "made by", "made at")


def _row(segment: SharedSegment) -> tuple[str, ...]:
    return (
        segment.nonce[:8] or "?",
        "?" if segment.shape is None else str(segment.shape).replace(" ", ""),
        "?" if segment.dtype is None else _cut(dtype_text(segment.dtype), DTYPE_CHARACTERS),
        format_bytes(segment.nbytes),
        "?" if segment.allocated_bytes is None else format_bytes(segment.allocated_bytes),
        "?" if segment.age_s is None else _age(segment.age_s),
        "?" if segment.made_by is None else str(segment.made_by),
        segment.made_at + (" (frozen)" if segment.frozen else ""),
    )


def _held(holder: Holder) -> str:
    share = "" if holder.pss_bytes is None else f", PSS {format_bytes(holder.pss_bytes)}"
    return f"{holder.pid}  {holder.how}{share}  {_cut(holder.command, COMMAND_CHARACTERS)}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _age(seconds: float) -> str:
    """Write an age in its largest unit.

    Examples
    --------
    >>> _age(3.2), _age(200), _age(86400 * 3)
    ('3 s', '3 min', '3 d')
    """
    for unit, length in _AGES:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _facts(segment: SharedSegment) -> dict[str, object]:
    return {
        "nonce": segment.nonce,
        "shape": segment.shape,
        "dtype": None if segment.dtype is None else dtype_json(segment.dtype),
        "nbytes": segment.nbytes,
        "allocated_bytes": segment.allocated_bytes,
        "pss_bytes": segment.pss_bytes,
        "age_s": segment.age_s,
        "made_at": segment.made_at,
        "made_by": segment.made_by,
        "frozen": segment.frozen,
        "path": segment.path,
        "holders": [asdict(holder) for holder in segment.holders],
    }
