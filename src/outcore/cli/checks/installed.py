"""What is installed: versions, and packages that outcore uses if they are there."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from outcore.cli.checks.finding import Finding

#: Package, what it is good for, and the extra that brings it.
OPTIONAL = (
    ("isal", "gzip chunks of HDF5 are read about a third faster", "fast"),
    ("numcodecs", "zstd, blosc and lz4 chunks are read by several threads", "codecs"),
    ("hdf5plugin", "HDF5 files with zstd, blosc, lz4 or bitshuffle can be read", "codecs"),
)


def versions() -> Finding:
    """Tell the versions that a bug report needs."""
    figures = {"outcore": version("outcore"), "numpy": version("numpy"), "python": platform.python_version()}
    text = ", ".join(f"{name} {number}" for name, number in figures.items())
    return Finding("versions", text, figures=figures)


def optional(name: str, use: str, extra: str) -> Finding:
    """Tell whether an optional package is there."""
    if find_spec(name) is None:
        return Finding(name, f"not installed; with it {use}", f"pip install 'outcore[{extra}]'")
    try:
        number = version(name)
    except PackageNotFoundError:  # importable from a folder, without having been installed
        number = "of unknown version"
    return Finding(name, f"{number}: {use}", figures={"version": number})
