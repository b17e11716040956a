"""``outcore demo``: the main jobs end to end, on real files."""

from __future__ import annotations

from argparse import Namespace

from outcore.demo import run as run_demo


def run(arguments: Namespace) -> int:
    """Run the demonstration."""
    return run_demo(arguments.size, arguments.directory, arguments.keep, arguments.json)
