"""One array, a tuple of arrays or a dict of arrays, and the same shape for batches.

Hands to   : loader.sources, loader.making
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from outcore.errors import OptionError

#: What a loader hands over: as its arrays, or as the transform returns it.
Batch = Any


@dataclass(frozen=True)
class Structure:
    """How arrays are put together.

    Attributes
    ----------
    kind : type
        `tuple` or `dict`; `list` stands for one array alone.
    names : tuple of str
        Of the arrays, as errors call them: keys of the dict, or places in the tuple.
    """

    kind: type
    names: tuple[str, ...]

    @classmethod
    def of(cls, arrays: Any) -> tuple[Structure, list[Any]]:
        """Take `arrays` apart.

        Raises
        ------
        OptionError
            A tuple or dict without arrays, or keys that are no text.
        """
        if isinstance(arrays, Mapping):
            if wrong := [key for key in arrays if not isinstance(key, str)]:
                raise OptionError(
                    f"the key {wrong[0]!r} of the dict of arrays is not a str,"
                    f" but {type(wrong[0]).__name__}.\n"
                    "Name each array by a str; batches are dicts with the same keys."
                )
            structure, parts = cls(dict, tuple(arrays)), list(arrays.values())
        # A namedtuple could not be made again from a list of batches as a tuple can.
        elif isinstance(arrays, tuple):
            structure, parts = cls(tuple, tuple(f"[{i}]" for i in range(len(arrays)))), list(arrays)
        else:
            return cls(list, ("",)), [arrays]
        if not parts:
            raise OptionError(
                f"arrays={arrays!r} holds no array.\nGive one array, or a tuple or dict of one or more."
            )
        return structure, parts

    def pack(self, parts: Sequence[Any]) -> Batch:
        """Put parts together the way the arrays were given."""
        if self.kind is dict:
            return dict(zip(self.names, parts, strict=True))
        return tuple(parts) if self.kind is tuple else parts[0]

    def called(self, which: int) -> str:
        """Return what errors call array `which`."""
        if self.kind is dict:
            return f"arrays[{self.names[which]!r}]"
        return f"arrays{self.names[which]}"
