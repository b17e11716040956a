from __future__ import annotations

from typing import Any

import hdf5plugin
import numpy as np
import pytest

import outcore as oc
from outcore.storage.hdf5_options import CHUNK_BYTES, automatic_chunks, choose


def chosen(shape: Any = (10, 3), dtype: Any = "f8", **given: Any) -> Any:
    defaults = dict.fromkeys(("chunks", "compression", "compression_opts", "shuffle"))
    return choose(shape, np.dtype(dtype), **{**defaults, "fletcher32": False, **given})


@pytest.mark.parametrize(
    ("n_rows", "rest", "expected"),
    [
        (None, (), (131072,)),
        (10, (), (10,)),
        (10_000, (200,), (655, 200)),
        (10, (1_000_000,), (1, 131072)),
        (10, (3, 100_000), (1, 1, 100_000)),
        (10, (30, 70, 1000), (1, 1, 70, 1000)),
        (10, (2, 600, 1000), (1, 1, 131, 1000)),
        (None, (0, 3), (43690, 1, 3)),
    ],
)
def test_chunks_are_whole_rows_of_about_a_megabyte(n_rows: int | None, rest: Any, expected: Any) -> None:
    found = automatic_chunks(n_rows, rest, 8)
    assert found == expected
    assert np.prod(found) * 8 <= CHUNK_BYTES


def test_rows_are_in_one_piece_unless_something_needs_chunks() -> None:
    assert chosen().chunks is None
    assert chosen(shape=()).chunks is None
    assert chosen(chunks=False).chunks is None
    for given in ({"chunks": True}, {"compression": "lzf"}, {"shuffle": True}, {"fletcher32": True}):
        assert chosen(**given).chunks == (10, 3)
    assert chosen(shape=(None, 3)).chunks == (43690, 3)


@pytest.mark.parametrize(
    ("chunks", "shape", "expected"),
    [
        (4, (10, 3), (4, 3)),
        (np.int64(4), (None, 0), (4, 1)),
        ([4, 2], (10, 3), (4, 2)),
        ((400, 200), (10, 3), (10, 3)),
        ((400, 200), (None, 3), (400, 3)),
        ((4, 2), (0, 0), (1, 1)),
    ],
)
def test_given_chunks_are_cut_to_axes_that_cannot_grow(chunks: Any, shape: Any, expected: Any) -> None:
    assert chosen(shape=shape, chunks=chunks).chunks == expected


def test_shuffle_is_the_default_where_it_helps() -> None:
    for compression in ("gzip", "lzf", 32015, hdf5plugin.Zstd(), hdf5plugin.LZ4()):
        assert chosen(compression=compression).filters["shuffle"] is True
        assert chosen(compression=compression, shuffle=False).filters["shuffle"] is False
    for compression in (None, 32001, hdf5plugin.Blosc(), hdf5plugin.Bitshuffle()):
        assert chosen(compression=compression, chunks=True).filters["shuffle"] is False


def test_levels() -> None:
    assert chosen(compression="gzip").filters["compression_opts"] == 4
    assert chosen(compression="gzip", compression_opts=9).filters["compression_opts"] == 9
    assert chosen(compression="gzip", compression_opts=0).filters["compression_opts"] == 0
    assert chosen(compression="lzf").filters["compression_opts"] is None
    plugin = hdf5plugin.Zstd(clevel=7)
    assert chosen(compression=plugin).filters["compression_opts"] == (7,)


@pytest.mark.parametrize("chunks", ["auto", 2.5, (True, 3), (), (4, None), (4, 3, 1)])
def test_chunks_that_make_no_sense(chunks: Any) -> None:
    with pytest.raises(oc.errors.OptionError, match="does not fit the shape"):
        chosen(chunks=chunks)
