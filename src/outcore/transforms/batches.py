"""The arrays of a batch: found by key, changed, and put back.

Hands to   : the transforms

Guarantees
- Containers are made anew, never changed: the caller's tuple or dict is as it was.
- `in_place` is True only for arrays that are writable and share no memory with a part of the batch that was
  not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outcore.errors import FieldError, OptionError, TransformError

#: An array, or a tuple, list or dict of batches.
Batch: TypeAlias = Any
#: ``transform(batch, rng) -> batch``
Transform: TypeAlias = Callable[..., Batch]
#: The place of an element in a tuple, or its name in a dict.
Key: TypeAlias = int | str
#: ``change(array, in_place, name) -> array``; `name` is what errors call the array.
Change: TypeAlias = Callable[[NDArray[Any], bool, str], NDArray[Any]]

#: What errors call the batch itself.
BATCH = "batch"


def as_key(transform: str, key: Any, option: str = "key") -> Key:
    """Check one key.

    Raises
    ------
    OptionError
        Neither a place nor a name.
    """
    if isinstance(key, str):
        return key
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return int(key)
    raise OptionError(
        f"{transform}: {option}={key!r} is neither the place of an element in a tuple nor a name in a dict.\n"
        f'Use for example {option}=0 or {option}="x".'
    )


def as_keys(transform: str, keys: Any) -> tuple[Key, ...] | None:
    """Check `keys`: None, one key or several.

    Raises
    ------
    OptionError
        None of these, or no key at all.
    """
    if keys is None:
        return None
    several = list(keys) if isinstance(keys, (tuple, list, set, frozenset, range)) else [keys]
    if not several:
        raise OptionError(f"{transform}: keys={keys!r} names no element.\nUse keys=None for all of them.")
    return tuple(as_key(transform, key, "keys") for key in several)


def changed(transform: str, batch: Batch, keys: Sequence[Key] | None, change: Change) -> Batch:
    """Change the arrays in the elements `keys`, or all arrays.

    Raises
    ------
    FieldError
        No such element.
    TransformError
        Not a batch.
    """
    if keys is None:
        return _deep(transform, batch, change, [], BATCH)
    chosen = {_place(transform, batch, key) for key in keys}
    elements = dict(_elements(batch))
    rest = [array for key, part in elements.items() if key not in chosen for array in _arrays(part)]
    for key in chosen:
        elements[key] = _deep(transform, elements[key], change, rest, _called(BATCH, key))
    return _again(batch, list(elements.values()))


def changed_one(transform: str, batch: Batch, key: Key | None, default: int, change: Change) -> Batch:
    """Change one array: the batch itself, the element `default` of a tuple, or the element `key`.

    Raises
    ------
    FieldError
        No such element, or a dict and no key.
    TransformError
        Not a batch, or the element holds several arrays.
    """
    if key is None and isinstance(batch, dict):
        raise FieldError(
            f"{transform}: the batch is a dict, and no key= says which of its arrays is meant.\n"
            f"{_there(batch)}"
        )
    if key is None and not isinstance(batch, (tuple, list)):
        return changed(transform, batch, None, change)
    key = default if key is None else key
    element = dict(_elements(batch))[_place(transform, batch, key)]
    if isinstance(element, (tuple, list, dict)):
        raise TransformError(
            f"{transform}: {_called(BATCH, key)} is a {type(element).__name__}; expected one array.\n"
            "Use a function of your own for batches of this kind."
        )
    return changed(transform, batch, (key,), change)


def the_array(transform: str, batch: Batch) -> NDArray[Any]:
    """Return the batch, which must be one array.

    Raises
    ------
    TransformError
        It is not.
    """
    if isinstance(batch, (tuple, list, dict)):
        raise TransformError(
            f"{transform}: the batch is a {type(batch).__name__} of {len(batch)} elements; expected one "
            "array, plain or structured.\nIts parts are apart already: give the loader those that you need."
        )
    return _checked(transform, batch, BATCH)


def _deep(transform: str, batch: Batch, change: Change, rest: list[NDArray[Any]], name: str) -> Batch:
    if isinstance(batch, (tuple, list, dict)):
        return _again(
            batch,
            [_deep(transform, part, change, rest, _called(name, key)) for key, part in _elements(batch)],
        )
    array = _checked(transform, batch, name)
    # By the bounds of their memory: a wrong yes costs one allocation, and an exact answer may cost much time.
    shared = any(np.may_share_memory(array, other) for other in rest)
    return change(array, array.flags.writeable and not shared, name)


def _checked(transform: str, array: Any, name: str) -> NDArray[Any]:
    if isinstance(array, np.ndarray):
        return array
    raise TransformError(
        f"{transform}: {name} is a {type(array).__name__}; expected a NumPy array.\n"
        "Use numpy.asarray, or put this transform before the one that makes something else of the arrays."
    )


def _elements(batch: Batch) -> Iterator[tuple[Key, Batch]]:
    return iter(batch.items()) if isinstance(batch, dict) else enumerate(batch)


def _arrays(batch: Batch) -> Iterator[NDArray[Any]]:
    if isinstance(batch, (tuple, list, dict)):
        for _, part in _elements(batch):
            yield from _arrays(part)
    elif isinstance(batch, np.ndarray):
        yield batch


def _again(batch: Batch, parts: list[Batch]) -> Batch:
    """Make a container like `batch` of other parts."""
    if isinstance(batch, dict):
        return dict(zip(batch, parts, strict=True))
    if isinstance(batch, list):
        return parts
    # A named tuple takes its parts one by one.
    make: Callable[[list[Batch]], Batch] = getattr(type(batch), "_make", tuple)
    return make(parts)


def _place(transform: str, batch: Batch, key: Key) -> Key:
    """Find an element; places count from the end where they are negative."""
    if isinstance(batch, dict):
        if key in batch:
            return key
    elif isinstance(batch, (tuple, list)):
        if isinstance(key, int) and -len(batch) <= key < len(batch):
            return key % len(batch)
    else:
        _checked(transform, batch, BATCH)
    raise FieldError(f"{transform}: the batch has no element {key!r}.\n{_there(batch)}")


def _there(batch: Batch) -> str:
    if isinstance(batch, dict):
        return f"Its keys are: {', '.join(map(repr, batch))}."
    if isinstance(batch, (tuple, list)):
        return f"It is a {type(batch).__name__} of {len(batch)} elements: 0 to {len(batch) - 1}."
    return "It is one array, which has no elements: leave the key out."


def _called(name: str, key: Key) -> str:
    return f"{name}[{key!r}]"
