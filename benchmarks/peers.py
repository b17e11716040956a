"""The same array in the formats of other libraries, with the settings that suit windows of 16 rows.

Hands to : windows
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.data import ROW_VALUES, blocks, write_h5

#: One chunk is as large as one window; a window that is not aligned to it touches two.
CHUNK_ROWS = 16
#: 256 MB a shard: few files, and an index that is read once.
SHARD_ROWS = 16_000


def write_zarr(path: Path, n_rows: int) -> bool:
    """Write a Zarr 3 array in shards, uncompressed; False where zarr is not installed."""
    try:
        import zarr
    except ImportError:
        return False
    shard = min(SHARD_ROWS, n_rows // CHUNK_ROWS * CHUNK_ROWS)
    array = zarr.create_array(
        store=str(path), shape=(n_rows, ROW_VALUES), dtype="f8", chunks=(CHUNK_ROWS, ROW_VALUES),
        shards=(shard, ROW_VALUES), compressors=None, filters=None,
    )  # fmt: skip
    # A part of a shard would have it read, decoded and written again.
    for start, block in blocks(n_rows, step=shard):
        array[start : start + len(block)] = block
    return True


def write_blosc2(path: Path, n_rows: int) -> bool:
    """Write a Blosc2 array, LZ4; False where blosc2 is not installed."""
    try:
        import blosc2
    except ImportError:
        return False
    array = blosc2.empty(
        (n_rows, ROW_VALUES), dtype="f8", chunks=(CHUNK_ROWS, ROW_VALUES), urlpath=str(path), contiguous=True,
        cparams={"codec": blosc2.Codec.LZ4},
    )  # fmt: skip
    for start, block in blocks(n_rows):
        array[start : start + len(block)] = block
    return True


def write_h5_chunked(path: Path, n_rows: int) -> bool:
    """Write an HDF5 file in chunks of one window, uncompressed."""
    write_h5(path, n_rows, chunks=(CHUNK_ROWS, ROW_VALUES))
    return True
