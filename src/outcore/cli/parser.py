"""The arguments of every verb; nothing but the standard library is imported here.

Hands to   : cli.running, and the tests that compare it with the documents
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from typing import Any

from outcore.cli.arguments import add_address, add_layout, add_target, add_verb, add_work, count
from outcore.cli.ingest_parser import add_ingest

_COMBINE_TEXT = """\
Write many arrays into one HDF5 file, each a dataset of its own.

The file appears when all of them are in it, and not at all if anything fails. The attributes of arrays that
come from HDF5 files are kept.
"""
_COMBINE_EXAMPLES = """\
names
  NAME=ARRAY gives the dataset a name, and groups with it: reads/first=run1.npy. Without it, the name is that
  of the file without its suffix, or the last part of the name of a dataset. What is before the first = is
  the name, unless a file has the whole text as its name.

examples
  outcore combine all.h5 x.npy y.npy
  outcore combine all.h5 first=run1.h5::/group/x second=run2.h5::/group/x --compression gzip
  outcore combine all.h5::/more z.npy
"""

_SHM_EXAMPLES = """\
what the words mean
  memory      what the array takes of the machine's memory; less than its size with reserve=False
  mapped      a process uses the array, to write (r+), to read (r), or with changes of its own (c)
  descriptor  a process could use it: it has received the array and not loaded it
  PSS         what a process has touched of it; a page that four processes touched counts a quarter in each

An array is gone when nobody holds it. One that should be gone is freed by ending a process that holds it;
inside a program, oc.segments() lists the same, and .release() gives up handles that nobody will load.
"""
_DOCTOR_EXAMPLES = """\
Warnings are no failures: the exit code is 0. With --json, each check has a name, a status (ok, warn or
unknown), a text, the figures behind it, and an advice.
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``outcore``; each verb names the module that runs it."""
    parser = _Parser(
        prog="outcore",
        description="NumPy arrays that do not fit in memory, from as many processes as you like.",
        epilog="outcore VERB --help tells all about one of them.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    _info(verbs)
    _head(verbs)
    add_ingest(verbs)
    _convert(verbs)
    _combine(verbs)
    _describe(verbs)
    _shm(verbs)
    _doctor(verbs)
    _demo(verbs)
    return parser


class _Parser(argparse.ArgumentParser):
    """Keeps line breaks of descriptions, and refuses abbreviated options, which a later one could change."""

    def __init__(self, **settings: Any) -> None:
        width = min(shutil.get_terminal_size().columns, 110)
        super().__init__(
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=width),
            **settings,
        )
        # Values such as "-1,3" are no options; argparse knows that of plain numbers only.
        self._negative_number_matcher = re.compile(r"-\.?\d")


class _Version(argparse.Action):
    """Prints the version; looking it up costs too much to do it beforehand."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        import outcore

        print(f"outcore {outcore.__version__}")
        parser.exit()


def _info(verbs: Any) -> None:
    parser = add_verb(verbs, "info", "show shape, type and layout of an array without reading it")
    add_address(parser)


def _head(verbs: Any) -> None:
    parser = add_verb(verbs, "head", "print the first rows of an array")
    add_address(parser)
    parser.add_argument(
        "-n", "--rows", type=count, default=10, metavar="N", help="how many rows (default: 10)"
    )


def _describe(verbs: Any) -> None:
    parser = add_verb(
        verbs, "describe", "count, missing, minimum, maximum, mean and deviation of each column"
    )
    add_address(parser)
    add_work(parser)


def _convert(verbs: Any) -> None:
    parser = add_verb(verbs, "convert", "write an array to another format, type or layout")
    add_address(parser)
    add_target(parser)
    parser.add_argument("--to", metavar="DTYPE", help="type of the stored values, such as f4")
    parser.add_argument(
        "--casting",
        choices=("no", "equiv", "safe", "same_kind", "unsafe"),
        default="same_kind",
        help="what --to may do to the values, as in NumPy (default: same_kind)",
    )
    add_work(parser)


def _combine(verbs: Any) -> None:
    parser = add_verb(
        verbs,
        "combine",
        "write many arrays into one HDF5 file",
        description=_COMBINE_TEXT,
        epilog=_COMBINE_EXAMPLES,
    )
    parser.add_argument(
        "target", metavar="TARGET", help="all.h5, or all.h5::/group to put the arrays below it"
    )
    parser.add_argument(
        "arrays",
        nargs="+",
        metavar="[NAME=]ARRAY",
        help="x.npy or run.h5::/group/x; without NAME= the dataset is named x",
    )
    add_layout(parser)
    parser.add_argument("--workers", type=count, metavar="N", help="threads that write or compress, at most")
    add_work(parser)


def _shm(verbs: Any) -> None:
    add_verb(
        verbs,
        "shm",
        "list the shared arrays on this machine, and which processes hold them",
        epilog=_SHM_EXAMPLES,
    )


def _doctor(verbs: Any) -> None:
    add_verb(
        verbs,
        "doctor",
        "look for what slows down or breaks work with large arrays here, and say what to type",
        epilog=_DOCTOR_EXAMPLES,
    )


def _demo(verbs: Any) -> None:
    parser = add_verb(
        verbs,
        "demo",
        "real text to an array larger than the budget, random windows, a summary, a mixture, training",
    )
    parser.add_argument(
        "--size", type=float, default=1.0, metavar="X", help="how much data; 2 is twice as much"
    )
    parser.add_argument("--directory", metavar="DIR", help="where to work (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the files there")
