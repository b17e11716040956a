"""Rows cut into chunks and encoded on a few threads.

Reads from : blocks of rows
Hands to   : storage.chunked_write
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outcore.storage.codecs import Bytes, Pipeline
from outcore.storage.threads import run_threads

#: Chunks that each thread encodes between two turns of storing: what is held in memory at once.
CHUNKS_A_TURN = 4


def encoded_chunks(
    rows: NDArray[Any], chunks: tuple[int, ...], pipeline: Pipeline, threads: int
) -> Iterator[tuple[tuple[int, ...], Bytes]]:
    """Yield (first index, bytes for the file) of each chunk of `rows`, in C order, encoded on `threads`.

    Chunks that jut out of `rows` are filled up with zeros: a chunk is stored whole.
    """
    values = rows.reshape(-1).view(f"V{rows.dtype.itemsize}").reshape(rows.shape)
    grid = tuple(-(-n // c) for n, c in zip(rows.shape, chunks, strict=True))
    turn = threads * CHUNKS_A_TURN
    for low in range(0, prod(grid), turn):
        jobs = range(low, min(low + turn, prod(grid)))
        numbers = [np.unravel_index(job, grid) for job in jobs]
        corners = [tuple(int(n) * c for n, c in zip(place, chunks, strict=True)) for place in numbers]
        done = _encode(values, corners, chunks, pipeline, threads)
        yield from zip(corners, done, strict=True)


def _encode(
    values: NDArray[Any],
    corners: list[tuple[int, ...]],
    chunks: tuple[int, ...],
    pipeline: Pipeline,
    threads: int,
) -> list[Bytes]:
    done: list[Bytes] = [np.empty(0, np.uint8)] * len(corners)

    def step(job: int) -> None:
        done[job] = pipeline.encode(_cut(values, corners[job], chunks))

    run_threads(len(corners), step, threads if pipeline.filters else 1)
    return done


def _cut(values: NDArray[Any], corner: tuple[int, ...], chunks: tuple[int, ...]) -> Bytes:
    part = values[tuple(slice(at, at + c) for at, c in zip(corner, chunks, strict=True))]
    if part.shape != chunks:
        whole = np.zeros(chunks, part.dtype)
        whole[tuple(slice(0, n) for n in part.shape)] = part
        part = whole
    return np.ascontiguousarray(part).reshape(-1).view(np.uint8)
