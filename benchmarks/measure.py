"""Turns, medians and ratios.

Hands to : every benchmark

A ratio of two contenders is the median over the turns of the ratio within one turn. The ratio of two
medians was rejected: the disk of a virtual machine changes its speed while a benchmark runs, and the
two medians may come from different moments.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

#: Does one turn, with starts drawn from the seed, and returns its rate: more is better.
Turn = Callable[[int], float]


class Skip(Exception):  # noqa: N818 - a fact about the machine, not an error
    """This cannot be measured here; the text says why."""


class EndedError(RuntimeError):
    """The process that should have measured ended without an answer; the text says how."""


class Ratio(NamedTuple):
    """Median over the turns, and the lowest and highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_figures(self.median)} ({_figures(self.low)}–{_figures(self.high)})"


@dataclass
class Rates:
    """What each contender reached in each turn."""

    unit: str
    of: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Middle of the rates of one contender."""
        return statistics.median(self.of[name])

    def best(self, names: Iterable[str]) -> str:
        """Name the fastest of some contenders; where none of them ran, the first."""
        names = list(names)
        return max((name for name in names if name in self.of), key=self.median, default=names[0])

    def ratio(self, name: str, to: str) -> Ratio | None:
        """How many times faster `name` was than `to`; None where one of them did not run."""
        if name not in self.of or to not in self.of:
            return None
        each = [a / b for a, b in zip(self.of[name], self.of[to], strict=True)]
        return Ratio(statistics.median(each), min(each), max(each))


def interleave(contenders: Mapping[str, Turn], repeats: int, unit: str, *, warm_up: bool = False) -> Rates:
    """Let every contender take a turn, `repeats` times over.

    Parameters
    ----------
    contenders : mapping of str to callable
        Name and turn. One that raises Skip, or a peer whose process is killed, is left out, and the
        reason kept.
    warm_up : bool
        A first turn of everybody that does not count.
    """
    rates = Rates(unit)
    draw = random.Random()  # another seed in each run: storage behind the machine has caches as well
    for repeat in range(-1 if warm_up else 0, repeats):
        # Another order each time: a disk that was left alone for a while may be faster for the next one.
        order = draw.sample(list(contenders), len(contenders))
        for name in order:
            if name in rates.skipped:
                continue
            say(f"{name}, turn {repeat + 1} of {repeats}")
            try:
                rate = contenders[name](draw.randrange(1 << 31))
            except (Skip, EndedError) as reason:
                if isinstance(reason, EndedError) and name.startswith("outcore"):
                    raise
                rates.skipped[name] = str(reason).splitlines()[0]
                rates.of.pop(name, None)
                continue
            if repeat >= 0:
                rates.of.setdefault(name, []).append(rate)
    rates.of = {name: rates.of[name] for name in contenders if name in rates.of}
    say("")
    return rates


def need(name: str) -> Any:
    """Import a peer.

    Raises
    ------
    Skip
        It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise Skip(f"{name} is not installed: make bench installs it ({error})") from error


def say(what: str) -> None:
    """Show what is going on, on one line of a terminal; nothing where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def _figures(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
