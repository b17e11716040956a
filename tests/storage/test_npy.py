from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.storage import file, npy
from outcore.testing import DTYPES, StorageTests, assert_same, example
from tests.strategies import STRUCTURED, arrays


class TestNpyInCOrder(StorageTests):
    writable = True

    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        np.save(folder / "x.npy", np.ascontiguousarray(rows) if rows.ndim else rows)
        return oc.open(folder / "x.npy", mode="r+" if writable else "r")


class TestNpyInFortranOrder(StorageTests):
    def store(self, rows: np.ndarray, folder: Path, *, writable: bool = False) -> oc.Array:
        np.save(folder / "x.npy", np.asfortranarray(rows) if rows.ndim else rows)
        return oc.open(folder / "x.npy")


class TestNpyWithoutPositionalReads(TestNpyInCOrder):
    @pytest.fixture(autouse=True)
    def _portable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file, "FILE_CLASS", file.PortableFile)


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    into = io.BytesIO()
    np.lib.format.write_array(into, array, version)
    return into.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npy")


# ---- files are NumPy's ----------------------------------------------------------------------------


@given(array=arrays())
def test_created_files_are_byte_for_byte_those_of_numpy_save(folder: Path, array: np.ndarray) -> None:
    with oc.create(folder / "x.npy", array.shape, array.dtype, overwrite=True) as made:
        made[...] = array
    assert (folder / "x.npy").read_bytes() == saved(np.ascontiguousarray(array) if array.ndim else array)


@pytest.mark.parametrize("width", range(1, 65))
def test_headers_of_every_length_are_those_of_numpy(width: int) -> None:
    rows = np.zeros(7, [("x" * width, "i4")])
    assert saved(rows).startswith(npy.header(rows.shape, rows.dtype) + bytes(28))


@pytest.mark.parametrize("n_rows", [0, 1, 9, 10, 1234, 100_000])
def test_appended_files_are_byte_for_byte_those_of_numpy_save(tmp_path: Path, n_rows: int) -> None:
    rows = np.arange(n_rows * 3.0).reshape(-1, 3)
    with oc.create(tmp_path / "x.npy", (None, 3)) as made:
        for low in range(0, n_rows, 777):
            made.append(rows[low : low + 777])
    assert (tmp_path / "x.npy").read_bytes() == saved(rows)


@pytest.mark.parametrize(
    "names", [["é"], ["日本"], [f"field_{i:05}" for i in range(6000)]], ids=["1", "3", "2"]
)
def test_headers_of_later_versions_are_those_of_numpy(
    tmp_path: Path, names: list[str], recwarn: pytest.WarningsRecorder
) -> None:
    rows = example((4,), [(name, "i2") for name in names])
    with oc.create(tmp_path / "x.npy", 4, rows.dtype) as made:
        made[:] = rows
    assert len(recwarn) == 0
    assert (tmp_path / "x.npy").read_bytes() == _saved_quietly(rows)
    assert_same(oc.open(tmp_path / "x.npy")[:], rows)


def _saved_quietly(array: np.ndarray) -> bytes:
    # NumPy warns that old versions of itself cannot read what it writes here.
    with pytest.warns(UserWarning, match="format") if _warns(array) else _nothing():
        return saved(array)


def _warns(array: np.ndarray) -> bool:
    return npy.header(array.shape, array.dtype)[6] > 1


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_version_is_read(tmp_path: Path, version: tuple[int, int], order: str) -> None:
    array = np.asarray(example((5, 4, 3), ">f4"), order=order)
    (tmp_path / "x.npy").write_bytes(saved(array, version))
    opened = oc.open(tmp_path / "x.npy")
    assert opened.info["order"] == order
    assert_same(opened[:], array)


def test_a_header_that_python_2_wrote_is_read(tmp_path: Path) -> None:
    write(tmp_path, "{'descr': '<i2', 'fortran_order': False, 'shape': (3L, 2L), }", b"\1\0" * 6)
    assert_same(oc.open(tmp_path / "x.npy")[:], np.ones((3, 2), "<i2"))


def test_a_field_whose_name_looks_like_a_python_2_number_keeps_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", example((3,), [("x2L", "i4"), ("3L", "i4")]))
    assert oc.open(tmp_path / "x.npy").dtype.names == ("x2L", "3L")


@given(array=arrays(STRUCTURED, min_dims=1, max_dims=1))
def test_structured_rows_in_every_version(folder: Path, array: np.ndarray) -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        (folder / "s.npy").write_bytes(saved(array, version))
        assert_same(oc.open(folder / "s.npy")[:], array)


def test_a_file_with_more_bytes_than_its_array_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(saved(np.arange(5)) + b"something else")
    assert_same(oc.open(tmp_path / "x.npy")[:], np.arange(5))


def test_one_long_axis_is_in_both_orders(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(np.arange(6.0).reshape(6, 1)))
    assert oc.open(tmp_path / "x.npy", mode="r+").info["order"] == "C"


def test_fortran_order_cannot_be_written_in_place_and_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(np.ones((3, 2))))
    array = oc.open(tmp_path / "x.npy", mode="r+")
    with pytest.raises(oc.errors.ReadOnlyError, match="'order': 'F'"):
        array[0] = 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_place_of_the_rows_does_not_depend_on_their_number(dtype: Any) -> None:
    kind = np.dtype(dtype)
    assert len({len(npy.header((n, 3), kind)) for n in (0, 1, 10**6, 10**15)}) == 1


# ---- files that are not what their name says ------------------------------------------------------


def write(folder: Path, header: str | bytes, data: bytes = b"", version: int = 1) -> Path:
    text = header.encode("latin1") if isinstance(header, str) else header
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    path = folder / "x.npy"
    path.write_bytes(npy.MAGIC + bytes((version, 0)) + length + text + data)
    return path


GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        "[1, 2]",
        "{1, 2}",
        "'text'",
        "7",
        "()",
        GOOD.replace("shape", "form"),
        GOOD.replace("descr", "dtype"),
        GOOD.replace("False", "'no'"),
        GOOD.replace("(2,)", "(-2,)"),
        GOOD.replace("(2,)", "(2.5,)"),
        GOOD.replace("(2,)", "2"),
        GOOD.replace("(2,)", "None"),
        GOOD.replace("'<f8'", "'<f99'"),
        GOOD.replace("'<f8'", "()"),
        GOOD.replace("'<f8'", "('<f8',)"),
        GOOD.replace("'<f8'", "('<f8', (2,))"),
        GOOD.replace("'<f8'", "7"),
        GOOD.replace("'<f8'", "[('a',)]"),
        GOOD.replace("'<f8'", "[('a', '<f8'), ('a', '<f8')]"),
        GOOD[:-5],
        "(" * 3000,
        b"\xff\xfe\x00\x01" * 20,
        "__import__('os').system('true')",
    ],
    ids=lambda header: repr(header)[:60],
)
@pytest.mark.parametrize("version", [1, 3])
def test_a_damaged_header_is_a_format_error_that_quotes_it(
    tmp_path: Path, header: str | bytes, version: int
) -> None:
    path = write(tmp_path, header, bytes(16), version)
    before = path.read_bytes()
    with pytest.raises(oc.errors.FormatError, match=r"x\.npy has a damaged \.npy header") as caught:
        oc.open(path)
    assert len(str(caught.value)) < 1000
    assert path.read_bytes() == before


@given(damage=st.binary(min_size=1, max_size=30), at=st.integers(0, 127))
def test_any_damage_is_one_of_our_errors_or_another_array(folder: Path, damage: bytes, at: int) -> None:
    whole = saved(np.arange(6.0).reshape(3, 2))
    (folder / "d.npy").write_bytes(whole[:at] + damage + whole[at + len(damage) :])
    try:
        array = oc.open(folder / "d.npy")
    except oc.errors.OutcoreError:
        return
    if array.nbytes < 1000:
        array[...]


@given(size=st.integers(0, 175))
def test_a_cut_at_any_byte_is_a_format_error(folder: Path, size: int) -> None:
    (folder / "c.npy").write_bytes(saved(np.arange(6.0).reshape(3, 2))[:size])
    with pytest.raises(oc.errors.FormatError):
        oc.open(folder / "c.npy")


def test_truncated_data_names_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(1000.0))
    os.truncate(path, 5000)
    with pytest.raises(oc.errors.TruncatedError, match=r"has 5000 bytes; .* needs 8128"):
        oc.open(path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_header_length_beyond_the_file_names_both_sizes(tmp_path: Path, version: int) -> None:
    path = write(tmp_path, GOOD, b"", version)
    raw = bytearray(path.read_bytes())
    raw[8:10] = b"\xff\x7f"
    path.write_bytes(raw)
    with pytest.raises(
        oc.errors.TruncatedError, match=rf"header has 32767 bytes; the file has {len(raw)} in all"
    ):
        oc.open(path)


def test_a_header_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(npy.MAGIC + b"\2\0" + struct.pack("<I", 2**31))
    os.truncate(path, 2**32)
    with pytest.raises(oc.errors.FormatError, match="2147483648"):
        oc.open(path)


@pytest.mark.parametrize("size", range(13))
@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_a_few_bytes(tmp_path: Path, size: int, version: int) -> None:
    (tmp_path / "x.npy").write_bytes((npy.MAGIC + bytes((version, 0, 118, 0, 0, 0)))[:size])
    with pytest.raises(oc.errors.FormatError, match=r"x\.npy"):
        oc.open(tmp_path / "x.npy")


def test_another_magic_is_quoted_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"PK\3\4" + bytes(200))
    with pytest.raises(oc.errors.FormatError, match=r"PK.*(?s:.*)dtype="):
        oc.open(tmp_path / "x.npy")


def test_an_unknown_version_is_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD, bytes(16), version=9)
    with pytest.raises(oc.errors.FormatError, match="version 9"):
        oc.open(tmp_path / "x.npy")


@pytest.mark.parametrize("dtype", ["O", [("a", "i4"), ("b", "O")]], ids=str)
def test_object_arrays_are_refused(tmp_path: Path, dtype: Any) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3, dtype), allow_pickle=True)
    with pytest.raises(oc.errors.DTypeError, match="references to Python objects"):
        oc.open(tmp_path / "x.npy")
    with pytest.raises(oc.errors.DTypeError, match="references to Python objects"):
        oc.create(tmp_path / "y.npy", 3, dtype)
    assert not (tmp_path / "y.npy").exists()
