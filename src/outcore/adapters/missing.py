"""Import an adapter, or say which package to install.

Hands to   : `Loader.to_keras`, `Loader.to_torch`

An adapter imports its framework at its top, as every module does, so the adapter itself is what is imported
late: when a loader is asked for it.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from outcore.errors import MissingPackageError

NAMES = {"keras": "Keras", "torch": "PyTorch"}
#: What Keras computes with; it imports one of them, TensorFlow where nothing was chosen.
KERAS_BACKENDS = {"tensorflow", "torch", "jax", "openvino"}


def load(name: str, extra: str) -> ModuleType:
    """Import the adapter `name`, a module of `outcore.adapters`.

    Parameters
    ----------
    name : str
        For example ``"torch_dataset"``.
    extra : str
        The extra of outcore that installs what the adapter needs; also the name of the package.

    Returns
    -------
    module

    Raises
    ------
    MissingPackageError
        The package, or something that it needs, is not installed or cannot be loaded.
    """
    try:
        return importlib.import_module(f"outcore.adapters.{name}")
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "outcore":
            raise  # our own mistake: no package to install would mend it
        raise MissingPackageError(_text(extra, error), name=error.name, path=error.path) from error


def _text(extra: str, error: ImportError) -> str:
    framework = NAMES.get(extra, extra)
    if isinstance(error, ModuleNotFoundError) and error.name == extra:
        return f'{framework} is not installed: {error}.\nType: pip install "outcore[{extra}]"'
    if extra == "keras" and error.name in KERAS_BACKENDS:
        chosen = os.environ.get("KERAS_BACKEND") or "no backend chosen, so tensorflow"
        return (
            f"Keras is installed, but not what it is to compute with ({chosen}): {error}.\n"
            'Set KERAS_BACKEND="torch" or "jax" in the environment before Keras is imported, '
            f"or type: pip install {error.name}"
        )
    return (
        f"{framework} cannot be imported: {error}.\n"
        f'`python -c "import {extra}"` should work first; perhaps: '
        f'pip install --force-reinstall "outcore[{extra}]"'
    )
