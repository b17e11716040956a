"""What a fit is a fit of: by which a checkpoint is known again.

Reads from : array.Array, mixture.wishes
Hands to   : mixture.checkpoint

What is in a file is known by its size, its time of change and a sample of its rows; by its name it is not,
since files move. Rows in memory are known by a sample alone, or all of them where they are few.
"""

from __future__ import annotations

import hashlib
from numbers import Integral
from typing import Any

import numpy as np

from outcore.array.handle import Array
from outcore.blocks.streaming import row_blocks
from outcore.mixture.parameters import Given
from outcore.mixture.wishes import Wishes

#: Arrays up to this size are looked at as a whole.
WHOLE_BYTES = 16 << 20
#: Of larger ones so many rows, evenly spread, unless they take more memory than this.
SAMPLED_ROWS, SAMPLED_BYTES = 1024, 4 << 20

#: What has no influence on the result.
_SILENT = ("verbose", "verbose_interval", "warm_start")


def identify(
    wishes: Wishes, given: Given, random_state: Any, array: Array, weights: Array | None
) -> dict[str, Any]:
    """Return plain values that are the same for the same fit.

    Parameters
    ----------
    wishes : Wishes
    given : Given
        What the user gives to start from.
    random_state : object
        As the user gave it.
    array, weights : Array
        The rows and their weights.
    """
    facts = {name: getattr(wishes, name) for name in Wishes.__annotations__ if name not in _SILENT}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in facts.items()}
    return {
        **plain,
        "random_state": _seed(random_state),
        "weights_init": _digest_of(given.weights),
        "means_init": _digest_of(given.means),
        "precisions_init": _digest_of(given.whitening),
        **_about("X", array),
        **({"sample_weight": None} if weights is None else _about("sample_weight", weights)),
    }


def _seed(random_state: Any) -> int | str:
    if isinstance(random_state, Integral):
        return int(random_state)
    kind = type(random_state).__name__
    # Of a generator the kind must be the same, for its state to be set; the state itself is in the
    # checkpoint.
    inner = getattr(random_state, "bit_generator", None)
    return kind if inner is None else f"{kind}({type(inner).__name__})"


def _about(name: str, array: Array) -> dict[str, Any]:
    mark = array.spec.fingerprint
    return {
        f"{name}.shape": list(array.shape),
        f"{name}.dtype": str(array.dtype),
        f"{name} (digest of rows)": _probe(array),
        f"{name} (file: bytes, time of change)": None if mark is None else [mark.size, mark.mtime_ns],
    }


def _probe(array: Array) -> str:
    digest = hashlib.blake2b(digest_size=16)
    if array.nbytes <= WHOLE_BYTES:
        for _, block in row_blocks(array):
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()
    row_bytes = max(array.nbytes // len(array), 1)
    n = max(2, min(SAMPLED_ROWS, SAMPLED_BYTES // row_bytes, len(array)))
    rows = np.linspace(0, len(array) - 1, n).astype(np.int64)
    digest.update(np.ascontiguousarray(array.take(rows)).data)
    return digest.hexdigest()


def _digest_of(values: Any) -> str | None:
    if values is None:
        return None
    return hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=16).hexdigest()
