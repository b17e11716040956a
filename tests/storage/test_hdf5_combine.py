"""Sessions that make many datasets, and what becomes of them after an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import outcore as oc
from outcore.storage.hdf5_attributes import Attributes
from outcore.storage.hdf5_combine import New, check_room, chunk_session, chunk_writer, make_datasets, session
from outcore.storage.hdf5_options import Options
from outcore.testing import assert_same, example

FLAT = Options(None, {})
CHUNKS = Options(
    (4, 3), {"compression": "lzf", "shuffle": True, "fletcher32": False, "compression_opts": None}
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "x.h5").write_bytes(b"")
    return str(tmp_path / "x.h5")


def test_what_is_made_is_where_it_says(path: str) -> None:
    rows = example((10, 3), "f8")
    news = [New(f"/g/{i}", rows.shape, rows.dtype, options) for i, options in enumerate((FLAT, CHUNKS, FLAT))]
    news.append(New("/none", (0, 3), rows.dtype, FLAT))
    with Attributes() as attributes:
        attributes.add("/g", {"unit": "mm"}, "")
        made = make_datasets(path, "/empty/group", news, attributes)
    assert [one.offset is None for one in made] == [False, True, False, True]
    with open(path, "r+b") as file:
        for one in (made[0], made[2]):
            assert one.offset is not None
            file.seek(one.offset)
            file.write(rows.tobytes())
    with chunk_session(path, news[1:2]) as h5:
        writer = chunk_writer(path, h5, news[1], threads=1)
        writer.write_rows(0, rows)
        writer.finish()
        writer.close()
        assert h5  # others may follow
    with h5py.File(path) as found:
        for i in range(3):
            assert_same(found[f"g/{i}"][:], rows)
        assert found["none"].shape == (0, 3)
        assert dict(found["g"].attrs) == {"unit": "mm"}
        assert list(found["empty/group"]) == []
    fingerprint = oc.open(f"{path}::/g/0").spec.fingerprint
    assert fingerprint is not None
    for one in made:
        assert one.spec(path, fingerprint) == oc.open(f"{path}::{one.inner}").spec


def test_after_an_error_nothing_of_the_session_reaches_the_file(path: str) -> None:
    with session(path) as h5:
        h5["before"] = np.arange(3)
    before = Path(path).read_bytes()
    opened = []

    def fail() -> None:
        with session(path) as h5:
            opened.append(h5)
            h5["after"] = np.arange(1000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not opened[0]
    found = Path(path).read_bytes()
    assert b"before" in before
    assert b"after" not in found  # its values may be there, but nothing leads to them


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_that_was_forked_meanwhile_does_not_harm_the_file(path: str) -> None:
    # HDF5 writes what it holds when a process exits: in the child, the state at the time of the fork.
    source = """
import ctypes, os, sys
from outcore.storage.hdf5_combine import session
with session(sys.argv[1]) as h5:
    for i in range(20):
        h5[f"first/{i}"] = i
    go, wait = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(wait)
        os.read(go, 1)  # until the parent has closed the file
        ctypes.CDLL(None).exit(0)  # the session is another thread's, so nothing unwinds it here
    for i in range(200):
        h5[f"second/{i}"] = i
    h5.attrs["done"] = True
os.close(wait)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = subprocess.run([sys.executable, "-c", source, path], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    with h5py.File(path) as found:
        assert found.attrs["done"]
        assert (len(found["first"]), len(found["second"])) == (20, 200)


def test_room_below_a_group(path: str) -> None:
    with h5py.File(path, "w") as file:
        file["g/x"] = 1
        file["g/to"] = h5py.SoftLink("/g/x")
    check_room(path, "/", ["/y"], overwrite=False)
    check_room(path, "/g", ["/g/y", "/g/new/z"], overwrite=False)
    check_room(path, "/g", ["/g/x", "/g/to"], overwrite=True)
    for name in ("/g/x", "/g/to"):
        with pytest.raises(oc.errors.ExistsError, match=f"{name} exists"):
            check_room(path, "/g", [name], overwrite=False)
        with pytest.raises(oc.errors.AddressError, match=f"{name} is no group"):
            check_room(path, "/g", [f"{name}/deep"], overwrite=True)
    with pytest.raises(oc.errors.ExistsError, match="/g is a group"):
        check_room(path, "/", ["/g"], overwrite=True)
