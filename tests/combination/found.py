"""What is in a folder, and in an HDF5 file, after combining.

Hands to   : the tests of combination
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def read(path: Path | str) -> dict[str, np.ndarray]:
    """All datasets, by h5py."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, thing: found.update({name: thing[...]}) if isinstance(thing, h5py.Dataset) else None
        )
    return found
