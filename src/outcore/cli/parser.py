"""The arguments of every verb; nothing but the standard library is imported here.

Hands to   : cli.running, and the tests that compare it with the documents
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from typing import Any

_ADDRESS = "an array: x.npy, run.h5::/group/x, or raw binary with --dtype"
_MEMORY = "memory budget: 4GB, 512MiB, or a share of the limit such as 0.5"

_INGEST_TEXT = """\
Read delimited text into one array on disk, within a memory budget that does not depend on the size of the
files. Where all columns are numbers, the result is a matrix; otherwise it has structured rows with the names
of the header.

What is not said is found out from samples of every file: the delimiter, whether there is a header, the types
of the columns. Nothing is changed on the way: a cell that does not fit stops the work with its file, line and
column, and nothing stands under the target's name.
"""
_INGEST_EXAMPLES = """\
types
  One type makes a matrix (--dtype f4). Names and types make structured rows (--dtype "chr:S10 pos:i4 pct:f4")
  and are matched to the header by name, or else by position.
    f2 f4 f8           floats                  ?             true/false, yes/no, 1/0
    i1 i2 i4 i8        whole numbers           S10 U10       text of up to 10 bytes, characters
    u1 u2 u4 u8        0 and above             S U           text; the width is measured first
    M8[D] M8[s]        dates 2024-01-31, dates and times 2024-01-31T12:30:59

missing values
  An empty cell is missing, and so are NA, NaN, nan, N/A, NULL and null, or what --na says. Missing floats
  become NaN, dates NaT, text empty. Whole numbers cannot say "missing": use --fill, or a float type.

examples
  outcore ingest flights.csv flights.npy
  outcore ingest 'logs/*.csv.gz' logs.npy --dtype f4 --memory 2GB
  outcore ingest reads.tsv reads.h5::/reads --no-header --dtype "chr:S10 pos:i4 pct:f4 c:i4 t:i4" \\
      --compression gzip
  outcore ingest messwerte.csv x.npy --delimiter ';' --decimal , --encoding latin-1
  outcore ingest table.txt x.npy --delimiter whitespace --comment '#' --columns 2,0,1 --fill 0
"""

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
    _ingest(verbs)
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


def _verb(verbs: Any, name: str, summary: str, **settings: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, **({"description": summary[0].upper() + summary[1:] + "."} | settings)
    )
    parser.set_defaults(module=f"outcore.cli.{name}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _info(verbs: Any) -> None:
    parser = _verb(verbs, "info", "show shape, type and layout of an array without reading it")
    _address(parser)


def _head(verbs: Any) -> None:
    parser = _verb(verbs, "head", "print the first rows of an array")
    _address(parser)
    parser.add_argument(
        "-n", "--rows", type=_count, default=10, metavar="N", help="how many rows (default: 10)"
    )


def _describe(verbs: Any) -> None:
    parser = _verb(verbs, "describe", "count, missing, minimum, maximum, mean and deviation of each column")
    _address(parser)
    _work(parser)


def _convert(verbs: Any) -> None:
    parser = _verb(verbs, "convert", "write an array to another format, type or layout")
    _address(parser)
    _target(parser)
    parser.add_argument("--to", metavar="DTYPE", help="type of the stored values, such as f4")
    parser.add_argument(
        "--casting",
        choices=("no", "equiv", "safe", "same_kind", "unsafe"),
        default="same_kind",
        help="what --to may do to the values, as in NumPy (default: same_kind)",
    )
    _work(parser)


def _combine(verbs: Any) -> None:
    parser = _verb(
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
    _layout(parser)
    parser.add_argument("--workers", type=_count, metavar="N", help="threads that write or compress, at most")
    _work(parser)


def _shm(verbs: Any) -> None:
    _verb(
        verbs,
        "shm",
        "list the shared arrays on this machine, and which processes hold them",
        epilog=_SHM_EXAMPLES,
    )


def _doctor(verbs: Any) -> None:
    _verb(
        verbs,
        "doctor",
        "look for what slows down or breaks work with large arrays here, and say what to type",
        epilog=_DOCTOR_EXAMPLES,
    )


def _demo(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "demo",
        "real text to an array larger than the memory budget, random windows, a summary, shared arrays",
    )
    parser.add_argument(
        "--size", type=float, default=1.0, metavar="X", help="how much data; 2 is twice as much"
    )
    parser.add_argument("--directory", metavar="DIR", help="where to work (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the files there")


def _ingest(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "ingest",
        "read delimited text into one array on disk",
        description=_INGEST_TEXT,
        epilog=_INGEST_EXAMPLES,
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="files, quoted patterns, or folders")
    _target(parser)
    text = parser.add_argument_group("the text")
    text.add_argument(
        "--delimiter", metavar="C", help='one character, "tab", or "whitespace" for runs of blanks'
    )
    header = text.add_mutually_exclusive_group()
    header.add_argument(
        "--header", action="store_true", default=None, help="the first record of each file names the columns"
    )
    header.add_argument("--no-header", action="store_false", dest="header", help="it does not")
    text.add_argument("--names", type=_list, metavar="A,B,...", help="names of all columns of the files")
    text.add_argument(
        "--skip-rows", type=_count, default=0, metavar="N", help="lines to pass over in each file"
    )
    text.add_argument("--comment", metavar="TEXT", help="pass over lines that start with this")
    text.add_argument("--quote", default='"', metavar="C", help="around fields; '' if quotes mean nothing")
    text.add_argument("--encoding", default="utf-8", metavar="NAME", help="utf-8, latin-1 or ascii")
    text.add_argument("--decimal", default=".", metavar="C", help="the decimal mark, . or ,")
    values = parser.add_argument_group("the values")
    values.add_argument(
        "--dtype", metavar="DTYPE", help="one type for all columns, or name:type for each; see below"
    )
    values.add_argument(
        "--columns", type=_list, metavar="A,B,...", help="columns to keep, by name or position, in this order"
    )
    values.add_argument(
        "--na", action="append", metavar="TEXT", help="a cell that means missing; may be repeated"
    )
    values.add_argument("--fill", type=_number, metavar="VALUE", help="stands for missing numbers")
    _work(parser)


def _address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", metavar="ARRAY", help=_ADDRESS)
    raw = parser.add_argument_group("raw binary")
    raw.add_argument("--dtype", help="type of one value, such as f8")
    raw.add_argument("--shape", type=_shape, metavar="N,M,...", help="-1 for as many rows as there are")
    raw.add_argument("--offset", type=_count, default=0, metavar="BYTES", help="bytes before the first row")


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="TARGET", help="the new array: x.npy, x.h5::/group/x, or raw binary"
    )
    _layout(parser)


def _layout(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the target")
    group.add_argument(
        "--overwrite", action="store_true", help="replace it if it exists, once the new one is complete"
    )
    group.add_argument("--chunks", type=_shape, metavar="N,M,...", help="HDF5: chunk shape")
    group.add_argument("--compression", metavar="NAME", help="HDF5: gzip or lzf")


def _work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--memory", type=_memory, metavar="SIZE", help=_MEMORY)
    bars = parser.add_mutually_exclusive_group()
    bars.add_argument("--progress", action="store_true", default=None, help="show a progress bar at once")
    bars.add_argument("--no-progress", action="store_false", dest="progress", help="show none")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.strip("()").split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of sizes such as 100,5") from None


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _memory(text: str) -> str | float:
    # A bare number is a share of the limit below 1, bytes from 1 on.
    try:
        return float(text)
    except ValueError:
        return text


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
