r"""Take out of a chunk what is no record: comments, runs of blanks. Lines stay where they are.

Hands to   : text.cutting, text.parse, text.faults

Guarantees
- Newlines stay, every one of them, so a line has the same number in clean text as in the raw text.
- What stands inside quotes is not touched.

It is done to whole chunks by whoever parses them, not while the text is cut, because positions in the raw
text are those of the file.
"""

from __future__ import annotations

import re

from outcore.text.dialect import WHITESPACE, Dialect, squeeze


def clean(data: bytes, dialect: Dialect) -> bytes:
    r"""Empty the comment lines, and make one blank of runs of blanks where these separate fields.

    Parameters
    ----------
    data : bytes
        Whole records.

    Examples
    --------
    >>> clean(b"1  2\n# no\n 3 4\n", Dialect("whitespace", comment="#"))
    b'1 2\n\n3 4\n'
    """
    data = blank_comments(data, dialect)
    return squeeze(data, dialect.quote) if dialect.delimiter == WHITESPACE else data


def blank_comments(data: bytes, dialect: Dialect) -> bytes:
    r"""Empty the comment lines; their newlines stay. `data` starts at the start of a record.

    Examples
    --------
    >>> blank_comments(b"1,2\n# no\n3,4\n", Dialect(",", comment="#"))
    b'1,2\n\n3,4\n'
    """
    return _without_comments(data, dialect, keep_length=False)


def mute_comments(data: bytes, dialect: Dialect) -> bytes:
    r"""Overwrite comment lines, so that no quote in them counts; positions stay the same.

    Examples
    --------
    >>> mute_comments(b'1,2\n# 5" no\n3,4\n', Dialect(",", comment="#"))
    b'1,2\n#######\n3,4\n'
    """
    return _without_comments(data, dialect, keep_length=True)


def _without_comments(data: bytes, dialect: Dialect, *, keep_length: bool) -> bytes:
    prefix, mark = dialect.comment.encode(), dialect.quote.encode()
    if not prefix or prefix not in data:
        return data
    blanks = rb"[ \t]*" if dialect.delimiter == WHITESPACE else b""
    line = re.compile(b"^" + blanks + re.escape(prefix) + rb"[^\n]*", re.MULTILINE)
    if mark not in data or not mark:
        return line.sub(lambda found: b"#" * len(found[0]) if keep_length else b"", data)
    kept, done, quotes = [], 0, 0
    for found in line.finditer(data):
        quotes += data.count(mark, done, found.start())
        inside = quotes % 2 == 1  # then it is a line of a quoted field, not a comment
        muted = found[0] if inside else b"#" * len(found[0]) if keep_length else b""
        kept += [data[done : found.start()], muted]
        quotes += data.count(mark, found.start(), found.end()) if inside else 0
        done = found.end()
    kept.append(data[done:])
    return b"".join(kept)
