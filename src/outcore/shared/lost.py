"""What a handle becomes when its array cannot be received.

Hands to   : shared.sharedarray
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from outcore.errors import OutcoreError


class LostArray:
    """Stands where a shared array should be, and raises the reason as soon as it is used.

    Parameters
    ----------
    error : OutcoreError
        Why the array could not be received.
    shape, dtype
        Of the array.
    """

    def __init__(self, error: OutcoreError, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.__dict__.update(_error=error, _shape=shape, _dtype=dtype)

    def __repr__(self) -> str:
        first = str(self.__dict__["_error"]).splitlines()[0]
        return f"<outcore.LostArray shape={self.__dict__['_shape']} dtype={self.__dict__['_dtype']}: {first}>"

    def __reduce__(self) -> Any:
        # It may travel on: whoever uses it in the end gets the reason.
        return LostArray, (self.__dict__["_error"], self.__dict__["_shape"], self.__dict__["_dtype"])

    def _raise(self, *args: Any, **kwargs: Any) -> NoReturn:
        # A new object each time: a raised one collects the tracebacks of all who used it.
        error = self.__dict__["_error"]
        raise type(error)(*error.args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by NumPy, copy, pickle whether there is such a protocol
            raise AttributeError(name)
        self._raise()

    # Operators are looked for in the class, so each has to be named.
    __array__ = __len__ = __iter__ = __getitem__ = __setitem__ = __delitem__ = __setattr__ = _raise
    __bool__ = __float__ = __int__ = __complex__ = __index__ = __contains__ = _raise
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _raise
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _raise
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __divmod__ = __rdivmod__ = _raise
    __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = __invert__ = _raise
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _raise
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _raise
    __hash__ = None  # type: ignore[assignment]  # as for any array
