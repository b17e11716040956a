"""`share`, `shared_empty`, `attach`: what they take and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.errors import DTypeError, MemoryBudgetError, OptionError, ShapeError
from outcore.shared import sharing
from outcore.testing import assert_same, example
from tests import strategies
from tests.shared import roles

OUT_OF_ORDER = np.dtype({"names": ["b", "a"], "formats": ["<i4", "<i2"], "offsets": [4, 0]})


# ---- shared_empty ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), 0, 5, (0,), (3, 0, 2), (4, 5), [2, 3], np.int32(4), (np.uint8(2), 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_empty_one_is_full_of_zeros_and_lies_as_asked(shape: Any, order: Any) -> None:
    made = oc.shared_empty(shape, "i4", order)
    expected = np.zeros(shape if not isinstance(shape, np.integer) else int(shape), "i4", order)
    assert type(made) is oc.SharedArray
    assert_same(np.asarray(made), expected)
    assert made.flags.c_contiguous == expected.flags.c_contiguous
    assert made.flags.f_contiguous == expected.flags.f_contiguous
    assert made.flags.writeable


@pytest.mark.parametrize(
    "dtype", [*strategies.DTYPES, *strategies.STRUCTURED, OUT_OF_ORDER, "chr:S10 pos:i4", float]
)
def test_every_dtype_without_objects(dtype: Any) -> None:
    made = oc.shared_empty(3, dtype)
    expected = np.dtype([("chr", "S10"), ("pos", "i4")]) if dtype == "chr:S10 pos:i4" else np.dtype(dtype)
    assert made.dtype == expected
    assert made.dtype.isalignedstruct == expected.isalignedstruct
    assert made.tobytes() == np.zeros(3, expected).tobytes()


def test_the_default_is_float64_and_a_subarray_type_is_a_longer_shape() -> None:
    assert oc.shared_empty(2).dtype == np.float64
    made = oc.shared_empty(2, ("f4", (3, 5)))
    assert (made.shape, made.dtype) == ((2, 3, 5), np.float32)


@pytest.mark.parametrize("dtype", ["S", "U", "V", []])
def test_a_dtype_without_bytes(dtype: Any) -> None:
    made = oc.shared_empty(3, dtype)
    assert (made.shape, made.nbytes) == ((3,), 0)
    assert oc.attach(made.token()).shape == (3,)


@pytest.mark.parametrize("shape", [-1, (3, -1), 2.5, (2.0,), "ab", None, (True,), True, ((2,),)])
def test_a_shape_that_is_none(shape: Any) -> None:
    with pytest.raises(ShapeError, match="not a tuple of whole numbers of 0 or more"):
        oc.shared_empty(shape)


@pytest.mark.parametrize("shape", [1 << 62, (1 << 40, 1 << 40), (1 << 62, 0)])
def test_a_shape_beyond_all_machines(shape: Any) -> None:
    with pytest.raises(ShapeError, match="more bytes than any machine"):
        oc.shared_empty(shape, reserve=False)


def test_a_shape_beyond_this_machine() -> None:
    with pytest.raises(MemoryBudgetError, match=r"needs 1152921\.5 TB"):
        oc.shared_empty(1 << 60, "u1")
    with pytest.raises(MemoryBudgetError, match="the system has no such room"):
        oc.shared_empty(1 << 60, "u1", reserve=False)


@pytest.mark.parametrize(
    ("dtype", "what"),
    [
        ("O", "Python objects"),
        ([("a", "i4"), ("b", "O")], "Python objects"),
        ([("a", [("b", "O", (2,))])], "Python objects"),
        (np.dtypes.StringDType(), "text of variable width"),
        (h5py.string_dtype(), "Python objects"),
    ],
    ids=str,
)
def test_types_that_hold_addresses_are_refused_by_name(dtype: Any, what: str) -> None:
    with pytest.raises(
        DTypeError, match=f"holds {what}: addresses that mean nothing in another process"
    ) as caught:
        oc.shared_empty(3, dtype)
    assert "a.astype(" in str(caught.value)


def test_what_is_no_dtype_or_order() -> None:
    with pytest.raises(DTypeError, match="dtype='nonsense' is not a dtype"):
        oc.shared_empty(3, "nonsense")
    with pytest.raises(OptionError, match="order='K' is neither 'C' nor 'F'"):
        oc.shared_empty(3, order="K")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="order='K' is none of"):
        oc.share([1], order="K")  # type: ignore[arg-type]


# ---- share ----------------------------------------------------------------------------------------


@given(array=strategies.arrays([*strategies.DTYPES, *strategies.STRUCTURED, OUT_OF_ORDER]), data=st.data())
def test_any_array_is_copied_as_it_is(array: np.ndarray, data: st.DataObject) -> None:
    order = data.draw(st.sampled_from(["A", "C", "F"]))
    axes = data.draw(st.permutations(range(array.ndim)))
    view = np.flip(array.transpose(axes)) if data.draw(st.booleans()) else array.transpose(axes)
    shared = oc.share(view, order=order)
    assert type(shared) is oc.SharedArray
    assert repr(shared.tolist()) == repr(view.tolist())
    assert shared.dtype == view.dtype
    assert shared.shape == view.shape
    fortran = order == "F" or (order == "A" and view.flags.fnc)
    assert shared.flags.f_contiguous if fortran else shared.flags.c_contiguous
    assert not np.shares_memory(shared, view)


@pytest.mark.parametrize(
    "given_array",
    [
        3,
        2.5,
        [1, 2],
        [[1.5], [2]],
        b"abc",
        "text",
        True,
        range(5),
        np.float32(2),
        np.datetime64("2020-01-01"),
        pd.Series([1.0, 2.0, 3.0], index=[2.0, 1.0, 0.0]),
        pd.Series([4, 5], index=["b", "a"]),
        pl.Series([1.0, 2.0]),
        memoryview(b"abc"),
        np.broadcast_to(np.arange(3), (4, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_numpy_makes_an_array_of_is_shared(given_array: Any) -> None:
    shared = oc.share(given_array)
    expected = np.asarray(given_array)
    assert_same(np.asarray(shared), np.array(expected))


def test_a_shared_array_is_copied_into_memory_of_its_own() -> None:
    first = oc.share(np.arange(5))
    second = oc.share(first)
    second[0] = 9
    assert first[0] == 0


def test_object_arrays_text_of_variable_width_and_masks_are_refused() -> None:
    for given_array in (np.array([1, "a"], object), np.array(["a"], np.dtypes.StringDType()), [None, 1]):
        with pytest.raises(DTypeError, match="addresses"):
            oc.share(given_array)
    with pytest.raises(DTypeError, match=r"a masked array is two arrays[\s\S]*a\.filled\(\)"):
        oc.share(np.ma.array([1, 2], mask=[0, 1]))
    assert oc.share(np.ma.array([1, 2], mask=[0, 1]).filled(7)).tolist() == [1, 7]


def test_notes_on_a_dtype_do_not_warn() -> None:
    noted = np.dtype([("a", np.dtype("S5", metadata={"h5py": "ascii"}))])
    shared = oc.share(np.zeros(3, noted))
    assert oc.attach(shared.token()).dtype == np.dtype([("a", "S5")])


@pytest.mark.parametrize("order", ["A", "C", "F"])
@pytest.mark.parametrize("shape", [(1000, 3), (7,), (3, 4, 5), (0, 3), ()])
def test_arrays_on_disk_are_read_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], order: Any
) -> None:
    monkeypatch.setattr(sharing, "_BLOCK_BYTES", 100)
    values = example(shape, "f8")
    np.save(tmp_path / "x.npy", values)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=values)
        assert_same(np.asarray(oc.share(dataset, order=order)), values)
    if shape:
        with oc.open(tmp_path / "x.npy") as X:
            shared = oc.share(X, order=order)
        assert_same(np.asarray(shared), values)
        assert shared.flags.f_contiguous if order == "F" else shared.flags.c_contiguous
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r") if values.size else values
    assert_same(np.asarray(oc.share(mapped, order=order)), values)


def test_a_source_that_fails_leaves_nothing() -> None:
    class Failing:
        shape, dtype = (10, 2), np.dtype("f8")

        def __getitem__(self, key: slice) -> np.ndarray:
            raise OSError("the disk is gone")

    before = roles.fds()
    with pytest.raises(OSError, match="the disk is gone") as caught:
        oc.share(Failing())  # type: ignore[arg-type]
    del caught
    assert roles.fds() == before
