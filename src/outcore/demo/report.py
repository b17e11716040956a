"""What the demo prints at its end: a table, or one JSON object.

Hands to   : demo.conduct, demo.describing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from outcore.budget import format_bytes
from outcore.demo.stage import BUDGET_BYTES, Demo, Step

NOTE = (
    "Times of commands include starting Python, those of windows\n"
    "and products are for the work alone. Peak memory is what the process had of its own, Python and its\n"
    "libraries included; the kernel's cache of files is not in it."
)
#: An array that fits in the page cache is read once and is then hot, whoever reads it.
SMALL = "The array fits in the memory allowed, so the readers' times mean little: --size 1 and above count."


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Align columns: the first to the left, the others to the right.

    Examples
    --------
    >>> print(aligned([["step", "time"], ["a", "1.0 s"]]))
    step   time
    a     1.0 s
    """
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.rjust(w) if j else cell.ljust(w) for j, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(indent + line.rstrip() for line in lines)


def summary(demo: Demo, seconds: float) -> str:
    """Write time, throughput and peak memory of each step."""
    notes = [step.note for step in demo.steps]
    table = aligned([["step", "time", "throughput", "peak memory"], *(_line(step) for step in demo.steps)])
    head, *lines = table.splitlines()
    lines = [f"{line}   {note}".rstrip() for line, note in zip(lines, notes, strict=True)]
    text = "\n".join([head, *lines, "", f"All of it took {seconds:.0f} s. {NOTE}"])
    return text if demo.facts["array"]["nbytes"] > demo.limit.nbytes else f"{text}\n{SMALL}"


def _line(step: Step) -> list[str]:
    rate = f"{format_bytes(step.nbytes / step.seconds)}/s" if step.seconds else "-"
    return [
        step.name,
        f"{step.seconds:.2f} s",
        rate,
        "-" if step.peak_bytes is None else format_bytes(step.peak_bytes),
    ]


def as_dict(demo: Demo, seconds: float) -> dict[str, Any]:
    """Return everything found, ready for JSON."""
    limit = demo.limit
    return {
        "size": demo.size,
        "budget_bytes": BUDGET_BYTES,
        "limit_bytes": limit.nbytes if limit.parent is not None else None,
        "no_limit_because": limit.reason or None,
        "seconds": seconds,
        "steps": [asdict(step) for step in demo.steps],
        **demo.facts,
    }
