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
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.errors import DTypeError, OutcoreError, ReadOnlyError
from outcore.shared import foreign, memfd, token, travel
from outcore.shared.lost import LostArray
from outcore.shared.resolving import resolve
from outcore.shared.segment import Segment, under
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
    _kind = "array"

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
        # Without values, the strides may leave the segment.
        where = (offset, strides) if prod(shape) else (0, None)
        made = np.ndarray.__new__(cls, shape, dtype, np.asarray(segment), *where)
        foreign.teach(cls)
        return made

    @property
    def _segment(self) -> Segment | None:
        """What this array lies in; None for copies, until they are made plain."""
        return under(self)

    def __array_wrap__(self, array: NDArray[Any], context: Any = None, return_scalar: bool = False) -> Any:
        if array is self:  # the result of an operation in place
            return self
        if under(array) is not None:  # squeeze() comes here too, with a view
            return array.view(type(self))
        plain = array.view(np.ndarray)  # also of record arrays: what is computed are no records
        return plain[()] if return_scalar else plain

    def __array_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Any,
        kwargs: Mapping[str, Any],
    ) -> Any:
        result = _plain(super().__array_function__(func, types, args, kwargs))
        # Some functions (einsum, broadcast_to) make plain views, which would be pickled with their values.
        if type(result) is np.ndarray and result is not kwargs.get("out") and under(result) is not None:
            return result.view(SharedArray)
        return result

    def __getitem__(self, key: Any) -> Any:
        return _plain(super().__getitem__(key))

    @property
    def imag(self) -> Any:
        """The imaginary part; zeros of their own where there is none."""
        return _plain(super().imag)

    @imag.setter
    def imag(self, value: Any) -> None:
        np.ndarray.imag.__set__(self, value)  # type: ignore[attr-defined]  # stubs: a property

    @property
    def flat(self) -> Any:
        """A flat iterator, whose slices are copies."""
        return self.view(np.ndarray).flat

    @flat.setter
    def flat(self, value: Any) -> None:
        np.ndarray.flat.__set__(self, value)  # type: ignore[attr-defined]  # stubs: a property

    # ---- copies ------------------------------------------------------------------------------

    def __copy__(self) -> Any:
        return self.copy(order="K")

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Any:
        return self.copy(order="K")

    def dump(self, file: Any) -> None:
        """Pickle a copy into a file: what is meant to last must hold the values, not where they are now."""
        self.copy(order="K").dump(file)

    def dumps(self) -> bytes:
        """Pickle a copy; ``pickle.dumps`` makes a handle."""
        return self.copy(order="K").dumps()

    # ---- sharing -----------------------------------------------------------------------------

    def freeze(self) -> Self:
        """Make this array read-only, here and for everybody who receives it from now on.

        Returns
        -------
        SharedArray
            This array.

        Raises
        ------
        ReadOnlyError
            This process received it read-only, and it is not frozen yet.
        DTypeError
            It is not in shared memory.

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
        private = self._segment is not None and self._segment.private  # nobody else will receive it
        segment = None if private else self._shared()
        if segment is not None and segment.fd >= 0 and not memfd.is_frozen(segment.fd):
            try:
                memfd.freeze(segment.fd)
            except PermissionError as error:
                raise ReadOnlyError(
                    f"this process received the array made at {segment.header.site} read-only.\n"
                    "Who may not write may not freeze: call freeze() in a process that may."
                ) from error
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
        where = (_offset(self, segment), self.shape, self.strides, self.dtype)
        return token.write(handle, *where, kind=self._kind)

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
        # A copy by a function that knows no class but its argument's, or a view beyond all bounds.
        if self._segment is None or not _inside(self, self._segment):
            return self.view(self._plain_class()).__reduce_ex__(protocol)
        segment = self._shared()
        mode = "r+" if self.flags.writeable else "r"
        where = (_offset(self, segment), self.shape, self.strides, self.dtype)
        return self._receiver(), (tuple(travel.send(segment)), mode, *where)

    def _receiver(self) -> Callable[..., Any]:
        return receive

    def _plain_class(self) -> type[np.ndarray[Any, Any]]:
        """Return the class of copies of this array."""
        return np.ndarray

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(pickle.DEFAULT_PROTOCOL)


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
    return received(SharedArray, handle, mode, offset, shape, strides, dtype)


def received(
    cls: type[SharedArray],
    handle: tuple[Any, ...],
    mode: str,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    dtype: np.dtype[Any],
) -> SharedArray | LostArray:
    """Make the array that a handle names, or what stands for it if it is gone."""
    try:
        return attached(cls, Handle(*handle), mode, offset, shape, strides, dtype)
    except OutcoreError as error:
        return LostArray(error, shape, dtype)


def attached(
    cls: type[SharedArray],
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
    segment = resolve(handle, mode, strict=strict)
    if mode == "r+" and segment.fd >= 0 and memfd.is_frozen(segment.fd):  # but mapped here before
        if strict:
            raise memfd.refusal(segment.header)
        mode = "r"
    made = cls._on(segment, offset, shape, strides, np.dtype(dtype))
    if mode == "r" and made.flags.writeable:  # the segment was mapped here for writing already
        made.flags.writeable = False
    return made


def _inside(array: NDArray[Any], segment: Segment) -> bool:
    if not array.size:
        return True
    low, high = np.lib.array_utils.byte_bounds(array)
    return bool(segment.address <= low and high <= segment.address + segment.header.nbytes)


def _offset(array: NDArray[Any], segment: Segment) -> int:
    return array.__array_interface__["data"][0] - segment.address if array.size else 0


def _plain(result: Any) -> Any:
    """Turn results in new memory into plain ndarrays, inside tuples and lists too."""
    if isinstance(result, SharedArray):
        return result if result._segment is not None else result.view(result._plain_class())
    if type(result) in (tuple, list):
        return type(result)(_plain(part) for part in result)
    if isinstance(result, tuple) and hasattr(result, "_make"):  # what np.linalg.svd and others return
        return result._make(_plain(part) for part in result)
    return result
