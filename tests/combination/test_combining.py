"""Many arrays in one HDF5 file: equal to what was given, whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc
from outcore.combination import combining
from outcore.storage.hdf5_options import check_dtype
from outcore.testing import assert_same, example
from tests.combination.found import left, read
from tests.strategies import DTYPES, STRUCTURED, arrays


def in_hdf5(dtype: np.dtype[Any]) -> bool:
    try:
        check_dtype(dtype, "x")
    except oc.errors.DTypeError:
        return False
    return True


KINDS = [
    dtype for dtype in [*DTYPES, *STRUCTURED, np.dtype([("a", "S2"), ("m", ">f8", (2,))])] if in_hdf5(dtype)
]
PADDED = np.dtype([("a", "i1"), ("b", "f8"), ("c", "S3")], align=True)
#: Ways to lay out a dataset; gzip is ours, lzf is HDF5's.
WAYS: list[dict[str, Any]] = [
    {},
    {"chunks": True},
    {"compression": "gzip", "compression_opts": 1},
    {"compression": "lzf"},
    {"chunks": 2, "compression": "gzip", "shuffle": False},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("combining")


# ---- what comes out is what went in ---------------------------------------------------------------


class Subclass(np.ndarray):
    """Any subclass of ndarray."""


def strided(array: np.ndarray, how: str) -> np.ndarray:
    """The same values, otherwise in memory."""
    if how == "F" and array.ndim:
        return np.asfortranarray(array)
    if how == "reversed" and array.ndim:
        return np.ascontiguousarray(array[::-1])[::-1]
    if how == "every other" and array.ndim:
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if how == "read-only":
        array = array.copy()
        array.flags.writeable = False
    return array


@given(
    given_arrays=st.dictionaries(
        st.text("ab/éx", min_size=1, max_size=5).filter(lambda name: "//" not in name and name.strip("/")),
        st.tuples(arrays(KINDS), st.sampled_from(["C", "F", "reversed", "every other", "read-only"])),
        max_size=5,
    ),
    way=st.sampled_from(WAYS),
    workers=st.sampled_from([None, 1, 3]),
    memory=st.sampled_from([None, "1MB"]),
)
def test_random_arrays_read_back_equal(
    folder: Path,
    given_arrays: dict[str, tuple[np.ndarray, str]],
    way: dict[str, Any],
    workers: int | None,
    memory: str | None,
) -> None:
    plain = {name: array for name, (array, _) in given_arrays.items()}
    places = [name.strip("/").split("/") for name in plain]
    clash = any(a == b[: len(a)] for i, a in enumerate(places) for j, b in enumerate(places) if i != j)
    way = {} if way.get("compression") == "lzf" and memory else way  # HDF5's cache alone is larger
    options = {**way, "workers": workers, "memory": memory, "overwrite": True}
    laid_out = {name: strided(array, how) for name, (array, how) in given_arrays.items()}
    if clash:
        with pytest.raises(oc.errors.AddressError):
            oc.combine(laid_out, folder / "all.h5", **options)
        return
    made = oc.combine(laid_out, folder / "all.h5", **options)
    assert list(made) == list(plain)
    found = read(folder / "all.h5")
    assert set(found) == {name.strip("/") for name in plain}
    for name, array in plain.items():
        assert_same(found[name.strip("/")], array)
        assert_same(np.asarray(made[name]), array)
        assert made[name].spec == oc.open(f"{folder}/all.h5::/{name.strip('/')}").spec


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_any_source_gives_its_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = example((50, 7), "f4")
    structured = example((9,), [("a", "i4"), ("b", "S3")])
    np.save("c.npy", rows)
    np.save("f.npy", np.asfortranarray(rows))
    np.save("s.npy", structured)
    np.save("scalar.npy", np.float32(2))
    rows.tofile("raw.bin")
    oc.convert(rows, "x.h5::/flat")
    oc.convert(rows, "x.h5::/deep/chunked", chunks=(8, 3), compression="gzip")
    private = oc.open("c.npy", mode="c")
    private[0] = 5
    changed = rows.copy()
    changed[0] = 5
    file = h5py.File("x.h5")
    sources = {
        "address": ("c.npy", rows),
        "path": (Path("f.npy"), rows),
        "raw": (oc.open("raw.bin", dtype="f4", shape=(-1, 7)), rows),
        "flat": ("x.h5::/flat", rows),
        "chunked": (oc.open("x.h5::/deep/chunked"), rows),
        "dataset": (file["deep/chunked"], rows),
        "map": (np.load("c.npy", mmap_mode="r"), rows),
        "part of a map": (np.load("f.npy", mmap_mode="r")[10:20, ::2], rows[10:20, ::2]),
        "private": (private, changed),
        "field": (oc.open("s.npy")["a"], structured["a"]),
        "field in memory": (oc.asarray(structured)["b"], structured["b"]),
        "records": (structured.view(np.recarray), structured),
        "subclass": (rows.view(Subclass), rows),
        "list": ([[1.5, 2.5]], np.array([[1.5, 2.5]])),
        "number": (7, np.array(7)),
        "scalar": ("scalar.npy", np.array(2, "f4")),
        "no mask": (np.ma.masked_array(rows, False), rows),
        "again": ("c.npy", rows),
    }
    made = oc.combine({name: source for name, (source, _) in sources.items()}, "all.h5", **way)
    found = read("all.h5")
    assert set(found) == set(sources)
    for name, (_, expected) in sources.items():
        assert_same(found[name], np.asarray(expected, np.asarray(expected).dtype.newbyteorder("=")))
        assert_same(made[name][...] if made[name].ndim else np.asarray(made[name]), found[name])
    assert_same(private[0], np.full(7, 5, "f4"))  # what was given stays open, and as it was
    file.close()


def test_shared_arrays_and_views_of_them_go_straight_from_their_memory(tmp_path: Path) -> None:
    rows = example((1000, 6), "f8")
    shared = oc.share(rows)
    oc.combine({"all": shared, "part": shared[10:20], "columns": shared[:, ::2].T}, tmp_path / "all.h5")
    found = read(tmp_path / "all.h5")
    for name, expected in (
        ("all", rows),
        ("part", rows[10:20]),
        ("columns", np.ascontiguousarray(rows[:, ::2].T)),
    ):
        assert_same(found[name], expected)


def test_no_arrays_make_an_empty_file(tmp_path: Path) -> None:
    assert oc.combine({}, tmp_path / "all.h5", attrs={"/": {"made": "today"}}) == {}
    with h5py.File(tmp_path / "all.h5") as file:
        assert (list(file), dict(file.attrs)) == ([], {"made": "today"})


def test_enums_and_encodings_of_text_are_kept(tmp_path: Path) -> None:
    colour = h5py.enum_dtype({"RED": 1, "BLUE": 2}, basetype="u1")
    text = h5py.string_dtype("utf-8", 6)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("colour", data=np.array([1, 2, 1], "u1"), dtype=colour)
        file.create_dataset("text", data=np.array(["é".encode(), b"b"], text), chunks=(1,))
        file.create_dataset("table", data=np.zeros(2, [("c", colour), ("n", "f4")]))
        names = list(file)
        source = {name: f"{tmp_path}/x.h5::/{name}" for name in names}
        for way in ({}, {"compression": "gzip"}):
            oc.combine(source | {"given": np.ones(2, colour)}, tmp_path / "all.h5", overwrite=True, **way)
            with h5py.File(tmp_path / "all.h5") as made:
                for name in names:
                    assert made[name].id.get_type() == file[name].id.get_type()
                assert h5py.check_enum_dtype(made["given"].dtype) == {"RED": 1, "BLUE": 2}


def test_types_that_hdf5_must_convert_are_kept_in_numpys_terms(tmp_path: Path) -> None:
    padded = h5py.h5t.C_S1.copy()
    padded.set_size(4)
    padded.set_strpad(h5py.h5t.STR_SPACEPAD)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        space = h5py.h5s.create_simple((2,))
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"x", padded, space))
        dataset[...] = np.array([b"ab", b"cdef"])
    oc.combine({"x": f"{tmp_path}/x.h5::/x"}, tmp_path / "all.h5")
    assert read(tmp_path / "all.h5")["x"].tolist() == [b"ab", b"cdef"]


def test_large_datasets_begin_on_a_page(tmp_path: Path) -> None:
    made = oc.combine(
        {"a": np.zeros(5, "u1"), "b": np.zeros(100_000), "c": np.zeros(70_001, "u1")}, tmp_path / "all.h5"
    )
    assert [made[name].info["offset"] % 4096 for name in ("b", "c")] == [0, 0]


# ---- targets --------------------------------------------------------------------------------------


def test_an_existing_file_stays_unless_told_otherwise(tmp_path: Path) -> None:
    target = tmp_path / "all.h5"
    oc.combine({"old": np.zeros(3)}, target)
    with pytest.raises(oc.errors.ExistsError, match=r"all\.h5 exists(.|\n)*overwrite=True"):
        oc.combine({"new": np.ones(3)}, target)
    assert list(read(target)) == ["old"]
    oc.combine({"new": np.ones(3)}, target, overwrite=True)
    assert list(read(target)) == ["new"]
    assert left(tmp_path) == ["all.h5"]


def test_a_file_may_be_made_of_itself(tmp_path: Path) -> None:
    target = tmp_path / "all.h5"
    rows = example((100, 3), "f8")
    oc.combine({"a": rows, "b": rows + 1}, target)
    oc.combine({"b": f"{target}::/a", "a": f"{target}::/b"}, target, compression="gzip", overwrite=True)
    found = read(target)
    assert_same(found["a"], rows + 1)
    assert_same(found["b"], rows)


def test_arrays_are_added_below_a_group_of_an_existing_file(tmp_path: Path) -> None:
    target = tmp_path / "all.h5"
    with h5py.File(target, "w") as file:
        file["kept"] = np.arange(5)
        file["group/old"] = np.arange(3)
        file["group"].attrs["unit"] = "mm"
        file.attrs["title"] = "kept"
    with pytest.raises(oc.errors.ExistsError, match=r"all\.h5::/group/old exists"):
        oc.combine({"new": np.ones(2), "old": np.ones(2)}, f"{target}::/group")
    assert list(read(target)) == ["group/old", "kept"]
    attrs = {"/": {"unit": "cm", "more": 1}}
    oc.combine({"new": np.ones(2), "deep/x": np.ones(1)}, f"{target}::/group", attrs=attrs)
    with h5py.File(target) as file:
        assert dict(file["group"].attrs) == {"unit": "cm", "more": 1}
        assert dict(file.attrs) == {"title": "kept"}
    oc.combine({"old": np.full(2, 7)}, f"{target}::/group", overwrite=True)
    found = {name: values.tolist() for name, values in read(target).items()}
    assert found == {"group/deep/x": [1], "group/new": [1, 1], "group/old": [7, 7], "kept": [0, 1, 2, 3, 4]}
    assert left(tmp_path) == ["all.h5"]


def test_a_group_of_a_new_file(tmp_path: Path) -> None:
    made = oc.combine({"x": np.ones(2)}, f"{tmp_path}/all.h5::/a/b", attrs={"/": {"unit": "mm"}})
    assert made["x"].address == f"{tmp_path}/all.h5::/a/b/x"
    with h5py.File(tmp_path / "all.h5") as file:
        assert dict(file["a/b"].attrs) == {"unit": "mm"}
    oc.combine({}, f"{tmp_path}/all.h5::/empty")
    with h5py.File(tmp_path / "all.h5") as file:
        assert set(file) == {"a", "empty"}


@pytest.mark.parametrize(
    ("target", "names", "error", "text"),
    [
        ("all.h5::/data", ["x"], oc.errors.AddressError, r"all\.h5::/data is no group"),
        ("all.h5::/data/deep", ["x"], oc.errors.AddressError, r"all\.h5::/data is no group"),
        ("all.h5::/group", ["inner/y"], oc.errors.ExistsError, r"/group/inner/y is a group"),
        ("all.h5::/group", ["dead/y"], oc.errors.AddressError, r"/group/dead is a link that leads nowhere"),
        ("all.h5::/group", ["dead"], oc.errors.ExistsError, r"/group/dead exists and overwrite is False"),
        ("text.h5::/group", ["x"], oc.errors.FormatError, "not an HDF5 file"),
        ("no/all.h5", ["x"], oc.errors.NotFoundError, r"os\.makedirs"),
        ("all.npy", ["x"], oc.errors.AddressError, r'Use "all\.h5"'),
        ("all.h5::/..", ["x"], oc.errors.AddressError, "not a name"),
    ],
)
def test_a_target_that_cannot_be_leaves_all_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    names: list[str],
    error: type[Exception],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with h5py.File("all.h5", "w") as file:
        file["data"] = 1
        file.create_group("group/inner/y")
        file["group/dead"] = h5py.SoftLink("/nowhere")
    Path("text.h5").write_text("text")
    before = Path("all.h5").read_bytes()
    with pytest.raises(error, match=text):
        oc.combine(dict.fromkeys(names, np.zeros(2)), target)
    assert Path("all.h5").read_bytes() == before
    assert left(tmp_path) == ["all.h5", "text.h5"]


# ---- refused before any file is made --------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays_given", "options", "error", "text"),
    [
        ({"a": 1, "/a": 2}, {}, oc.errors.AddressError, r"'a' and '/a' are both .*all\.h5::/a"),
        ({"a": 1, "a/b": 2}, {}, oc.errors.AddressError, "'a/b' is below 'a'"),
        ({"a/b/c": 1, "a": 2}, {}, oc.errors.AddressError, "'a/b/c' is below 'a'"),
        ({"": 1}, {}, oc.errors.AddressError, "'' is not a name"),
        ({"a//b": 1}, {}, oc.errors.AddressError, "'a//b' is not a name"),
        ({"a/../b": 1}, {}, oc.errors.AddressError, "is not a name"),
        ({"a\0b": 1}, {}, oc.errors.AddressError, "is not a name"),
        ({"\ud800": 1}, {}, oc.errors.AddressError, "is not a name"),
        ({3: 1}, {}, oc.errors.AddressError, "3 is not a name"),
        ([1, 2], {}, oc.errors.OptionError, "arrays is a list, not a mapping"),
        ({"a": np.zeros(2, "O")}, {}, oc.errors.DTypeError, r"all\.h5::/a: dtype object"),
        ({"a": np.zeros(2, "U3")}, {}, oc.errors.DTypeError, r"all\.h5::/a: HDF5 has no type for dtype <U3"),
        ({"a": ["x", "y"]}, {}, oc.errors.DTypeError, r"all\.h5::/a: HDF5 has no type"),
        ({"a": np.zeros(2, [("t", "M8[s]"), ("u", "U3")])}, {}, oc.errors.DTypeError, "HDF5 has no type"),
        ({"a": np.zeros(2, [("t", "S0")])}, {}, oc.errors.DTypeError, "HDF5 has no type"),
        ({"a": np.zeros(2, [])}, {}, oc.errors.DTypeError, "HDF5 has no type"),
        ({"a": np.ma.masked_equal([1, 2, 2], 2)}, {}, oc.errors.DTypeError, r"'a'\] has 2 masked values"),
        ({"a": "missing.npy"}, {}, oc.errors.NotFoundError, r"missing\.npy"),
        ({}, {"compression": "zip"}, oc.errors.OptionError, "compression='zip'"),
        ({}, {"compression_opts": 3}, oc.errors.OptionError, "needs a compression"),
        ({"a": [1], "b": [[1]]}, {"chunks": (1,)}, oc.errors.OptionError, r"arrays\['b'\]: chunks=\(1,\)"),
        ({"a": [1]}, {"workers": 0}, oc.errors.OptionError, "workers=0"),
        ({"a": [1]}, {"workers": 2.0}, oc.errors.OptionError, "workers=2.0"),
        ({"a": [1]}, {"memory": "lots"}, oc.errors.OptionError, "memory='lots'"),
        ({"a": [1]}, {"progress": 3}, oc.errors.OptionError, "progress=3"),
        ({"g/a": [1]}, {"attrs": {"b": {}}}, oc.errors.OptionError, r"attrs\['b'\] is for nothing(.|\n)+/g"),
        ({"a": [1]}, {"attrs": {"a": 3}}, oc.errors.OptionError, r"attrs\['a'\] is a int"),
        ({"a": [1]}, {"attrs": {"a": {"x": {}}}}, oc.errors.DTypeError, r"attrs\['a'\]\['x'\] = \{\}"),
        ({"a": [1]}, {"attrs": {"a": {"x": np.array(["y"])}}}, oc.errors.DTypeError, "cannot be an attr"),
    ],
    ids=lambda value: ascii(value)[:40] if isinstance(value, (dict, list)) else "",
)  # fmt: skip
def test_what_cannot_be_is_refused_before_any_file_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arrays_given: Any,
    options: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    def no_file(*args: object, **kwargs: object) -> object:
        raise AssertionError("a file was made")

    monkeypatch.setattr(combining, "Partial", no_file)
    with pytest.raises(error, match=text):
        oc.combine(arrays_given, "all.h5", **options)
    assert left(tmp_path) == []


def test_a_source_that_is_closed_or_gone_is_refused_before_any_file_is_made(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    closed, gone = oc.open(tmp_path / "x.npy"), oc.open(tmp_path / "x.npy")
    closed.close()
    (tmp_path / "x.npy").unlink()
    for source, error in ((closed, oc.errors.ClosedError), (gone, oc.errors.OutcoreError)):
        with pytest.raises(error):
            oc.combine({"a": source}, tmp_path / "all.h5", overwrite=True)
    assert left(tmp_path) == []


# ---- the same file every time ---------------------------------------------------------------------


@pytest.mark.parametrize("way", [*WAYS[:-1], {"chunks": 1000, "compression": "gzip"}], ids=str)
def test_the_file_does_not_depend_on_the_number_of_threads(tmp_path: Path, way: dict[str, Any]) -> None:
    np.save(tmp_path / "x.npy", example((30_000, 40), "f4"))
    given_arrays = {
        "c": example((300_000, 9), "f8"),
        "f": np.asfortranarray(example((50_000, 20), "i4")),
        "s": example((5000, 3), PADDED)[:, ::-1],
        "disk": tmp_path / "x.npy",
        **{f"many/{i}": example((i,), "u1") for i in range(30)},
    }
    written = set()
    for workers, memory in ((1, "100MB"), (2, "100MB"), (5, "20MB")):
        oc.combine(given_arrays, tmp_path / "all.h5", workers=workers, memory=memory, overwrite=True, **way)
        written.add((tmp_path / "all.h5").read_bytes())
    assert len(written) == 1


def test_progress_counts_bytes_and_is_reported_by_the_calling_thread(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", example((1000, 40), "f4"))
    given_arrays = {
        "a": np.ones((1000, 6000)),
        "f": np.asfortranarray(np.ones((500, 6000))),
        "d": tmp_path / "x.npy",
    }
    total = 1500 * 6000 * 8 + 160_000
    for way in ({}, {"compression": "lzf"}):
        done: list[tuple[int, int]] = []
        threads = set()

        def report(n: int, of: int, done: list[tuple[int, int]] = done, threads: set[int] = threads) -> None:
            done.append((n, of))
            threads.add(threading.get_ident())

        oc.combine(given_arrays, tmp_path / "all.h5", progress=report, overwrite=True, workers=4, **way)
        assert done[-1] == (total, total)
        assert done == sorted(done)
        assert threads == {threading.get_ident()}


def test_more_files_than_descriptors(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    for i in range(150):
        np.save(tmp_path / f"{i}.npy", np.full(3, i))
    sources = {f"x{i}": tmp_path / f"{i}.npy" for i in range(150)}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, hard))
    try:
        for way in ({}, {"compression": "gzip"}):
            oc.combine(sources, tmp_path / "all.h5", overwrite=True, **way)
            assert read(tmp_path / "all.h5")["x149"].tolist() == [149] * 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
