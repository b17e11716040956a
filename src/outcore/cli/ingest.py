"""``outcore ingest``: text files to one array."""

from __future__ import annotations

from argparse import Namespace

from outcore.cli.output import Report
from outcore.text.ingesting import ingest
from outcore.text.wishes import MISSING


def run(arguments: Namespace) -> int:
    """Read the files and say where the array is."""
    report = Report()
    made = ingest(
        arguments.sources,
        arguments.target,
        arguments.dtype,
        delimiter="\t" if arguments.delimiter in ("tab", "\\t") else arguments.delimiter,
        header=arguments.header,
        names=arguments.names,
        columns=_columns(arguments.columns),
        skip_rows=arguments.skip_rows,
        comment=arguments.comment,
        quote=arguments.quote or None,
        encoding=arguments.encoding,
        decimal=arguments.decimal,
        na_values=MISSING if arguments.na is None else arguments.na,
        fill=arguments.fill,
        memory=arguments.memory,
        progress=arguments.progress,
        overwrite=arguments.overwrite,
        chunks=arguments.chunks,
        compression=arguments.compression,
    )
    report.print(made, as_json=arguments.json, note=f"{len(made)} rows")
    return 0


def _columns(names: list[str] | None) -> list[str | int] | None:
    """Take whole numbers as positions."""
    if names is None:
        return None
    return [int(name) if name.removeprefix("-").isdigit() else name for name in names]
