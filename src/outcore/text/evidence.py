"""What the cells of many columns have in common, found for all columns at once.

Reads from : text.samples, clean text of whole records
Hands to   : text.plan

Guarantees
- The result is that of `guessing.Guess` for each cell on its own (tests compare them).
- Memory is a few times `BATCH_BYTES`, or a few times one record that is larger.

All cells of a batch go into one column, whichever column they come from, and are looked at together; so a
table with 20 000 columns costs no more than one with ten, and a million small files no more than a large one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outcore.text.boundaries import last_record_end
from outcore.text.cells import BOOL, DATE, DATETIME, INT, Cells, Kind, float_pattern
from outcore.text.cleaning import clean
from outcore.text.dialect import Dialect, split
from outcore.text.guessing import Guess, whole
from outcore.text.records import Lines, fields_in_each, lines, stray_quotes

#: Text that is looked at together.
BATCH_BYTES = 1 << 19
#: Text with quotes in the middle of fields is split by Python, and no more of it than this.
STRAY_BYTES = 1 << 22

_KINDS = tuple(Kind)
_BIT = {kind: np.uint8(1 << i) for i, kind in enumerate(_KINDS)}


class Evidence:
    """Collects what samples show about some columns.

    Parameters
    ----------
    places : iterable of int
        The columns to look at.
    width : int
        The number of columns of the files; records of another width say nothing, as they may be parts of one.
    """

    def __init__(self, places: Iterable[int], width: int, dialect: Dialect, cells: Cells) -> None:
        self._places = sorted(set(places))
        self._width = width
        self._dialect = dialect
        self._cells = cells
        self._texts: list[bytes] = []
        self._nbytes = 0
        self._stray_bytes = 0
        n = len(self._places)
        self._kinds = np.zeros(n, np.uint8)
        self._low, self._high = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._digits = np.zeros(n, np.int64)
        #: What does not fit into the arrays: very large numbers, and text that was split by Python.
        self._others: dict[int, Guess] = {}

    def add(self, text: bytes) -> None:
        """Take in clean text of whole records."""
        if not text or not self._places:
            return
        self._texts.append(text if text.endswith(b"\n") else text + b"\n")
        self._nbytes += len(text)
        if self._nbytes >= BATCH_BYTES:
            self._flush()

    def add_part(self, lines_of_text: bytes, head: bytes) -> None:
        """Take in whole lines from the middle of a file, which may begin inside quotes.

        Parameters
        ----------
        head : bytes
            Clean text from the start of the file. Where quoted fields go over several lines there, lines
            without quotes say nothing: they may be a part of one.
        """
        dialect = self._dialect
        mark = dialect.quote.encode()
        lines_in_quotes = _has_lines_in_quotes(head, dialect)
        if not mark or mark not in lines_of_text:
            if not lines_in_quotes:
                self.add(clean(lines_of_text, dialect))
            return
        readings = []
        for before in (b"", mark):
            text = clean(before + lines_of_text, dialect)
            text = text[: last_record_end(text, dialect)]
            if len(stray_quotes(text, dialect)) or (not before and lines_in_quotes and mark not in text):
                continue
            if before:
                text = text[_first_record_end(text, dialect) :]  # the end of a record, with a made up quote
            found = lines(text, dialect)
            fitting = fields_in_each(text, dialect, found.starts) == self._width
            readings.append((int(np.count_nonzero(fitting)), text))
        if readings:
            self.add(max(readings, key=lambda reading: reading[0])[1])
        elif not lines_in_quotes:
            self._add_stray(clean(lines_of_text, dialect))

    def guesses(self) -> dict[int, Guess]:
        """Tell what was found, for each place."""
        self._flush()
        found = {}
        rows = zip(
            self._places,
            self._kinds.tolist(),
            self._low.tolist(),
            self._high.tolist(),
            self._digits.tolist(),
            strict=True,
        )
        sets = {bits: {kind for kind in _KINDS if bits & _BIT[kind]} for bits in set(self._kinds.tolist())}
        for place, bits, low, high, digits in rows:
            guess = Guess(self._cells)
            guess.kinds |= sets[bits]
            guess.span(low, high)
            guess.digits = digits
            if (other := self._others.get(place)) is not None:
                guess.kinds |= other.kinds
                guess.span(other.low, other.high)
                guess.digits = max(digits, other.digits)
            found[place] = guess
        return found

    def _flush(self) -> None:
        texts, self._texts, self._nbytes = self._texts, [], 0
        if not texts or self._take(b"".join(texts)):
            return
        for text in texts:  # one of them has quotes that mislead about all behind them
            if not self._take(text):
                self._add_stray(text)

    def _take(self, text: bytes) -> bool:
        """Look at whole records; False if quotes inside fields hide where these end."""
        mark = self._dialect.quote.encode()
        quoted = bool(mark) and mark in text
        if quoted and (text.count(mark) % 2 or len(stray_quotes(text, self._dialect))):
            return False
        found = lines(text, self._dialect)
        good = fields_in_each(text, self._dialect, found.starts) == self._width
        if b"\0" in text:
            zeros = np.flatnonzero(np.frombuffer(text, np.uint8) == 0)
            good[np.searchsorted(found.starts, zeros, side="right") - 1] = False
        if found.blank or not good.all():
            text = _only(text, found, good)
        if text:
            self._learn(_split(text.replace(b"\r\n", b"\n"), self._dialect, quoted=quoted))
        return True

    def _learn(self, cells: pl.Series) -> None:
        n = len(self._places)
        if n < self._width:
            starts = np.arange(0, len(cells), self._width)[:, None]
            cells = cells.gather((starts + np.array(self._places)).ravel())
        kinds, values, digits = self._look(cells)
        self._kinds |= np.bitwise_or.reduce(kinds.reshape(-1, n), axis=0)
        if values is not None:
            np.minimum(self._low, values.reshape(-1, n).min(axis=0), out=self._low)
            np.maximum(self._high, values.reshape(-1, n).max(axis=0), out=self._high)
        if digits is not None:
            np.maximum(self._digits, digits.reshape(-1, n).max(axis=0), out=self._digits)

    def _look(
        self, cells: pl.Series
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Name each cell's kind, as a bit; values of whole numbers; digits of fractions of seconds."""
        kinds = np.full(len(cells), _BIT[Kind.TEXT])
        values = digits = None
        rest, at = cells.str.strip_chars(" "), np.arange(len(cells))
        for kind in _KINDS:
            if kind is Kind.TEXT or not len(at):
                break
            hit = self._is(kind, rest)
            if not hit.any():
                continue
            mask = hit.to_numpy()
            kinds[at[mask]] = _BIT[kind]
            if kind is Kind.INT:
                values = np.zeros(len(cells), np.int64)
                values[at[mask]] = self._values(rest.filter(hit), at[mask])
            elif kind is Kind.DATETIME:
                digits = np.zeros(len(cells), np.int64)
                fractions = rest.filter(hit).str.extract(f"^(?:{DATETIME})$", 1)
                digits[at[mask]] = fractions.str.len_bytes().fill_null(0).to_numpy()
            rest, at = rest.filter(~hit), at[~mask]
        return kinds, values, digits

    def _is(self, kind: Kind, texts: pl.Series) -> pl.Series:
        if kind is Kind.MISSING:
            return texts.is_in(["", *self._cells.na_values])
        pattern = {
            Kind.INT: INT,
            Kind.FLOAT: float_pattern(self._cells.decimal),
            Kind.BOOL: BOOL,
            Kind.DATE: DATE,
            Kind.DATETIME: DATETIME,
        }[kind]
        return texts.str.contains(f"^(?:{pattern})$")

    def _values(self, texts: pl.Series, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn whole numbers into int64; those beyond it are kept apart, and 0 here."""
        values = texts.cast(pl.Int64, strict=False)
        if values.null_count():
            beyond = values.is_null()
            for text, i in zip(texts.filter(beyond), at[beyond.to_numpy()].tolist(), strict=True):
                self._other(self._places[i % len(self._places)]).span(whole(text))
        found: NDArray[np.int64] = values.fill_null(0).to_numpy()
        return found

    def _other(self, place: int) -> Guess:
        return self._others.setdefault(place, Guess(self._cells))

    def _add_stray(self, text: bytes) -> None:
        text = text[: max(STRAY_BYTES - self._stray_bytes, 0)]
        self._stray_bytes += len(text)
        for record in split(text.decode(errors="replace"), self._dialect):
            if len(record) == self._width:
                for place in self._places:
                    self._other(place).add(record[place])


def _has_lines_in_quotes(text: bytes, dialect: Dialect) -> bool:
    mark = dialect.quote.encode()
    if not mark or mark not in text:
        return False
    found = lines(text, dialect)
    return any(
        b"\n" in text[start:end]
        for start, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True)
    )


def _first_record_end(text: bytes, dialect: Dialect) -> int:
    found = lines(text, dialect)
    return int(found.stops[0]) + 1 if len(found.stops) else len(text)


def _only(text: bytes, found: Lines, good: NDArray[np.bool_]) -> bytes:
    """Keep the good records."""
    spans = zip(found.starts[good].tolist(), found.stops[good].tolist(), strict=True)
    return b"".join(text[start : stop + 1] for start, stop in spans)


def _split(text: bytes, dialect: Dialect, *, quoted: bool) -> pl.Series:
    """Split records, all of one width, into their cells."""
    marked = np.frombuffer(text, np.uint8).copy()
    ends = (marked == ord(dialect.separator)) | (marked == 0x0A)
    if quoted:
        quotes = (marked == ord(dialect.quote)).view(np.uint8)
        ends &= np.bitwise_xor.accumulate(quotes) == 0
    marked[ends] = 0
    joined: Any = marked[:-1].tobytes().decode(errors="replace")
    cells = pl.Series([joined], dtype=pl.String).str.split("\0").explode()
    if not quoted:
        return cells
    quote = pl.lit(dialect.quote)
    cell, pair = pl.col("cell"), dialect.quote * 2
    inside = cell.str.strip_prefix(quote).str.strip_suffix(quote).str.replace_all(pair, quote, literal=True)
    opened = cell.str.starts_with(quote)
    return pl.DataFrame({"cell": cells}).select(pl.when(opened).then(inside).otherwise(cell).alias("cell"))[
        "cell"
    ]
