from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.testing import assert_same, example
from tests.strategies import arrays, keys


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("opening")


# ---- open -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "a", "rb", "", None])
def test_an_unknown_mode_lists_the_known_ones(tmp_path: Path, mode: Any) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(oc.errors.OptionError, match=r"'r', 'r\+', 'c'(?s:.*)oc\.create"):
        oc.open(tmp_path / "x.npy", mode=mode)


def test_an_unknown_order_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(8))
    with pytest.raises(oc.errors.OptionError, match="order='A'"):
        oc.open(tmp_path / "x.bin", dtype="f8", order="A")


@pytest.mark.parametrize("address", [str, Path, lambda path: os.path.relpath(path)])
def test_addresses_may_be_text_or_paths(tmp_path: Path, address: Any) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    assert oc.open(address(tmp_path / "x.npy")).address == str(tmp_path / "x.npy")


def test_a_missing_file_is_the_built_in_error_too(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.npy") as caught:
        oc.open(tmp_path / "x.npy")
    assert isinstance(caught.value, oc.errors.NotFoundError)


# ---- asarray --------------------------------------------------------------------------------------


def test_an_array_of_ours_is_returned_itself_and_an_address_is_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    opened = oc.asarray(str(tmp_path / "x.npy"))
    assert oc.asarray(opened) is opened
    assert oc.asarray(tmp_path / "x.npy").address == opened.address


@pytest.mark.parametrize("given", [[[1, 2], [3, 4]], (1.5, 2), range(4), 7, np.float32(1)], ids=repr)
def test_whatever_numpy_takes_becomes_an_array_in_memory(given: Any) -> None:
    array = oc.asarray(given)
    assert_same(np.asarray(array), np.asarray(given))
    assert array.address == "memory"


def test_objects_are_refused() -> None:
    with pytest.raises(oc.errors.DTypeError):
        oc.asarray({"a": 1})


@given(data=st.data(), array=arrays(min_dims=1, max_side=9), offset=st.integers(0, 9000))
def test_a_memory_map_and_its_parts_become_references_to_the_file(
    folder: Path, data: st.DataObject, array: np.ndarray, offset: int
) -> None:
    if not array.size:
        return
    order = data.draw(st.sampled_from("CF"))
    (folder / "m.bin").write_bytes(bytes(offset) + array.tobytes(order))
    mapped = np.memmap(folder / "m.bin", array.dtype, "r", offset, array.shape, order)
    part = mapped[data.draw(st.integers(0, len(array) - 1)) :]
    opened = oc.asarray(part)
    if part.flags.c_contiguous or part.flags.f_contiguous:
        assert len(pickle.dumps(opened)) < 1024
        opened = pickle.loads(pickle.dumps(opened))
    key = data.draw(keys(part.shape))
    assert_same(opened[key], np.asarray(part)[key])


def memory_map(tmp_path: Path) -> np.memmap:
    example((100, 8), "f4").tofile(tmp_path / "m.bin")
    return np.memmap(tmp_path / "m.bin", "f4", "r+", 0, (100, 8))


def test_a_memory_map_written_to_is_read_as_it_is_now(tmp_path: Path) -> None:
    mapped = memory_map(tmp_path)
    opened = oc.asarray(mapped)
    mapped[50:] = -1
    assert_same(opened[:], np.array(mapped))
    assert_same(opened.take(np.arange(100)), np.array(mapped))


def test_a_memory_map_of_another_type_and_shape_of_the_same_bytes(tmp_path: Path) -> None:
    mapped = memory_map(tmp_path)
    view = mapped[10:20].reshape(5, 16).view("i2")
    opened = oc.asarray(view)
    assert opened.address.endswith("m.bin")
    assert_same(opened[:], np.array(view))


@pytest.mark.parametrize(
    "part",
    [lambda m: m[:, ::2], lambda m: m[::-1], lambda m: m + 1, lambda m: m[:0]],
    ids=["columns", "backwards", "sum", "none"],
)
def test_what_of_a_memory_map_has_no_place_in_its_file_stays_in_memory(tmp_path: Path, part: Any) -> None:
    mapped = memory_map(tmp_path)
    given = part(mapped)
    opened = oc.asarray(given)
    assert opened.address == "memory"
    assert_same(opened[:], np.array(given))


def test_private_changes_of_a_memory_map_are_not_lost(tmp_path: Path) -> None:
    memory_map(tmp_path)
    private = np.memmap(tmp_path / "m.bin", "f4", "c", 0, (100, 8))
    private[3] = 99
    assert (oc.asarray(private)[3] == 99).all()


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_memory_map_whose_file_lost_its_name_keeps_its_rows(tmp_path: Path, change: str) -> None:
    mapped = memory_map(tmp_path)
    rows = np.array(mapped)
    if change == "replaced":
        (tmp_path / "other").write_bytes(bytes(3200))
        os.replace(tmp_path / "other", tmp_path / "m.bin")
    else:
        (tmp_path / "m.bin").unlink()
    assert_same(oc.asarray(mapped)[:], rows)


def test_an_opened_npy_map_is_a_reference_too(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(example((30, 7), "f8")))
    opened = oc.asarray(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert opened.address == str(tmp_path / "x.npy")
    assert_same(opened[4:9, 2], example((30, 7), "f8")[4:9, 2])
