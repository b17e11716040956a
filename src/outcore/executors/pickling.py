"""Objects as bytes: by pickle, and by cloudpickle where pickle knows no way.

Hands to   : executors.parcel, executors.outcome, executors.processes

Guarantees
- Classes and functions of a module travel by name.
- Those of a script, a notebook or ``python -c`` travel by value where cloudpickle is installed. Without it,
  the workers of `executors.processes` import the script once they meet such a name; lambdas and functions
  inside of functions are refused with what to do.
- No data are copied for buffers that go out of band.
"""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

from outcore.errors import ExecutorError, OutcoreError

#: Stands in every pickle of something that the program's own file defines. Text may contain it as well, which
#: costs nothing but time.
_MAIN = b"__main__"


def dumps(obj: Any, buffers: list[pickle.PickleBuffer] | None = None) -> bytes:
    """Pickle an object.

    Parameters
    ----------
    obj : object
    buffers : list, optional
        Takes the buffers of arrays; by default they stand in the result.

    Raises
    ------
    ExecutorError
        It cannot be pickled.
    """
    callback = None if buffers is None else buffers.append
    try:
        data = pickle.dumps(obj, protocol=5, buffer_callback=callback)
    except (OutcoreError, MemoryError):
        raise
    except Exception as error:  # whatever the __reduce__ of an object raises
        cloudpickle = _cloudpickle()
        if cloudpickle is None:
            raise _refusal(error) from error
    else:
        cloudpickle = _cloudpickle() if _MAIN in data else None
        if cloudpickle is None:
            return data
    if buffers is not None:
        buffers.clear()
    try:
        made: bytes = cloudpickle.dumps(obj, protocol=5, buffer_callback=callback)
    except (OutcoreError, MemoryError):
        raise
    except Exception as error:  # as above
        raise _refusal(error) from error
    return made


def _cloudpickle() -> Any:
    # Optional, and imported only where it is needed.
    if importlib.util.find_spec("cloudpickle") is None:
        return None
    import cloudpickle

    return cloudpickle


def _refusal(error: Exception) -> ExecutorError:
    lines = [
        f"a task cannot be sent to another process: {type(error).__name__}: {error}",
        "Functions and classes of a module travel by their names; open files and locks never travel.",
        "Move the function into a module that can be imported, or use threads: executor=None.",
    ]
    if importlib.util.find_spec("cloudpickle") is None:
        lines[-1] = (
            "Move the function into a module that can be imported, or let it travel by value: pip install"
            " cloudpickle;\nor use threads: executor=None."
        )
    return ExecutorError("\n".join(lines))
