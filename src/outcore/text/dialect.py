"""How the text is written: delimiter, quotes, comments, encoding, header; and finding it out.

Reads from : samples of the text
Hands to   : text.plan, text.chunks, text.parse

`split` is a small, slow and plain reader of records. It is used for samples and headers only.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from outcore.errors import OptionError
from outcore.text.cells import Cells, Kind

#: Tried in this order where several fit equally well.
DELIMITERS = ("\t", ",", ";", "|", " ")
#: Written for "one or more blanks or tabs".
WHITESPACE = "whitespace"
#: Names that Python gives to encodings, and those that are used here.
ENCODINGS = {
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8",
    "ascii": "ascii",
    "iso8859-1": "latin-1",
    "cp1252": "cp1252",
    "iso8859-15": "iso8859-15",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
}
#: Records that sniffing looks at.
SNIFFED = 200
#: Cells after which it stops, once it has three records; tables may be wide.
SNIFFED_CELLS = 20_000


@dataclass(frozen=True)
class Dialect:
    """How the text is written.

    Attributes
    ----------
    delimiter : str
        One character, or "whitespace" for one or more blanks and tabs.
    quote : str
        The quote character, or "" for none.
    comment : str
        Lines that start with it are skipped; "" for none.
    encoding : str
        One of the values of `ENCODINGS`; a byte order mark in a file has the last word.
    decimal : str
        The decimal mark.
    skip_rows : int
        Physical lines to skip at the start of each file.
    header : bool
        Whether the first record of each file is its header.
    """

    delimiter: str
    quote: str = '"'
    comment: str = ""
    encoding: str = "utf-8"
    decimal: str = "."
    skip_rows: int = 0
    header: bool = False

    @property
    def separator(self) -> str:
        """The one character between fields once runs of blanks have become one."""
        return " " if self.delimiter == WHITESPACE else self.delimiter


def check_options(
    delimiter: str | None, quote: str | None, comment: str | None, decimal: str, encoding: str
) -> str:
    """Check what the user gave; return the encoding's name here.

    Raises
    ------
    OptionError
        One of them makes no sense.
    """
    for name, value in (("delimiter", delimiter), ("quote", quote), ("decimal", decimal)):
        if value in (None, "", WHITESPACE) and name != "decimal":
            continue
        if not isinstance(value, str) or len(value) != 1 or not value.isascii() or value in "\r\n":
            raise OptionError(
                f"{name}={value!r} is not one ASCII character.\n"
                + (
                    'Use "whitespace" for runs of blanks.'
                    if name == "delimiter"
                    else f"Use for example {name}={_EXAMPLE[name]}."
                )
            )
    if decimal not in (".", ","):
        raise OptionError(f'decimal={decimal!r} is not supported.\nUse decimal="." or decimal=",".')
    if delimiter is not None and delimiter in (quote, decimal):
        raise OptionError(
            f"delimiter={delimiter!r} is the quote or the decimal mark too.\nGive each its own character."
        )
    if comment and ("\n" in comment or comment == quote):
        raise OptionError(f'comment={comment!r} cannot start a comment.\nUse for example comment="#".')
    try:
        known = ENCODINGS.get(codecs.lookup(encoding).name)
    except (LookupError, TypeError, ValueError):
        known = None
    if known is None:
        raise OptionError(
            f"encoding={encoding!r} is not supported.\n"
            f"Use one of {', '.join(dict.fromkeys(ENCODINGS.values()))}, or recode the files: "
            "iconv -f NAME -t utf-8."
        )
    return known


_EXAMPLE = {"quote": "'\"'", "decimal": '"."'}


def split(text: str, dialect: Dialect, limit: int | None = None, cells: int | None = None) -> list[list[str]]:
    r"""Split text into records and fields; blank lines are passed over.

    Parameters
    ----------
    text : str
        Without comments.
    limit : int, optional
        Stop after so many records.
    cells : int, optional
        Stop after so many cells, but not before there are three records.

    Examples
    --------
    >>> split('a,"b, c"\n\n1,2\n', Dialect(","))
    [['a', 'b, c'], ['1', '2']]
    """
    separator, quote = re.escape(dialect.separator), re.escape(dialect.quote)
    plain = rf"([^{separator}\n]*)"
    quoted = (
        rf"{quote}((?:[^{quote}]++|{quote}{quote})*+){quote}(?=[{separator}\r\n]|\Z)|" if quote else "(?!)()|"
    )
    field = re.compile(rf"(?:{quoted}{plain})({separator}|\r?\n|\r?\Z)")
    records: list[list[str]] = []
    record: list[str] = []
    position = n_cells = 0
    while position < len(text) and (limit is None or len(records) < limit):
        if cells is not None and n_cells >= cells and len(records) >= 3 and not record:
            break
        found = field.match(text, position)
        if found is None:  # not reached: the plain field matches everything up to a separator or an end
            break
        inside, outside, end = found.groups()
        if inside is None and end != dialect.separator:
            outside = outside.removesuffix("\r")
        record.append(outside if inside is None else inside.replace(dialect.quote * 2, dialect.quote))
        position = found.end()
        if end != dialect.separator or position == len(text):
            if end == dialect.separator:
                record.append("")
            if record != [""] or inside is not None:
                records.append(record)
                n_cells += len(record)
            record = []
    return records


def squeeze(data: bytes, quote: str) -> bytes:
    """Turn runs of blanks and tabs outside quotes into one blank, and remove them at the ends of lines."""
    mark = quote.encode()
    if mark and mark in data:
        quoted = re.escape(mark) + b"[^" + re.escape(mark) + b"]*" + re.escape(mark)
        runs = re.compile(rb"(?m)(" + quoted + rb")|(^[ \t]+|[ \t]+(?=\r?$))|[ \t]+")
        return runs.sub(lambda run: run[1] or (b"" if run[2] else b" "), data)
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    data = data.replace(b"\n ", b"\n").replace(b" \n", b"\n").replace(b" \r\n", b"\r\n")
    return data.removeprefix(b" ").removesuffix(b" ")


def sniff_delimiter(text: str, dialect: Dialect, cells: Cells) -> str:
    """Find the delimiter that cuts the sample into records of equal length and cells that mean something.

    Returns
    -------
    str
        A comma (or semicolon) where nothing fits: then each line is one cell.
    """
    candidates = [c for c in DELIMITERS if c not in (dialect.decimal, dialect.quote)]
    best, best_score = next(c for c in candidates if c in ",;"), (0.0, 0.0)
    for candidate in candidates:
        trial = Dialect(
            WHITESPACE if candidate == " " else candidate,
            dialect.quote,
            dialect.comment,
            decimal=dialect.decimal,
        )
        sample = squeeze(text.encode(), dialect.quote).decode() if candidate == " " else text
        records = split(sample, trial, SNIFFED, SNIFFED_CELLS)
        lengths = [len(record) for record in records]
        usual = max(set(lengths), key=lengths.count, default=1)
        agreeing = [record for record in records if len(record) == usual]
        if usual < 2 or len(agreeing) * 3 < len(records) * 2:
            continue
        given = [cell for record in agreeing for cell in record]
        typed = sum(cells.kind(cell) is not Kind.TEXT or _like_decimal_comma(cell) for cell in given) / len(
            given
        )
        score = (round(typed, 2), len(agreeing) / len(records))
        if score > best_score:
            best, best_score = trial.delimiter, score
    return best


def _like_decimal_comma(cell: str) -> bool:
    # "1,5;2,5" is two numbers between semicolons, not three cells between commas.
    return re.fullmatch(r"[+-]?\d+,\d+", cell) is not None


def sniff_header(records: list[list[str]], cells: Cells) -> bool:
    """Say whether the first record names the columns.

    It does where it holds text above a column whose other cells are all numbers, dates or truth values.
    Otherwise it does if its cells look like names, differ, and do not come again below; the first one may be
    empty, as above the index that pandas writes.
    """
    if not records:
        return False
    first, rest = records[0], [record for record in records[1:] if len(record) == len(records[0])]
    kinds = [cells.kind(name) for name in first]
    for j, kind in enumerate(kinds):
        below = {cells.kind(record[j]) for record in rest} - {Kind.MISSING}
        if kind is Kind.TEXT and below and Kind.TEXT not in below:
            return True
    names = [name.strip() for name in (first[1:] if not first[0] else first)]
    again = any(record[j] == name for record in rest for j, name in enumerate(first) if name)
    named = all(_like_a_name(name) and cells.kind(name) is Kind.TEXT for name in names)
    return bool(names) and named and not again and len(set(names)) == len(names)


def _like_a_name(text: str) -> bool:
    return re.fullmatch(r"[^\W\d][\w .()/%:#-]*", text) is not None
