"""What the jobs of the demo share: the folder, the budget, and what was found so far.

Hands to   : every job
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from outcore.budget import format_bytes
from outcore.demo.children import Finished, run_child
from outcore.demo.groups import Limit

#: What each command may use for its work, whatever the size of the data.
BUDGET_BYTES = 64_000_000
#: For the interpreter, NumPy, Polars and h5py themselves, and for the page cache to breathe.
ALLOWANCE_BYTES = 96_000_000


@dataclass(frozen=True)
class Table:
    """Text files of one table.

    Attributes
    ----------
    pattern : str
        That stands for the files.
    columns : tuple of str
    rows, nbytes, files : int
        Of all files together.
    missing : dict of str to int
        Cells without a value in each column.
    """

    pattern: str
    columns: tuple[str, ...]
    files: int
    rows: int
    nbytes: int
    missing: dict[str, int]


@dataclass(frozen=True)
class Step:
    """One line of the table at the end.

    Attributes
    ----------
    nbytes : int
        What `seconds` were spent on, for the throughput.
    peak_bytes : int or None
        Anonymous memory of the process that did it; None where it was not measured.
    """

    name: str
    seconds: float
    nbytes: int
    peak_bytes: int | None = None
    note: str = ""


@dataclass
class Demo:
    """One run.

    Attributes
    ----------
    size : float
        1 is about 400 MB of text.
    say : callable
        Prints a line; does nothing where JSON is wanted.
    tables : dict of str to Table
        Filled by the job `texts`.
    steps : list of Step
    facts : dict
        What else goes into the JSON.
    """

    folder: Path
    size: float
    limit: Limit
    say: Callable[[str], None]
    tables: dict[str, Table] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def outcore(self, step: str, *arguments: str, nbytes: int) -> dict[str, Any]:
        """Run ``outcore ARGUMENTS`` in the folder within the budget; note the step, return what it printed.

        Parameters
        ----------
        step : str
            Its name in the table at the end.
        nbytes : int
            What it works on, for the throughput.
        """
        arguments = (*arguments, "--memory", f"{BUDGET_BYTES // 10**6}MB")
        shown = shlex.join(("outcore", *arguments))
        self.say("$ " + shown.replace(" --columns", " \\\n    --columns"))
        finished = self.python(shown, "-m", "outcore", *arguments, "--json")
        self.steps.append(Step(step, finished.seconds, nbytes, finished.peak_bytes))
        return finished.answer

    def python(
        self,
        shown: str,
        *arguments: str,
        on_line: Callable[[dict[str, Any]], None] | None = None,
        processes: int = 1,
        extra_bytes: int = 0,
    ) -> Finished:
        """Run a Python program in the folder, under the limit; its last line is its answer, in JSON.

        Parameters
        ----------
        processes : int
            How many there will be, itself included. Each has an allowance, and all of them one budget.
        extra_bytes : int
            For libraries that the allowance does not know of.
        """
        more_bytes = (processes - 1) * ALLOWANCE_BYTES + extra_bytes
        limit = replace(self.limit, nbytes=self.limit.nbytes + more_bytes)
        return run_child(
            [sys.executable, *arguments], shown=shown, folder=self.folder, limit=limit, on_line=on_line
        )


def quantity(count: int, nbytes: int) -> str:
    """Write rows and bytes as the demo prints them.

    Examples
    --------
    >>> quantity(4378088, 490_345_856)
    '4,378,088 rows, 490.3 MB'
    """
    return f"{count:,} rows, {format_bytes(nbytes)}"
