"""Open the array that the arguments name.

Hands to   : the verbs that read
"""

from __future__ import annotations

from argparse import Namespace

from outcore.array.handle import Array
from outcore.array.opening import open_array
from outcore.dtypes import as_dtype


def open_from(arguments: Namespace) -> Array:
    """Open the array; ``--dtype``, ``--shape`` and ``--offset`` describe raw binary."""
    dtype = None if arguments.dtype is None else as_dtype(arguments.dtype)
    return open_array(arguments.address, dtype=dtype, shape=arguments.shape, offset=arguments.offset)
