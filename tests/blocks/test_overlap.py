"""Whether arrays have bytes in common, in memory and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import outcore as oc
from outcore.blocks.overlap import overlap

SAME, SOME, NONE = "same rows", "some", None


def made(tmp_path: Path) -> dict[str, Any]:
    a = np.arange(60.0).reshape(20, 3)
    record = np.zeros(20, [("a", "f8"), ("b", "f8")])
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "f.npy", np.asfortranarray(a))
    np.save(tmp_path / "r.npy", record)
    (tmp_path / "link.npy").symlink_to(tmp_path / "a.npy")
    oc.convert(a, f"{tmp_path}/a.h5::/flat")
    oc.convert(a, f"{tmp_path}/a.h5::/chunked", chunks=(5, 3), compression="gzip")
    oc.convert(a, f"{tmp_path}/a.h5::/other")
    shared = oc.share(a)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r+")
    return {
        "a": a,
        "a again": a[:],
        "rows 1 on": a[1:],
        "backwards": a[::-1],
        "even": a[::2],
        "odd": a[1::2],
        "first column": a[:, :1],
        "second column": a[:, 1:2],
        "copy": a.copy(),
        "field a": record["a"],
        "field b": record["b"],
        "shared": shared,
        "shared again": oc.asarray(shared),
        "npy": tmp_path / "a.npy",
        "link": tmp_path / "link.npy",
        "r+": oc.open(tmp_path / "a.npy", "r+"),
        "private": oc.open(tmp_path / "a.npy", "c"),
        "fortran": tmp_path / "f.npy",
        "memmap": mapped,
        "memmap backwards": mapped[::-1],
        "first half": oc.asarray(mapped[:10]),
        "second half": oc.asarray(mapped[10:]),
        "file a": oc.open(tmp_path / "r.npy")["a"],
        "file b": oc.open(tmp_path / "r.npy", "r+")["b"],
        "flat": f"{tmp_path}/a.h5::/flat",
        "chunked": f"{tmp_path}/a.h5::/chunked",
        "chunked r+": oc.open(f"{tmp_path}/a.h5::/chunked", "r+"),
        "other": f"{tmp_path}/a.h5::/other",
    }


CASES: list[tuple[str, str, str | None]] = [
    ("a", "a again", SAME),
    ("a", "copy", NONE),
    ("a", "rows 1 on", SOME),
    ("a", "backwards", SOME),
    ("a", "even", SOME),
    ("even", "odd", NONE),
    ("first column", "second column", NONE),
    ("a", "first column", SOME),
    ("field a", "field b", NONE),
    ("shared", "shared again", SAME),
    ("shared", "a", NONE),
    ("a", "npy", NONE),
    ("npy", "r+", SAME),
    ("npy", "link", SAME),
    ("private", "r+", SAME),
    ("npy", "memmap", SAME),
    ("npy", "memmap backwards", SOME),
    ("private", "memmap backwards", SOME),
    ("copy", "memmap backwards", NONE),
    ("npy", "fortran", NONE),
    ("npy", "first half", SOME),
    ("first half", "second half", NONE),
    ("file a", "file b", SAME),
    ("flat", "other", NONE),
    ("flat", "chunked", NONE),
    ("chunked", "chunked r+", SOME),
]


def test_overlap(tmp_path: Path) -> None:
    arrays = made(tmp_path)
    for one, other, expected in CASES:
        assert (one, other, overlap(oc.asarray(arrays[one]), oc.asarray(arrays[other]))) == (
            one,
            other,
            expected,
        )
        assert (other, one, overlap(oc.asarray(arrays[other]), oc.asarray(arrays[one]))) == (
            other,
            one,
            expected,
        )


def test_what_cannot_be_said_in_time_is_taken_to_overlap() -> None:
    memory = np.zeros(1 << 16, np.uint8)
    shape, lengths = (5, 5, 5, 5, 5, 5), [(101, 103, 107, 109, 113, 127), (131, 137, 139, 149, 151, 157)]
    one, other = (np.lib.stride_tricks.as_strided(memory, shape, strides) for strides in lengths)
    assert overlap(oc.asarray(one), oc.asarray(other)) is not None


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.save(tmp_path / "b.npy", np.zeros(3))
    a, b = oc.open(tmp_path / "a.npy"), oc.open(tmp_path / "b.npy")
    (tmp_path / "a.npy").unlink()
    assert overlap(b, b) == SAME
    with pytest.raises(oc.errors.NotFoundError):
        overlap(a, b)
