from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from outcore.storage import formats


@pytest.mark.parametrize(
    ("address", "path", "inner"),
    [
        ("/d/x.npy", "/d/x.npy", ""),
        ("/d/f.h5::/g/x", "/d/f.h5", "/g/x"),
        ("/d/f.h5::g/x/", "/d/f.h5", "/g/x"),
        ("/d/../e/x.npy", "/e/x.npy", ""),
        ("/d/f.h5::/a::b", "/d/f.h5", "/a::b"),
    ],
)
def test_addresses_are_cut_into_a_path_and_a_name(address: str, path: str, inner: str) -> None:
    assert formats.split(address) == (path, inner)


def test_relative_paths_and_the_home_folder_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert formats.split("x.npy") == (str(tmp_path / "x.npy"), "")
    assert formats.split(Path("x.npy")) == (str(tmp_path / "x.npy"), "")
    assert formats.split("~/x.npy") == ("/home/me/x.npy", "")


@pytest.mark.parametrize("address", ["", "::/x", "f.h5::", "f.h5::/"])
def test_empty_parts_are_refused(address: str) -> None:
    with pytest.raises(oc.errors.AddressError, match=r"is empty(?s:.*)run\.h5::/group/x"):
        formats.split(address)


def test_bytes_are_not_an_address() -> None:
    with pytest.raises(oc.errors.AddressError):
        formats.split(os.fsencode("x.npy"))  # type: ignore[arg-type]


def test_npy_is_known_by_its_name_or_its_first_bytes(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    (tmp_path / "x.NPY").write_bytes((tmp_path / "x.npy").read_bytes())
    (tmp_path / "x.data").write_bytes((tmp_path / "x.npy").read_bytes())
    for name in ("x.npy", "x.NPY", "x.data"):
        assert oc.open(tmp_path / name)[:].tolist() == [0, 1, 2]


def test_a_missing_file_says_where_the_trail_ends(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.NotFoundError, match=str(tmp_path)):
        oc.open(tmp_path / "no" / "x.npy")
    with pytest.raises(FileNotFoundError):
        oc.open(tmp_path / "x.h5::/x")


def test_a_folder_is_not_an_array(tmp_path: Path) -> None:
    with pytest.raises(oc.errors.FormatError, match="is a folder"):
        oc.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x89PNG\r\n"])
def test_a_file_that_is_no_array_shows_its_first_bytes_and_what_to_type(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(oc.errors.FormatError, match=r"dtype=(?s:.*)oc\.ingest") as caught:
        oc.open(tmp_path / "x.csv")
    assert repr(content[:8]) in str(caught.value)


def test_a_dtype_or_shape_that_contradicts_the_file_names_both(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    with pytest.raises(oc.errors.OptionError, match=r"holds \(3, 2\) float64; dtype=float32"):
        oc.open(tmp_path / "x.npy", dtype="f4")
    with pytest.raises(oc.errors.OptionError, match=r"shape=\(2, 3\)"):
        oc.open(tmp_path / "x.npy", shape=(2, 3))
    assert oc.open(tmp_path / "x.npy", dtype="f8", shape=(3, 2)).shape == (3, 2)


def test_reading_npy_imports_no_other_format(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    code = (
        "import sys, outcore as oc; oc.open(sys.argv[1])[:]; oc.open(sys.argv[1], dtype='i8');"
        "print({'h5py', 'polars', 'scipy', 'rich', 'outcore.storage.hdf5'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "x.npy"], capture_output=True, text=True)
    assert run.stdout == "set()\n", run.stderr
