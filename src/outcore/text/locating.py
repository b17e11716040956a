"""Where records of a chunk stand in their files: line, byte, and which of the file's records they are.

Reads from : text.places.Chunk; text.structure.Records of its clean text
Hands to   : text.listing

Clean text has the newlines of the raw text, if little else: so records are found again by their lines.
"""

from __future__ import annotations

import numpy as np

from outcore.text.places import SAME_BYTES, Chunk, source_bytes
from outcore.text.records import Positions
from outcore.text.structure import Records


def located(chunk: Chunk, records: Records, record: Positions) -> tuple[Positions, ...]:
    """Find records, in their order, in their files.

    Returns
    -------
    line, byte, piece, earlier, start, end
        `earlier` counts records of the same piece before them; `start` and `end` are those in the raw text.
    """
    raw = np.flatnonzero(np.frombuffer(chunk.data, np.uint8) == 0x0A)
    clean = raw
    if records.data is not chunk.data:
        clean = np.flatnonzero(np.frombuffer(records.data, np.uint8) == 0x0A)
    line = np.searchsorted(clean, records.starts[record])
    start = np.append(0, raw + 1)[line]
    end = np.append(raw, len(chunk.data))[np.searchsorted(clean, records.stops[record])]
    heads = np.array([piece.start for piece in chunk.pieces])
    piece = np.searchsorted(heads, start, side="right") - 1
    head_lines = np.searchsorted(raw, heads)
    first_lines = np.array([piece.place.line for piece in chunk.pieces])
    first_records = np.searchsorted(records.starts, np.append(0, clean + 1)[head_lines])
    return (
        line + (first_lines - head_lines)[piece],
        _bytes_in_files(chunk, start, piece),
        piece,
        record - first_records[piece],
        start,
        end,
    )


def _bytes_in_files(chunk: Chunk, start: Positions, piece: Positions) -> Positions:
    """Turn positions in a chunk, in their order, into those of the files."""
    heads = np.array([piece.start for piece in chunk.pieces])
    found: Positions = np.array([piece.place.byte for piece in chunk.pieces])[piece] + start - heads[piece]
    for number in np.unique(piece).tolist():
        of = chunk.pieces[number]
        if of.encoding in SAME_BYTES:
            continue
        byte, at = of.place.byte, of.start
        for i in range(*np.searchsorted(piece, [number, number + 1]).tolist()):
            if int(start[i]) != at:
                byte += source_bytes(chunk.data[at : int(start[i])], of.encoding)
                at = int(start[i])
            found[i] = byte
    return found
