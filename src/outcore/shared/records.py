"""`SharedRecArray`: shared arrays whose fields are attributes, as those of `numpy.recarray`.

Reads from : shared.sharedarray
Hands to   : shared.sharing, which makes one where a record array is shared

Guarantees
- What is a record array in one process is one in every other.
- As for any shared array: fields and slices share the memory and pickle as handles, copies are NumPy's own
  (`numpy.recarray` where they have fields).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from outcore.shared.lost import LostArray
from outcore.shared.sharedarray import SharedArray, received


class SharedRecArray(SharedArray, np.recarray):
    """A `SharedArray` with fields as attributes; ``oc.share`` makes it of a `numpy.recarray`.

    Notes
    -----
    Memory: as for `SharedArray`.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> people = oc.share(np.rec.array([(b"ann", 31), (b"bob", 42)], dtype=[("name", "S4"), ("age", "i4")]))
    >>> people.age
    SharedArray([31, 42], dtype=int32)
    >>> people[0].name
    np.bytes_(b'ann')
    """

    _kind = "records"

    def __getattribute__(self, name: str) -> Any:
        # Not recarray's: it makes fields plain arrays, which would be pickled with all that is in them.
        try:
            return object.__getattribute__(self, name)
        except AttributeError:
            if name not in (np.ndarray.__getattribute__(self, "dtype").names or ()):
                raise
        return self[name]

    def __getitem__(self, key: Any) -> Any:
        part = np.ndarray.__getitem__(self, key)
        if not isinstance(part, SharedRecArray):
            return part  # one record, or one value
        shared = part._segment is not None
        if part.dtype.names is None:
            return part.view(SharedArray if shared else np.ndarray)
        # Fields within fields are records too.
        return part.view((self.dtype.type, part.dtype), type(self) if shared else np.recarray)

    def field(self, attr: int | str, val: Any = None) -> Any:
        """Return a field, or set it if `val` is given."""
        name = (self.dtype.names or ())[attr] if isinstance(attr, int) else attr
        if val is None:
            return self[name]
        self[name] = val
        return None

    def _receiver(self) -> Callable[..., Any]:
        return receive_records

    def _plain_class(self) -> type[np.ndarray[Any, Any]]:
        return np.ndarray if self.dtype.names is None else np.recarray


def receive_records(*handle_and_view: Any) -> SharedArray | LostArray:
    """Make the record array that a handle names: what a pickle calls."""
    return received(SharedRecArray, *handle_and_view)
