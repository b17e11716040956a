"""`SharedArray`: an ndarray whose memory other processes have too, and which pickles as a handle.

Reads from : shared.segment
Hands to   : users, as ``oc.SharedArray``; shared.sharing makes them

Guarantees
- A pickle holds where the memory is, never what is in it; slices and other views too.
- Whatever shares the memory is a `SharedArray`; whatever is new memory (results, copies) is a plain ndarray.
- Nothing has to be closed: the memory lives as long as any array on it, in any process.
- Loading a handle never raises: what cannot be received becomes a `LostArray`, which raises when it is used.
  An error while unpickling would reach nobody: it ends, or hangs, a pool.

The class is modelled on `numpy.memmap`, but computes no results of its own class.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.errors import DTypeError, OutcoreError
from outcore.shared import foreign, memfd, token, travel
from outcore.shared.lost import LostArray
from outcore.shared.resolving import resolve
from outcore.shared.segment import Segment
from outcore.shared.travel import Handle


class SharedArray(np.ndarray[Any, np.dtype[Any]]):
    """An ndarray in memory that any number of processes share.

    Made by `outcore.share` and `outcore.shared_empty`, and by loading a pickle of one. It is an ndarray for
    every function; pickled, it is a handle of a few hundred bytes, and so are its slices and other views.
    Results of arithmetic, copies and selections by arrays are plain ndarrays.

    Notes
    -----
    Memory: one file descriptor for each array that was made or received, none for views. The memory itself is
    freed by the kernel with the last array on it.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> s = oc.share(np.arange(6.0).reshape(3, 2))
    >>> type(s[1:]), type(s + 1)
    (<class 'outcore.shared.sharedarray.SharedArray'>, <class 'numpy.ndarray'>)
    >>> import pickle
    >>> handle = pickle.dumps(s[1:])
    >>> len(handle) < 500, pickle.loads(handle).tolist()
    (True, [[2.0, 3.0], [4.0, 5.0]])
    """

    #: In mixed arithmetic the other class decides, as for numpy.memmap.
    __array_priority__ = -100.0
    _segment: Segment | None

    @classmethod
    def _on(
        cls,
        segment: Segment,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None,
        dtype: np.dtype[Any],
    ) -> Self:
        """Make an array on a segment; `offset` counts from its first byte of data."""
        size = int(np.prod(shape, dtype=object))
        # An array without values may lie anywhere, also where its strides would leave the segment.
        made = (
            np.ndarray.__new__(cls, shape, dtype, segment.data, offset, strides)
            if size
            else np.ndarray.__new__(cls, shape, dtype)
        )
        made._segment = segment
        foreign.teach(cls)
        return made

    def __array_finalize__(self, obj: Any) -> None:
        segment = getattr(obj, "_segment", None)
        # Copies are finalized too; only what lies in the segment belongs to it.
        self._segment = segment if segment is not None and _inside(self, segment) else None

    def __array_wrap__(self, array: NDArray[Any], context: Any = None, return_scalar: bool = False) -> Any:
        if array is self:  # the result of an operation in place
            return self
        plain = array.view(np.ndarray)
        return plain[()] if return_scalar else plain

    def __array_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Any,
        kwargs: Mapping[str, Any],
    ) -> Any:
        return _plain(super().__array_function__(func, types, args, kwargs))

    def __getitem__(self, key: Any) -> Any:
        return _plain(super().__getitem__(key))

    # ---- copies ------------------------------------------------------------------------------

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Any:
        return self.copy()

    # ---- sharing -----------------------------------------------------------------------------

    def freeze(self) -> Self:
        """Make this array read-only, here and for everybody who receives it from now on.

        Returns
        -------
        SharedArray
            This array.

        Notes
        -----
        The whole segment is frozen, for good. NumPy refuses to write to this array, and (Linux 5.1 or newer)
        the kernel refuses to map the memory for writing to anybody who receives it later, by whatever way.
        Who could write before still can: other processes that have it already, and, as in NumPy, views that
        were made before.

        Examples
        --------
        >>> import numpy as np, outcore as oc
        >>> oc.share(np.zeros(3)).freeze().flags.writeable
        False
        """
        segment = self._shared()
        if segment.fd >= 0 and not segment.private:
            memfd.freeze(segment.fd)
        self.flags.writeable = False
        return self

    def token(self) -> str:
        """Return a text by which any other program of the same user can `outcore.attach` this array.

        Returns
        -------
        str
            Good as long as this process has the array.

        Examples
        --------
        >>> import numpy as np, outcore as oc
        >>> s = oc.share(np.arange(3))
        >>> oc.attach(s.token())
        SharedArray([0, 1, 2])
        """
        segment = self._shared()
        handle = travel.address(segment)
        return token.write(handle, _offset(self, segment), self.shape, self.strides, self.dtype)

    def _shared(self) -> Segment:
        """Return the segment, or say why there is none to refer to."""
        if self._segment is None:
            raise DTypeError(
                f"this array of shape {self.shape} is a copy in the memory of this process, not shared.\n"
                "Use oc.share(a) to share it."
            )
        if self._segment.private:
            raise DTypeError(
                'this array was attached with mode="c": its changes are in this process only, and a handle'
                " would lose them.\nUse a.copy() to send its values, or oc.share(a) to share them anew."
            )
        return self._segment

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._segment is None:  # made by a function that knows no class but its argument's
            return np.asarray(self).__reduce_ex__(protocol)
        segment = self._shared()
        mode = "r+" if self.flags.writeable else "r"
        where = (_offset(self, segment), self.shape, self.strides, self.dtype)
        return receive, (tuple(travel.send(segment)), mode, *where)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(pickle.DEFAULT_PROTOCOL)

    def __setstate__(self, state: Any) -> None:
        # That of a plain ndarray, whose class is chosen by whoever unpickles.
        super().__setstate__(state)
        self._segment = None


def _method(name: str) -> Callable[..., Any]:
    """Make a method that returns what ndarray's does, but as a plain ndarray if it is new memory."""
    of_ndarray = getattr(np.ndarray, name)

    def method(self: SharedArray, *args: Any, **kwargs: Any) -> Any:
        return _plain(of_ndarray(self, *args, **kwargs))

    method.__name__, method.__qualname__ = name, f"SharedArray.{name}"
    method.__doc__ = of_ndarray.__doc__
    return method


#: Methods whose result is, or may be, new memory of this class.
_COPYING = (
    *("argpartition", "argsort", "astype", "byteswap", "choose", "clip", "compress", "copy", "cumprod"),
    *(
        "cumsum",
        "diagonal",
        "dot",
        "flatten",
        "nonzero",
        "ravel",
        "repeat",
        "reshape",
        "round",
        "searchsorted",
    ),
    *("take", "trace", "conj", "conjugate", "argmax", "argmin", "max", "min", "mean", "prod", "ptp", "std"),
    *("sum", "var", "all", "any"),
)
for _name in _COPYING:
    if hasattr(np.ndarray, _name):
        setattr(SharedArray, _name, _method(_name))
del _name


def receive(
    handle: tuple[Any, ...],
    mode: str,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    dtype: np.dtype[Any],
) -> SharedArray | LostArray:
    """Make the array that a handle names: what a pickle calls."""
    try:
        return attached(Handle(*handle), mode, offset, shape, strides, dtype)
    except OutcoreError as error:
        return LostArray(error, shape, dtype)


def attached(
    handle: Handle,
    mode: str,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    dtype: DTypeLike,
    *,
    strict: bool = False,
) -> SharedArray:
    """Make the array that a handle names, or raise; `strict`: also if it was frozen and is to be written."""
    made = SharedArray._on(resolve(handle, mode, strict=strict), offset, shape, strides, np.dtype(dtype))
    if mode == "r" and made.flags.writeable:  # the segment was mapped here for writing already
        made.flags.writeable = False
    return made


def _inside(array: NDArray[Any], segment: Segment) -> bool:
    if not array.size:
        return True
    low, high = np.lib.array_utils.byte_bounds(array)
    return bool(segment.base <= low and high <= segment.base + segment.header.nbytes)


def _offset(array: NDArray[Any], segment: Segment) -> int:
    return array.__array_interface__["data"][0] - segment.base if array.size else 0


def _plain(result: Any) -> Any:
    """Turn results in new memory into plain ndarrays, inside tuples and lists too."""
    if type(result) is SharedArray:
        return result if result._segment is not None else result.view(np.ndarray)
    if type(result) in (tuple, list):
        return type(result)(_plain(part) for part in result)
    return result
