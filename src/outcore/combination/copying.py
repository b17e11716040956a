"""How the values of many arrays get into one HDF5 file.

Reads from : ndarrays where they are in memory; blocks.row_blocks for other arrays
Hands to   : combination.combining

First the datasets in one piece, whose places are known, without HDF5: arrays in memory by a few threads, then
the others one after the other, so that each is read from its beginning to its end. Then the chunked ones, in
order: HDF5 has one writer, but it gets chunks that are compressed already.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from outcore import budget
from outcore.blocks.streaming import BLOCK_BYTES, block_rows, row_blocks
from outcore.combination.parts import Part
from outcore.errors import OptionError
from outcore.storage.chunk_storing import CHUNKS_A_TURN
from outcore.storage.chunked_write import MAX_WAITING_BYTES
from outcore.storage.codecs import DEFLATE, worker_count
from outcore.storage.copying import THREADS, flat_view
from outcore.storage.file import open_file
from outcore.storage.hdf5_combine import Made, chunk_session, chunk_writer
from outcore.storage.hdf5_rows import cache_bytes
from outcore.storage.pieces import write_arrays

#: What one thread copies at a time of an array that is not C-contiguous: at most, and where memory is short.
COPY_BYTES, LEAST_BYTES = 4 << 20, 64 << 10
#: Rows in memory that go to the compressing threads at a time.
ENCODED_BYTES = 64 << 20


@dataclass(frozen=True)
class _Encoding:
    """How the chunks of one array are made: on how many threads, out of which blocks."""

    threads: int
    block_bytes: int
    memory: int


class Copying:
    """The plan of all copying; making it checks the budget.

    Raises
    ------
    OptionError
        `workers` is not a number of threads.
    MemoryBudgetError
        The working memory for one of the arrays does not fit in `limit`.
    """

    def __init__(self, parts: Sequence[Part], limit: int, workers: int | None) -> None:
        whole = isinstance(workers, (int, np.integer)) and not isinstance(workers, bool)
        if workers is not None and (not whole or workers < 1):
            raise OptionError(f"workers={workers!r} is not a number of threads.\nUse 1 or more.")
        self._parts, self._limit = parts, limit
        self._threads = min(os.cpu_count() or 1, THREADS) if workers is None else int(workers)
        self._encoding = {
            part.name: _encoding(part, limit, worker_count() if workers is None else int(workers))
            for part in parts
            if part.chunked and part.nbytes
        }
        flat = [part for part in parts if part.nbytes and not part.chunked]
        self._copy_threads, self._copy_bytes = self._threads, COPY_BYTES
        if any(part.rows is not None and not part.rows.flags.c_contiguous for part in flat):
            self._copy_threads = min(self._threads, max(limit // LEAST_BYTES, 1))
            self._copy_bytes = min(COPY_BYTES, max(limit // self._copy_threads, LEAST_BYTES))
            budget.require(
                "combine", {"a buffer to copy through": self._copy_threads * self._copy_bytes}, limit
            )
        for part in flat:
            if part.rows is None and part.source.shape:
                block_rows(part.source, what=f"combine({part.name!r})", memory=limit)

    def run(self, path: str, made: Sequence[Made], advance: Callable[[int], None]) -> None:
        """Fill the datasets that were made for the parts."""
        filled = [(part, one) for part, one in zip(self._parts, made, strict=True) if part.nbytes]
        flat = [(part, one.offset) for part, one in filled if one.offset is not None]
        file = open_file(path, writable=True)
        try:
            file.reserve(file.size())
            with _Tally(advance) as tally:
                write_arrays(
                    file,
                    [(part.rows, offset) for part, offset in flat if part.rows is not None],
                    threads=self._copy_threads,
                    copy_bytes=self._copy_bytes,
                    done=tally.add,
                )
            for part, offset in flat:
                if part.rows is None:
                    for at, block in self._blocks(part):
                        file.write(offset + at, flat_view(block))
                        advance(block.nbytes)
        finally:
            file.close()
        chunked = [part for part, one in filled if one.offset is None]
        if chunked:
            with chunk_session(path, [part.new for part in chunked]) as h5:
                for part in chunked:
                    self._encode(path, h5, part, advance)

    def _blocks(self, part: Part) -> Iterator[tuple[int, NDArray[Any]]]:
        """Read an array that is not in memory; yield where its bytes belong and a block of them."""
        try:
            if not part.source.shape:
                yield 0, np.atleast_1d(part.source[...])
                return
            row = part.nbytes // len(part.source)
            what = f"combine({part.name!r})"
            for start, block in row_blocks(part.source, what=what, memory=self._limit):
                yield start * row, block
        finally:
            part.release()

    def _encode(self, path: str, h5: Any, part: Part, advance: Callable[[int], None]) -> None:
        plan = self._encoding[part.name]
        writer = chunk_writer(path, h5, part.new, plan.threads)
        try:
            for start, block in _encoding_blocks(part, plan, writer.band_rows):
                writer.write_rows(start, block)
                advance(block.nbytes)
            writer.finish()
        finally:
            writer.close()
            part.release()


def _encoding_blocks(part: Part, plan: _Encoding, band_rows: int) -> Iterator[tuple[int, NDArray[Any]]]:
    rows = part.rows
    if rows is None or not rows.flags.c_contiguous:
        what = f"combine({part.name!r})"
        yield from row_blocks(
            part.source, what=what, memory=plan.memory, block_bytes=plan.block_bytes, multiple=band_rows
        )
        return
    step = max(ENCODED_BYTES // (band_rows * rows[0].nbytes), 1) * band_rows
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step]


def _encoding(part: Part, limit: int, threads: int) -> _Encoding:
    """Choose threads and blocks for a chunked dataset, within the budget."""
    new = part.new
    sizes = new.options.chunks or ()
    chunk = prod(sizes) * new.dtype.itemsize
    count = prod(-(-n // c) for n, c in zip(new.shape, sizes, strict=True))
    cache = cache_bytes(sizes, new.shape, new.dtype)
    if new.options.filters["compression"] in (None, "gzip", DEFLATE):
        # Each thread holds what it has encoded this turn, and a chunk cut out and one shuffled.
        threads = max(1, min(threads, count, limit // 2 // ((CHUNKS_A_TURN + 2) * chunk)))
        held = (min(threads * CHUNKS_A_TURN, count) + 2 * threads) * chunk
    else:
        held = cache + 2 * chunk
    needs = {"chunks being compressed": held}
    what, cure = f"combine({part.name!r})", "Use smaller chunks."
    if part.rows is not None and part.rows.flags.c_contiguous:
        budget.require(what, needs, limit, cure=cure)
        return _Encoding(threads, 0, limit)
    row = part.nbytes // new.shape[0]
    band = min(sizes[0], new.shape[0]) * row
    if held + 2 * band <= limit:
        return _Encoding(threads, max(BLOCK_BYTES, band), limit - held)
    # Not even one row of chunks fits twice: its first rows wait for the others, or are HDF5's to keep.
    needs["a row of chunks"] = band if band <= MAX_WAITING_BYTES else cache + 2 * chunk
    budget.require(what, needs | {"one row": row, "its working memory": row}, limit, cure=cure)
    return _Encoding(threads, BLOCK_BYTES, limit - sum(needs.values()))


class _Tally:
    """Counts what several threads have done, and reports it from one: bars and callers know only that one."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance
        self._home = threading.get_ident()
        self._lock = threading.Lock()
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.add(0)

    def add(self, n: int) -> None:
        with self._lock:
            self._waiting += n
            if threading.get_ident() != self._home:
                return
            n, self._waiting = self._waiting, 0
        if n:
            self._advance(n)
