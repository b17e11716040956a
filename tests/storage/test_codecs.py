from __future__ import annotations

import itertools
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from outcore.storage import codecs
from outcore.storage.codecs import DecodeError, Filter, Pipeline, weave

SHUFFLE_8 = Filter(codecs.SHUFFLE, (8,), "shuffle")
DEFLATE_4 = Filter(codecs.DEFLATE, (4,), "gzip")
CHECKSUM = Filter(codecs.FLETCHER32, (), "fletcher32")


def one_chunk(path: Path, rows: np.ndarray, **options: Any) -> tuple[Pipeline, np.ndarray, int]:
    """Let h5py write `rows` as one chunk; return the filters and the chunk as it is in the file."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", data=rows, chunks=rows.shape, **options)
        return pipeline_of(dataset), *stored(dataset)


def pipeline_of(dataset: Any) -> Pipeline:
    properties = dataset.id.get_create_plist()
    found = [properties.get_filter(i) for i in range(properties.get_nfilters())]
    return Pipeline([Filter(f[0], f[2], f[3].decode()) for f in found], dataset.dtype.itemsize)


def stored(dataset: Any) -> tuple[np.ndarray, int]:
    mask, raw = dataset.id.read_direct_chunk((0,) * dataset.ndim)
    return np.frombuffer(raw, np.uint8), mask


def decoded(pipeline: Pipeline, raw: np.ndarray, mask: int, nbytes: int) -> bytes:
    chunk = pipeline.decode(raw, mask, nbytes)
    if not chunk.shuffled:
        return chunk.data.tobytes()
    planes = chunk.data.reshape(pipeline.itemsize, -1)
    result = np.empty(planes.shape[::-1], np.uint8)
    weave(planes, result)
    return result.tobytes()


OPTIONS = [
    dict(zip(("compression", "shuffle", "fletcher32"), values, strict=True))
    for values in itertools.product((None, "gzip"), (False, True), (False, True))
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["u1", "<f8", ">i2", "S5", "c16"])
def test_what_h5py_encodes_is_decoded_and_the_other_way_round(
    tmp_path: Path, dtype: str, options: dict[str, Any]
) -> None:
    rows = np.arange(33 * 7).reshape(33, 7).astype(dtype)
    pipeline, raw, mask = one_chunk(tmp_path / "x.h5", rows, **options)
    assert pipeline.unknown is None
    assert pipeline.encodes
    assert pipeline.untouched(mask) == (not pipeline.filters)
    assert decoded(pipeline, raw, mask, rows.nbytes) == rows.tobytes()
    ours = pipeline.encode(rows.reshape(-1).view(np.uint8))
    assert decoded(pipeline, ours, 0, rows.nbytes) == rows.tobytes()
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["x"].id.write_direct_chunk((0, 0), ours)
        np.testing.assert_array_equal(file["x"][:], rows)


@pytest.mark.parametrize("name", ["Zstd", "Blosc"])
def test_filters_of_hdf5plugin_are_decoded_by_numcodecs(tmp_path: Path, name: str) -> None:
    rows = np.arange(1000.0)
    pipeline, raw, mask = one_chunk(tmp_path / "x.h5", rows, **getattr(hdf5plugin, name)())
    assert pipeline.unknown is None
    assert not pipeline.encodes
    assert decoded(pipeline, raw, mask, rows.nbytes) == rows.tobytes()
    with pytest.raises(DecodeError, match=f"{name.lower()}: "):
        pipeline.decode(np.zeros_like(raw), mask, rows.nbytes)


def test_without_numcodecs_its_filters_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numcodecs.zstd", None)
    pipeline = Pipeline([SHUFFLE_8, Filter(codecs.ZSTD, (), "zstd")], 8)
    assert pipeline.unknown == Filter(codecs.ZSTD, (), "zstd")
    with pytest.raises(DecodeError, match="zstd: nothing here decodes it"):
        pipeline.decode(np.zeros(8, np.uint8), 0, 8)


@pytest.mark.parametrize("code", [4, 5, 6, 32000, 32004, 32008, 32099])
def test_other_filters_are_left_to_h5py(code: int) -> None:
    pipeline = Pipeline([Filter(code, (), "other")], 8)
    assert pipeline.unknown is not None
    assert not pipeline.encodes


@pytest.mark.parametrize("mask", [1, 2, 3])
def test_filters_that_the_mask_names_are_skipped(tmp_path: Path, mask: int) -> None:
    rows = np.arange(100.0)
    raw = rows.view(np.uint8) if mask & 1 else Pipeline([SHUFFLE_8], 8).encode(rows.view(np.uint8))
    raw = raw if mask & 2 else Pipeline([DEFLATE_4], 8).encode(raw)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("x", (100,), "f8", chunks=(100,), compression="gzip", shuffle=True)
        made.id.write_direct_chunk((0,), raw, filter_mask=mask)
    with h5py.File(tmp_path / "x.h5") as file:  # before it is opened again, HDF5 itself forgets the mask
        pipeline = pipeline_of(file["x"])
        np.testing.assert_array_equal(file["x"][:], rows)
        assert stored(file["x"])[1] == mask
        assert decoded(pipeline, *stored(file["x"]), rows.nbytes) == rows.tobytes()
        assert pipeline.untouched(mask) == (mask == 3)


def test_a_shuffle_of_bytes_that_do_not_fill_values_keeps_the_rest_at_the_end(tmp_path: Path) -> None:
    # The checksum comes first here, so that the shuffle sees 4 bytes too many.
    rows = np.arange(25.0)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((25,))
    properties.set_fletcher32()
    properties.set_shuffle()
    properties.set_deflate(1)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        kind, space = h5py.h5t.py_create(rows.dtype), h5py.h5s.create_simple((25,))
        made = h5py.Dataset(h5py.h5d.create(file.id, b"x", kind, space, properties))
        made[:] = rows
        pipeline = pipeline_of(made)
        raw, mask = stored(made)
        assert decoded(pipeline, raw, mask, rows.nbytes) == rows.tobytes()
        made.id.write_direct_chunk((0,), pipeline.encode(rows.view(np.uint8)))
        np.testing.assert_array_equal(made[:], rows)


def test_the_checksum_of_hdf5_before_1_6_3_is_accepted() -> None:
    rows = np.arange(100, dtype=np.uint8)
    raw = Pipeline([CHECKSUM], 1).encode(rows)
    raw[-4:] = raw[[-3, -4, -1, -2]]
    assert Pipeline([CHECKSUM], 1).decode(raw, 0, 100).data.tobytes() == rows.tobytes()


# ---- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("inflater", ["isal", "zlib"])
@pytest.mark.parametrize("damage", ["begin", "middle", "end", "cut", "empty"])
def test_damaged_gzip_is_an_error(monkeypatch: pytest.MonkeyPatch, inflater: str, damage: str) -> None:
    if inflater == "zlib":
        monkeypatch.setattr(codecs, "inflater", zlib)
    rows = np.random.default_rng(0).integers(0, 9, 80_000, np.uint8)
    pipeline = Pipeline([SHUFFLE_8, DEFLATE_4], 8)
    raw = pipeline.encode(rows).copy()
    assert decoded(pipeline, raw, 0, rows.nbytes) == rows.tobytes()
    at = {"begin": 0, "middle": len(raw) // 2, "end": len(raw) - 1}.get(damage)
    if at is not None:
        raw[at] ^= 0x5A
    raw = raw[: {"cut": len(raw) // 2, "empty": 0}.get(damage, len(raw))]
    with pytest.raises(DecodeError, match="gzip: "):
        pipeline.decode(raw, 0, rows.nbytes)


def test_a_wrong_checksum_and_a_wrong_length_are_errors() -> None:
    rows = np.arange(80, dtype=np.uint8)
    raw = Pipeline([CHECKSUM], 8).encode(rows)
    with pytest.raises(DecodeError, match="decodes to 80 bytes instead of 88"):
        Pipeline([CHECKSUM], 8).decode(raw, 0, 88)
    raw[7] ^= 1
    with pytest.raises(DecodeError, match=r"the checksum is [0-9a-f]{8}, the file says [0-9a-f]{8}"):
        Pipeline([CHECKSUM], 8).decode(raw, 0, 80)
    with pytest.raises(DecodeError, match="3 bytes have no room"):
        Pipeline([CHECKSUM], 8).decode(raw[:3], 0, 80)
