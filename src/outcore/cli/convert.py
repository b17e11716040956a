"""``outcore convert``: an array in another format, type or layout."""

from __future__ import annotations

from argparse import Namespace

from outcore.cli.addresses import open_from
from outcore.cli.output import Report
from outcore.conversion import convert
from outcore.dtypes import as_dtype


def run(arguments: Namespace) -> int:
    """Write the array and say where it is."""
    report = Report()
    made = convert(
        open_from(arguments),
        arguments.target,
        dtype=None if arguments.to is None else as_dtype(arguments.to),
        casting=arguments.casting,
        chunks=arguments.chunks,
        compression=arguments.compression,
        memory=arguments.memory,
        progress=arguments.progress,
        overwrite=arguments.overwrite,
    )
    report.print(made, as_json=arguments.json)
    return 0
