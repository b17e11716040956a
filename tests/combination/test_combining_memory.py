"""Memory of combine: what it needs beside the arrays, under a limit that the kernel enforces."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import outcore as oc
from outcore.combination import combining
from tests.cgroup import Outcome

MB = 1_000_000

MEASURED = """
import sys
import h5py, numpy as np, outcore as oc
from outcore.combination import combine

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024

def shared():
    made = oc.shared_empty((1_000_000, 10), "f8")
    made[:] = 1
    return made

source = eval(sys.argv[1])
print(anonymous(), flush=True)
oc.combine({"a": source, "b": np.ones(10)}, "all.h5", memory="32MB", **eval(sys.argv[2]))
"""


@pytest.mark.parametrize("way", ["{}", "{'compression': 'gzip', 'compression_opts': 1}"])
@pytest.mark.parametrize(
    "source",
    [
        "np.ones((1_000_000, 10))",
        "np.ones((1_000_000, 10), order='F')",
        "'f.npy'",
        "'c.npy'",
        "np.load('c.npy', mmap_mode='r')",
        "shared()",
    ],
)
def test_arrays_are_not_copied_beside_themselves(
    cgroup: Callable[..., Outcome], tmp_path: Path, source: str, way: str
) -> None:
    if "c.npy" in source:
        np.save(tmp_path / "c.npy", np.ones((1_000_000, 10)))
    if "f.npy" in source:
        np.save(tmp_path / "f.npy", np.asfortranarray(np.ones((1_000_000, 10))))
    outcome = cgroup([sys.executable, "-c", MEASURED, source, way], 330 * MB, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    # A shared array is anonymous to the group, but not to the process.
    before = int(outcome.stdout) + (80 * MB if "share" in source else 0)
    # The budget, and modules that are loaded on the way.
    assert outcome.peak_anonymous - before < 60 * MB
    with oc.open(f"{tmp_path}/all.h5::/a") as found:
        assert found.shape == (1_000_000, 10)
        assert (found[-10:] == 1).all()


@pytest.mark.parametrize(
    ("source", "way", "text"),
    [
        (np.asfortranarray(np.ones((100, 100))), {"memory": "10kB"}, r"a buffer to copy through 65\.5 kB"),
        ("wide.npy", {"memory": "1MB"}, r"combine\('a'\) needs 3\.2 MB(.|\n)*one row 1\.6 MB"),
        (np.ones((99, 2000)), {"memory": "1MB", "chunks": 99}, r"needs 4\.8 MB(.|\n)*smaller chunks"),
        ("wide.npy", {"memory": "6MB", "compression": "gzip"}, r"being compressed(.|\n)*a row of chunks"),
        ("wide.npy", {"memory": "6MB", "compression": "lzf"}, "being compressed"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_any_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: object, way: dict[str, object], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("wide.npy", np.ones((10, 200_000)))

    def no_file(*args: object, **kwargs: object) -> object:
        raise AssertionError("a file was made")

    monkeypatch.setattr(combining, "Partial", no_file)
    with pytest.raises(oc.errors.MemoryBudgetError, match=text):
        oc.combine({"ok": np.ones(3), "a": source}, "all.h5", **way)  # type: ignore[arg-type]


def test_rows_in_one_piece_in_memory_need_no_memory(tmp_path: Path) -> None:
    made = oc.combine({"a": np.ones((1000, 1000))}, tmp_path / "all.h5", memory=1)
    assert made["a"].nbytes == 8 * MB


@pytest.mark.parametrize("fits", [True, False])
def test_a_budget_below_a_row_of_chunks_is_worked_with(tmp_path: Path, fits: bool) -> None:
    np.save(tmp_path / "x.npy", np.arange(4_000_000.0).reshape(1000, 4000))
    options = {"chunks": (250, 10), "compression": "gzip", "compression_opts": 1}
    made = oc.combine(
        {"a": tmp_path / "x.npy"}, tmp_path / "all.h5", memory="20MB" if fits else "9MB", **options
    )
    with made["a"] as found:
        assert np.array_equal(found[:], np.arange(4_000_000.0).reshape(1000, 4000))
