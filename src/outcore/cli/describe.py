"""``outcore describe``: a summary of each column."""

from __future__ import annotations

from argparse import Namespace

from outcore.cli.addresses import open_from
from outcore.cli.output import print_json
from outcore.statistics import describe


def run(arguments: Namespace) -> int:
    """Print the table of statistics."""
    found = describe(open_from(arguments), memory=arguments.memory, progress=arguments.progress)
    if arguments.json:
        print_json(found.to_dict())
    else:
        print(found)
    return 0
