"""Turn the arrays of a batch into tensors, without a copy where PyTorch allows it.

Hands to   : adapters.torch_dataset

Guarantees
- A tensor shares its array's memory and keeps it alive, so memory that is lent out is not used again before
  the tensor has gone. Nobody else writes there.
- A copy is made only of what PyTorch cannot look at: another byte order, negative or odd strides, and memory
  that must not be written, of which PyTorch would make a tensor that crashes when it is.
- uint16, uint32 and uint64 stay what they are, although PyTorch computes little with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from outcore.errors import DTypeError

_NUMBERS = frozenset("?bBhHiIlLqQefdFD")


def as_tensors(batch: Any, name: str = "batch") -> Any:
    """Make tensors of the arrays in a batch: an array, or a tuple, list or mapping of batches.

    Parameters
    ----------
    batch : ndarray, or tuple, list or mapping
        Writable arrays that nobody else has; tensors among them stay as they are.
    name : str
        What an error calls it.

    Returns
    -------
    Tensor, or tuple, list or dict of tensors

    Raises
    ------
    DTypeError
        An array of anything but numbers.

    Notes
    -----
    Memory: none, but for the copies that the module's text tells of.

    Examples
    --------
    >>> from outcore.adapters.torch_tensors import as_tensors
    >>> as_tensors((np.array([1.5, 2.5]), np.array([0, 1])))
    (tensor([1.5000, 2.5000], dtype=torch.float64), tensor([0, 1]))
    """
    if isinstance(batch, Mapping):
        return {key: as_tensors(part, f"{name}[{key!r}]") for key, part in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)([as_tensors(part, f"{name}[{place}]") for place, part in enumerate(batch)])
    if isinstance(batch, torch.Tensor):
        return batch
    if isinstance(batch, np.ndarray | np.generic):
        return torch.from_numpy(_fitting(np.asarray(batch), name))
    raise DTypeError(
        f"{name} is a {type(batch).__name__}, of which no tensor can be made.\n"
        "Let the transform return an ndarray, or a tuple or dict of ndarrays."
    )


def _fitting(array: NDArray[Any], name: str) -> NDArray[Any]:
    dtype = array.dtype
    if dtype.char not in _NUMBERS:
        raise DTypeError(f"{name} has the dtype {dtype}, which PyTorch does not have.\n{_advice(dtype)}")
    if not dtype.isnative:
        return array.astype(dtype.newbyteorder("="))
    odd = any(stride < 0 or stride % dtype.itemsize for stride in array.strides)
    return array.copy() if odd or not array.flags.writeable else array


def _advice(dtype: np.dtype[Any]) -> str:
    if dtype.names is not None:
        fields = ", ".join(map(repr, dtype.names))
        return (
            "A tensor has no fields. Make arrays of numbers out of them with\n"
            f"  transform=oc.transforms.select(...), which knows the fields {fields:.200}."
        )
    if dtype.kind in "mM":
        return 'Use transform=oc.transforms.astype("int64") for what it counts.'
    if dtype.kind in "fc":
        return f'Use transform=oc.transforms.astype("{"float64" if dtype.kind == "f" else "complex128"}").'
    return (
        "A tensor holds numbers. Use transform=oc.transforms.select(...) to choose what is to be one, or\n"
        "oc.transforms.one_hot for labels."
    )
