"""The plan of a fit that takes memory besides its passes.

Reads from : blocks.planning
Hands to   : the estimators
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from outcore import budget
from outcore.blocks.planning import Planned, asked


def beside_passes(what: str, phase: str, n_bytes: int, run: Callable[[], Any]) -> None:
    """Answer for the memory of what comes before or after the passes of a fit.

    Parameters
    ----------
    what : str
        The operation, for the error.
    phase : str
        What takes the memory, such as "rows to begin with".
    n_bytes : int
        So much.
    run : callable
        Runs the largest pass; called only while a plan is asked for.

    Raises
    ------
    MemoryBudgetError
        The phase does not fit in the budget.
    Planned
        While a plan is asked for: that of the pass, with the memory of the phase where that is more.
    """
    budget.require(what, {phase: n_bytes})
    if not asked():
        return
    try:
        run()
    except Planned as answer:
        if n_bytes > answer.plan.peak_bytes:
            raise Planned(replace(answer.plan, parts={phase: n_bytes})) from None
        raise
