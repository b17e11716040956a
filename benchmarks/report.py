"""What a benchmark found, as text for people and as a dict for programs.

Reads from : measure.Rates
Hands to   : __main__
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import Rates, Ratio


@dataclass
class Table:
    """Lines of cells; the first column is text, the others are figures."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Lay it out in columns."""
        widths = [max(len(row[i]) for row in [self.header, *self.rows]) for i in range(len(self.header))]
        lines = [f"  {self.title}"] if self.title else []
        for row in [self.header, *self.rows]:
            first, *others = (
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append("    " + "   ".join([first, *others]).rstrip())
        return "\n".join([*lines, *(f"    {note}" for note in self.notes)])


@dataclass
class Target:
    """What must be reached, and what was."""

    text: str
    wanted: float
    reached: float | None
    unit: str = ""
    at_most: bool = False
    why_not: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it was reached; None where it could not be measured."""
        if self.reached is None:
            return None
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted

    def line(self) -> str:
        """Say it in one line."""
        wanted = f"target {'at most' if self.at_most else 'at least'} {self.wanted:g}{self.unit} {self.text}"
        if self.reached is None:
            return f"  {wanted}: not measured ({self.why_not or 'one of the two did not run'})"
        return f"  {wanted}: {'reached' if self.met else 'MISSED'} {self.reached:.3g}{self.unit}"


@dataclass
class Report:
    """All that one benchmark found."""

    title: str
    setting: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Write it for people."""
        lines = [f"{name}: {self.title}", *(f"  {line}" for line in self.setting)]
        for table in self.tables:
            lines += ["", table.text()]
        return "\n".join([*lines, "", *(target.line() for target in self.targets), ""])

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        return {
            "title": self.title,
            "setting": self.setting,
            "tables": [
                {"title": table.title, **table.figures, "notes": table.notes} for table in self.tables
            ],
            "targets": [
                {"text": t.text, "wanted": t.wanted, "at_most": t.at_most, "unit": t.unit.strip(),
                 "reached": t.reached, "met": t.met}
                for t in self.targets
            ],
        }  # fmt: skip


def compare(title: str, rates: Rates, ours: str, each_bytes: float) -> Table:
    """Make the table of one line per contender: rate, bytes, and how many times faster `ours` was.

    Parameters
    ----------
    each_bytes : float
        Bytes behind one unit of the rates, for the column in GB/s.
    """
    rows = []
    for name in rates.of:
        median = rates.median(name)
        rows.append([
            name, f"{median:,.0f}" if median >= 100 else f"{median:.3g}", f"{median * each_bytes / 1e9:.2f}",
            "" if name == ours else str(rates.ratio(ours, name) or ""),
        ])  # fmt: skip
    figures = {
        "unit": rates.unit,
        "rates": rates.of,
        "ratios": {name: _triple(rates.ratio(ours, name)) for name in rates.of if name != ours},
        "ours": ours,
        "skipped": rates.skipped,
    }
    notes = [f"{name}: {reason}" for name, reason in rates.skipped.items()]
    return Table(title, ["", rates.unit, "GB/s", f"{ours} is × this"], rows, notes, figures)


def beats(rates: Rates, ours: str, peer: str, wanted: float, text: str = "") -> Target:
    """Make the target that `ours` is at least `wanted` times `peer`."""
    ratio = rates.ratio(ours, peer)
    why = rates.skipped.get(ours) or rates.skipped.get(peer, "")
    return Target(text or f"{peer}", wanted, ratio.median if ratio else None, " ×", why_not=why)


def _triple(ratio: Ratio | None) -> list[float] | None:
    return None if ratio is None else list(ratio)
