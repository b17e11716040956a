"""Cut texts to the width of their dtype, never in the middle of a character.

Reads from : polars.Series of strings
Hands to   : text.columns, where the user allowed it
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl


def cut_to_fit(texts: pl.Series, dtype: np.dtype[Any]) -> tuple[pl.Series, int]:
    """Shorten what is too wide for a dtype S or U.

    Parameters
    ----------
    texts : polars.Series
        None of them null.

    Returns
    -------
    texts : polars.Series
    cut : int
        How many were shortened.

    Notes
    -----
    Memory: a few times the bytes of the texts that are too wide.

    Examples
    --------
    >>> cut_to_fit(pl.Series(["abc", "aé", "a"]), np.dtype("S2"))[0].to_list()
    ['ab', 'a', 'a']
    """
    if dtype.kind == "U":
        width = dtype.itemsize // 4
        wide = texts.str.len_chars() > width
        return (texts.str.slice(0, width) if wide.any() else texts), int(wide.sum())
    wide = texts.str.len_bytes() > dtype.itemsize
    if not wide.any():
        return texts, 0
    at = wide.arg_true()
    return texts.clone().scatter(at, _heads(texts.gather(at), dtype.itemsize)), len(at)


def _heads(texts: pl.Series, width: int) -> pl.Series:
    """Cut texts, all of them of more than `width` bytes, to the whole characters that fit."""
    lengths = texts.str.len_bytes().to_numpy().astype(np.int64)
    joined = np.frombuffer("".join(texts).encode(), np.uint8)
    starts = np.cumsum(lengths) - lengths
    first = (joined & 0xC0) != 0x80  # the first byte of a character
    ends = starts + width
    for _ in range(3):  # a character has at most four bytes
        ends -= ~first[ends]
    before = np.concatenate([[0], np.cumsum(first)])
    return pl.DataFrame({"text": texts, "n": before[ends] - before[starts]}).select(
        pl.col("text").str.head(pl.col("n"))
    )["text"]
