"""The error that stops the work: the first fault with its place, a few more, and what to type.

Reads from : text.listing
Hands to   : text.ingesting
"""

from __future__ import annotations

from collections.abc import Sequence

from outcore.errors import IngestError
from outcore.text.listing import Fault
from outcore.text.rejects import rejects_path

#: Faults that are told in one line each, behind the first one.
FURTHER = 9


def error(
    faults: Sequence[Fault], *, earlier_rows: int, target: str, more: int = 0, rejects: str | None = None
) -> IngestError:
    """Build the error for faults, at least one, in their order.

    Parameters
    ----------
    earlier_rows : int
        Rows of the first fault's file that came before its chunk; 0 where the file begins in the chunk.
    target : str
        Where nothing was written.
    more : int
        How many faults there are besides `faults`.
    rejects : str, optional
        The file that would list bad rows; None for the one that belongs to `target`, "" if there is none.

    Examples
    --------
    >>> fault = Fault("a.csv", 21, 3, 99, "pct", "type", "1,5", "'1,5' is not float32", "Use --decimal ,")
    >>> print(error([fault], earlier_rows=19, target="x.npy"))
    a.csv:21:3  pct: '1,5' is not float32
      19 earlier rows of this file were fine; nothing was written to x.npy.
    Use --decimal ,
    Use on_error="reject" (--on-error reject) to keep going and list bad rows in x.rejects.csv.
    """
    first = faults[0]
    lines = [_line(first)]
    if first.context:
        lines += [f"    {line}" for line in first.context.split("\n")]
    fine = earlier_rows + first.earlier
    lines.append(
        f"  {fine} earlier row{'s' * (fine != 1)} of this file {'were' if fine != 1 else 'was'} fine; "
        f"nothing was written to {target}."
    )
    lines += [f"  {_line(fault)}" for fault in faults[1 : 1 + FURTHER]]
    more += max(len(faults) - 1 - FURTHER, 0)
    if more:
        lines.append(f"  and {more} more")
    keep_going = 'Use on_error="reject" (--on-error reject) to keep going and list bad rows in {}.'
    if rejects == "":
        keep_going = 'Use on_error="reject" and rejects="bad.csv" to keep going and list bad rows in bad.csv.'
    lines += [first.cure, keep_going.format(rejects or rejects_path(target))]
    return IngestError("\n".join(line for line in lines if line))


def _line(fault: Fault) -> str:
    return f"{fault.place}  {fault.field}: {fault.what}" if fault.field else f"{fault.place}  {fault.what}"
