"""What one check tells.

Hands to   : the checks, cli.doctor
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warn", "unknown"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    name : str
        Of what was looked at.
    text : str
        What was found, for people; the reason if it is unknown.
    advice : str
        What to do or to type about it; empty if nothing.
    status : {"ok", "warn", "unknown"}
    figures : dict
        What was found, for programs.
    """

    name: str
    text: str
    advice: str = ""
    status: Status = "ok"
    figures: dict[str, Any] = field(default_factory=dict)


#: Looks at one thing.
Check = Callable[[], Finding]


def examine(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """Run all checks; one that fails is a finding too.

    Parameters
    ----------
    checks : iterable of (name, function)
        The name stands for a check that failed.
    """
    found = []
    for name, check in checks:
        try:
            found.append(check())
        except Exception as error:  # whatever it is, it is told, and the other checks are worth having
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            found.append(Finding(name, reason.splitlines()[0], status="unknown"))
    return found
