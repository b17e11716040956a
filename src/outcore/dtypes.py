"""Types as users write them: NumPy's, or names and types in one line of text.

Hands to   : array, conversion, text, the command line
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from outcore.errors import DTypeError


def as_dtype(dtype: DTypeLike | str) -> np.dtype[Any]:
    """Turn text such as ``"chr:S10 pos:i4"``, or anything that NumPy takes, into a dtype.

    Raises
    ------
    DTypeError
        Not a dtype.

    Examples
    --------
    >>> as_dtype("chr:S10 pos:i4")
    dtype([('chr', 'S10'), ('pos', '<i4')])
    """
    try:
        if isinstance(dtype, str) and ":" in dtype:
            return np.dtype([_field(part) for part in re.split(r"[\s,]+", dtype.strip())])
        return np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise DTypeError(
            f"dtype={dtype!r} is not a dtype ({error}).\n"
            'Use one type for a matrix, such as "f4", or names and types: "chr:S10 pos:i4 pct:f4".'
        ) from error


def _field(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition(":")
    if not name or not kind:
        raise ValueError(f"{text!r} is not name:type")
    return name, kind
