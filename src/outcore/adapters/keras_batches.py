"""Say what is wrong with a batch that Keras would refuse, or train nonsense on.

Hands to   : adapters.keras_dataset
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from outcore.errors import DTypeError, OptionError, ShapeError

#: Kinds of dtype that become tensors: of numbers.
NUMBERS = "biufcV"  # V: bfloat16 and other numbers of ml_dtypes; void without fields is told apart below


def check(batch: Any) -> Any:
    """Return a batch as it is.

    Raises
    ------
    DTypeError
        It has fields, or text.
    OptionError
        A tuple of more than (x, y, weights).
    ShapeError
        It has no sample.
    """
    if isinstance(batch, (tuple, list)) and not 1 <= len(batch) <= 3:
        raise OptionError(
            f"a batch of the loader has {len(batch)} parts; Keras takes (x,), (x, y) or (x, y, weights).\n"
            "Give several inputs as a dict: transform=lambda batch, rng: "
            '({"a": batch[0], "b": batch[1]}, batch[2]).'
        )
    for name, array in _arrays(batch, "the batch"):
        dtype = array.dtype
        if dtype.names is not None:
            fields = ", ".join(dtype.names)
            raise DTypeError(
                f"{name} is a structured array, of the fields {fields}; Keras takes arrays of numbers.\n"
                "Say which fields are x and y: "
                f'Loader(..., transform=oc.transforms.select(y={dtype.names[-1]!r}, dtype="f4")).'
            )
        if dtype.kind not in NUMBERS:
            raise DTypeError(
                f"{name} has dtype {dtype}; Keras takes arrays of numbers.\n"
                "Leave it out by transform=oc.transforms.select(...), or make it numbers by "
                "oc.transforms.one_hot(...)."
            )
        if array.shape[0] == 0:
            raise ShapeError(
                f"{name} has no sample: this rank has no share in the step, and the mean of nothing is NaN.\n"
                "Use Loader(..., drop_last=True) where several ranks train together."
            )
    return batch


def _arrays(batch: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(batch, dict):
        for key, part in batch.items():
            yield from _arrays(part, f"{name}[{key!r}]")
    elif isinstance(batch, (tuple, list)):
        for i, part in enumerate(batch):
            yield from _arrays(part, f"{name}[{i}]")
    elif hasattr(batch, "dtype"):
        yield name, batch
