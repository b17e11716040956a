"""``outcore ingest``: text files to one array.

Reads from : text.ingesting
Hands to   : standard output: the plan before the work, then what became of it
"""

from __future__ import annotations

import signal
from argparse import Namespace
from typing import Any

from outcore.budget import format_bytes
from outcore.cli.output import Report, short_dtype
from outcore.text import schema_file
from outcore.text.dialect import WHITESPACE
from outcore.text.file_run import GOES_ON
from outcore.text.ingesting import intend
from outcore.text.ingesting import run as ingest
from outcore.text.parse import Plan
from outcore.text.request import Intent, Outcome, Request
from outcore.text.wishes import MISSING, Wishes

_DELIMITERS = {
    "\t": "tab",
    ",": "comma",
    ";": "semicolon",
    "|": "pipe",
    " ": "space",
    WHITESPACE: "white space",
}
#: Files whose compression is looked at, for the line that says how they are compressed.
_LOOKED_AT = 8


def run(arguments: Namespace) -> int:
    """Read the files; say how, and where the array is."""
    # Polars, which is imported by now, has system calls go on after a signal: Ctrl-C would not be heard while
    # a pipe gives nothing.
    signal.siginterrupt(signal.SIGINT, True)
    report = Report()
    request = _request(arguments)
    if arguments.dry_run:
        intend(arguments.sources, arguments.target, request, _Rehearsal(arguments))
        return 0
    told = _Told(quiet=arguments.json)
    try:
        outcome = ingest(arguments.sources, arguments.target, request, told)
    except KeyboardInterrupt as interrupt:
        if GOES_ON in getattr(interrupt, "__notes__", ()):
            raise KeyboardInterrupt("the same command goes on where it stopped") from None
        raise
    if not arguments.json:
        for line in (*told.after(), *_faults(outcome)):
            print(line)
    report.print(outcome.array, as_json=arguments.json, note=_amount(outcome), more=_facts(outcome))
    return 0


def _request(arguments: Namespace) -> Request:
    wishes = Wishes(
        dtype=arguments.dtype,
        delimiter=arguments.delimiter,
        header=arguments.header,
        names=arguments.names,
        columns=arguments.columns,
        skip_rows=arguments.skip_rows,
        comment=arguments.comment,
        quote=arguments.quote or None,
        encoding=arguments.encoding,
        decimal=arguments.decimal,
        na_values=MISSING if arguments.na_values is None else arguments.na_values,
        fill=arguments.fill,
        categories=arguments.categories,
        schema=arguments.schema,
    )
    return Request(
        wishes,
        truncate=arguments.truncate,
        on_error=arguments.on_error,
        max_rejects=arguments.max_rejects,
        rejects=arguments.rejects,
        memory=arguments.memory,
        workers=arguments.workers,
        progress=arguments.progress,
        overwrite=arguments.overwrite,
        chunks=arguments.chunks,
        compression=arguments.compression,
    )


class _Told:
    """Prints what a run is about to do, and remembers it."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._intent: Intent | None = None

    def __call__(self, intent: Intent) -> None:
        self._intent = intent
        if not self._quiet and intent.before != "finished":
            print(_plan_line(intent))
            # At once: what follows may take hours.
            print(f"      {_types(intent.plan)}", flush=True)

    def after(self) -> list[str]:
        """Say what the run began with."""
        return [] if self._intent is None else _beginning(self._intent)


class _Rehearsal:
    """Prints what a run would do."""

    def __init__(self, arguments: Namespace) -> None:
        self._target = arguments.target
        self._json = arguments.json

    def __call__(self, intent: Intent) -> None:
        if self._json:
            print(schema_file.dump(intent.plan), end="")
            return
        print(_plan_line(intent))
        print(schema_file.describe(intent.plan))
        for line in _beginning(intent, would=True):
            print(line)
        once = [one.path for one in (intent.files[i] for i in range(len(intent.files))) if not one.repeatable]
        if once and any(column.unmeasured for column in intent.plan.schema.columns):
            print(f"{once[0]} can be read only once: give what is to be measured by --dtype or --schema")
        print(f"dry run: {self._target} was not touched")


def _plan_line(intent: Intent) -> str:
    plan, n_files = intent.plan, len(intent.files)
    n_kept, n_columns = len(plan.schema.columns), len(plan.schema.file_names)
    words = [
        _counted(n_files, "file"),
        _size(intent),
        _DELIMITERS.get(plan.dialect.delimiter, repr(plan.dialect.delimiter)),
        "header" if plan.dialect.header else "no header",
        _counted(n_columns, "column") if n_kept == n_columns else f"{n_kept:,} of {n_columns:,} columns",
    ]
    budget = format_bytes(intent.room.budget_bytes)
    return f"plan  {', '.join(words)}; workers {intent.room.n_workers}, budget {budget}"


def _size(intent: Intent) -> str:
    files = intent.files
    total, known = 0, True
    for i in range(len(files)):
        nbytes = files[i].nbytes
        total, known = total + nbytes, known and nbytes >= 0
    amount = format_bytes(total) if known else "size unknown"
    kinds = dict.fromkeys(files[i].compression or "plain" for i in range(min(len(files), _LOOKED_AT)))
    return amount if list(kinds) == ["plain"] else f"{amount} {' and '.join(kinds)}"


def _types(plan: Plan) -> str:
    """Write the types as --dtype takes them; widths that are to be measured are left open."""
    schema = plan.schema
    if schema.matrix:
        return f"matrix of {short_dtype(schema.dtype)}"
    coded = {column.name for column in schema.columns if column.categories is not None or column.sought}
    return short_dtype(schema.dtype, coded)


def _beginning(intent: Intent, *, would: bool = False) -> list[str]:
    """Say what was there before."""
    n_new = len(intent.files) - intent.n_before
    if intent.before == "finished":
        return [f"nothing to do: {_counted(len(intent.files), 'file')} unchanged"]
    if intent.before == "grown":
        return [
            f"{'would add' if would else 'added'} {_counted(n_new, 'file')} to the {intent.n_before:,} "
            "that were read before"
        ]
    if intent.before == "resumed":
        return [f"{'would go on' if would else 'went on'} after {_counted(intent.n_rows, 'row')}"]
    return []


def _faults(outcome: Outcome) -> list[str]:
    """Say what was left out, masked or cut."""
    lines = []
    if outcome.n_cut:
        lines.append(f"cut  {_counted(outcome.n_cut, 'text')} to the width of the field")
    words = [f"{_counted(outcome.n_rejects, 'record')} left out"] if outcome.n_rejects else []
    words += [f"{_counted(outcome.n_masked, 'cell')} masked"] if outcome.n_masked else []
    if words:
        lines.append(f"rejects  {', '.join(words)}; listed in {outcome.rejects}")
    told = outcome.first_faults
    lines += [f"  {f.place}  {f.field}: {f.what}" if f.field else f"  {f.place}  {f.what}" for f in told]
    # A record that is left out may have several bad cells; one that is kept counts by its cells.
    shown = len(told) if outcome.n_masked else len({(f.path, f.line) for f in told})
    left = outcome.n_rejects + outcome.n_masked - shown
    if told and left > 0:
        lines.append(f"  and {left:,} more")
    return lines


def _amount(outcome: Outcome) -> str:
    return f"{_counted(outcome.n_rows, 'row')} of {_counted(outcome.n_files, 'file')}"


def _facts(outcome: Outcome) -> dict[str, Any]:
    names = ("n_rows", "n_files", "n_rejects", "n_masked", "n_cut", "rejects", "before")
    return {name: getattr(outcome, name) for name in names}


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
