"""The arguments of ``outcore ingest``, and its manual.

Hands to   : cli.parser

Nothing but the standard library is imported here.
"""

from __future__ import annotations

from typing import Any

from outcore.cli.arguments import add_target, add_verb, add_work, count, number, texts

_TEXT = """\
Read delimited text into one array on disk, in parallel, within a memory budget that does not depend on the
size of the files. Where all columns are numbers, the result is a matrix; otherwise it has structured rows
with the names of the header.

What is not said is found out from samples of every file: the delimiter, whether there is a header, the types
of the columns. It is printed before the work begins (--dry-run prints it and does no more), and never changed
on the way: a cell that does not fit is an error with its file, line and column. The target stands under its
name once it is complete, and not before.
"""

_MANUAL = """\
sources
  Files, patterns such as 'logs/*.csv' (quoted, so that the shell leaves them alone; ** is any depth),
  folders, pipes, and - for standard input. gzip, bzip2, xz and zstd are recognised by their first bytes. Of a
  zip archive all members are read, or those named: logs.zip::day1.csv, 'logs.zip::2024/*.csv'. Patterns,
  folders and archives are read in natural order (part2 before part10), several sources in the order given.

the text
  One record a line, but for newlines inside quotes; blank lines are passed over. Delimiters have names where
  a shell makes them hard to type: tab (or \\t), space, comma, semicolon, pipe; "whitespace" is any run of
  blanks and tabs. Newlines may be those of any system; a byte order mark decides the encoding.

types
  One type makes a matrix (--dtype f4). Names and types make structured rows (--dtype "chr:S10 pos:i4 pct:f4")
  and are matched to the header by name, or else by position.
    f2 f4 f8           floats                  ?             true/false, yes/no, 1/0
    i1 i2 i4 i8        whole numbers           S10 U10       text of up to 10 bytes, characters
    u1 u2 u4 u8        0 and above             S U           text; the width is measured first
    M8[D] M8[s]        dates 2024-01-31, dates and times 2024-01-31T12:30:59
    category           text as a whole number: its place in the sorted list of all texts, -1 if missing
  Where widths are measured, or categories found, the files are read twice.

missing values
  An empty cell is missing, and so are NA, NaN, nan, N/A, NULL and null, or what --na says. Missing floats
  become NaN, dates NaT, text empty. Whole numbers cannot say "missing": use --fill, or a float type.

what goes wrong
  A cell that is not of its type, a whole number too large for it, text wider than its field, a record with
  too few or too many fields, a quote that is never closed, bytes that are not of the encoding, a file that
  changes while it is read. Each is told by file:line:column; the line is that of the file as it was written.
    --on-error stop    (default) the first ones end the work; nothing is written
    --on-error reject  bad records are left out
    --on-error mask    bad cells become missing; records with a wrong number of fields are left out
  With reject and mask every bad cell is listed in x.rejects.csv beside x.npy, or in --rejects FILE: file,
  line, column, byte, field, kind, text. --max-rejects ends the work where there are more than that.

going on
  Killed, or interrupted by Ctrl-C, the same command goes on where it stopped; the array is, byte for byte,
  the one that it would have been. Finished, the same command does nothing. Where files have come to a pattern
  or folder since, only these are read, and their rows appended. A file that has changed since it was read is
  an error that names it. What came from standard input or a pipe cannot be read again: start anew.

beside the target (of m.h5::/x it is m.h5.x.ingest)
  x.npy.ingest/schema.json    delimiter, header, names, types, categories; edit it and give it to --schema
  x.npy.ingest/sources.csv    each file with its size, its time, its first row and its rows
  x.npy.ingest/finished.json  by this the same command knows that there is nothing to do
  The array needs none of these to be read.

exit codes
  0  done, or nothing to do; records that were left out within --max-rejects are no failure
  1  an error: its text says what to type; nothing stands under the target's name that was not there before
  2  wrong arguments
  130  interrupted

examples
  outcore ingest flights.csv flights.npy
  outcore ingest flights.csv flights.npy --dry-run
  outcore ingest 'logs/*.csv.gz' logs.npy --dtype f4 --memory 2GB --workers 4
  outcore ingest logs.zip::day1.csv day1.npy
  zcat reads.tsv.gz | grep -v random | outcore ingest - reads.npy --delimiter tab \\
      --dtype "chr:S9 pos:i4 pct:f4"

  # genomics: tables without a header into HDF5; texts of a VCF file as categories
  outcore ingest 'chr*.tsv.gz' meth.h5::/reads --no-header --dtype "chr:S24 pos:i4 pct:f4 c:i4 t:i4" \\
      --compression gzip
  outcore ingest calls.tsv calls.npy --comment '##' --categories '#CHROM,FILTER' --na .

  # dirty files: keep going, but not for ever; then look at what was left out
  outcore ingest 'sensors/*.csv' sensors.npy --on-error reject --max-rejects 1000
  column -s, -t sensors.rejects.csv

  # types found once, corrected by hand, used for all
  outcore ingest sample.csv sample.npy --dry-run --json > types.json
  outcore ingest 'all/*.csv' all.npy --schema types.json

  outcore ingest messwerte.csv x.npy --delimiter semicolon --decimal , --encoding latin-1
  outcore ingest table.txt x.npy --delimiter whitespace --comment '#' --columns 2,0,1 --fill 0
"""

_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


def add_ingest(verbs: Any) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs, "ingest", "read delimited text into one array on disk", description=_TEXT, epilog=_MANUAL
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="files, quoted patterns, folders, zip archives, or - for standard input",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print how the files would be read, and write nothing"
    )
    add_target(parser)
    _add_text(parser.add_argument_group("the text"))
    _add_values(parser.add_argument_group("the values"))
    _add_errors(parser.add_argument_group("what goes wrong"))
    parser.add_argument(
        "--workers", type=count, metavar="N", help="threads (default: one for each processor)"
    )
    add_work(parser)


def _add_text(group: Any) -> None:
    group.add_argument(
        "--delimiter",
        type=_delimiter,
        metavar="C",
        help="one character, its name (tab, space, comma, semicolon, pipe), or whitespace for runs of blanks",
    )
    header = group.add_mutually_exclusive_group()
    header.add_argument(
        "--header", action="store_true", default=None, help="the first record of each file names the columns"
    )
    header.add_argument("--no-header", action="store_false", dest="header", help="it does not")
    group.add_argument("--names", type=texts, metavar="A,B,...", help="names of all columns of the files")
    group.add_argument(
        "--skip-rows", type=count, default=0, metavar="N", help="lines to pass over in each file"
    )
    group.add_argument("--comment", metavar="TEXT", help="pass over lines that start with this")
    group.add_argument("--quote", default='"', metavar="C", help="around fields; '' if quotes mean nothing")
    group.add_argument(
        "--encoding",
        default="utf-8",
        metavar="NAME",
        help="utf-8, ascii, latin-1, cp1252, iso8859-15, utf-16, utf-16-le or utf-16-be (default: utf-8)",
    )
    group.add_argument("--decimal", default=".", metavar="C", help="the decimal mark, . or ,")


def _add_values(group: Any) -> None:
    group.add_argument(
        "--dtype", metavar="DTYPE", help="one type for all columns, or name:type for each; see types below"
    )
    group.add_argument(
        "--columns",
        type=_columns,
        metavar="A,B,...",
        help="columns to keep, by name or position, in this order",
    )
    group.add_argument(
        "--categories", type=_columns, metavar="A,B,...", help="columns of text to store as whole numbers"
    )
    group.add_argument(
        "--schema", metavar="FILE", help="a schema.json that decides all of the above, edited or not"
    )
    group.add_argument(
        "--na",
        action="append",
        dest="na_values",
        metavar="TEXT",
        help="a cell that means missing; may be repeated",
    )
    group.add_argument("--fill", type=number, metavar="VALUE", help="stands for missing numbers")
    group.add_argument(
        "--truncate", action="store_true", help="cut text that is wider than its field, instead of an error"
    )


def _add_errors(group: Any) -> None:
    group.add_argument(
        "--on-error",
        choices=("stop", "reject", "mask"),
        default="stop",
        help="stop at bad records, leave them out, or make bad cells missing (default: stop)",
    )
    group.add_argument(
        "--max-rejects", type=count, metavar="N", help="how many records may be left out, or cells masked"
    )
    group.add_argument(
        "--rejects", metavar="FILE", help="the file that lists bad cells (default: x.rejects.csv)"
    )


def _delimiter(text: str) -> str:
    return _DELIMITERS.get(text, text)


def _columns(text: str) -> list[str | int]:
    """Take whole numbers as positions."""
    return [int(name) if name.removeprefix("-").isdecimal() else name for name in texts(text)]
