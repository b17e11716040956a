"""Options that hold for a block of code: ``with oc.options(memory="4GB"): ...``.

Hands to   : budget (memory), progress (bars), executors.choosing (executor)

Guarantees
- Options live in a context variable: threads and async tasks started elsewhere do not see them.
- Leaving the block restores what was there before, also after an error.
- Values are checked when the block is entered, not when they are first used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from numbers import Integral, Real
from types import TracebackType
from typing import Any

from outcore.errors import OptionError

#: bytes, text such as "4GB", or a share of the limit: a fraction up to 1
MemoryLike = int | float | str
ProgressLike = bool | Callable[[int, int], None]

_UNITS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The options in force; None means the default."""

    memory: MemoryLike | None = None
    progress: ProgressLike | None = None
    executor: Any = None
    #: Whether this is a task of a pass: what it calls runs in its own thread unless told otherwise.
    in_task: bool = False


#: Settings are immutable, so one default serves every context.
_current: ContextVar[Settings] = ContextVar("outcore_settings", default=Settings())  # noqa: B039


def current() -> Settings:
    """Return the options in force here."""
    return _current.get()


def for_tasks() -> Settings:
    """Return the options for tasks that are begun here: no bars, and not the executor that they run on."""
    return replace(current(), progress=False, executor=None, in_task=True)


def adopt(settings: Settings) -> None:
    """Put options in force in this context, until its end."""
    _current.set(settings)


def parse_bytes(text: str) -> int:
    """Turn ``"4GB"``, ``"512 MiB"`` or ``"1.5g"`` into bytes.

    Raises
    ------
    OptionError
        The text is not a positive number with a unit.

    Examples
    --------
    >>> parse_bytes("1.5 kB"), parse_bytes("2GiB")
    (1500, 2147483648)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    size = float(match[1]) * _UNITS.get(match[2].lower(), 0) if match else 0
    if not 1 <= size < float("inf"):
        raise _no_size(text)
    return int(size)


def parse_memory(memory: MemoryLike) -> int | float:
    """Understand what users give as ``memory=``: bytes become an int, a share of the limit a float.

    Raises
    ------
    OptionError
        Neither a positive size nor a share up to 1.

    Examples
    --------
    >>> parse_memory("4kB"), parse_memory(4e9), parse_memory(0.5), parse_memory("0.5")
    (4000, 4000000000, 0.5, 0.5)
    """
    if isinstance(memory, str):
        # Without a unit, a fraction of a byte can only mean a share.
        return float(memory) if re.fullmatch(r"0?\.\d*[1-9]\d*", memory) else parse_bytes(memory)
    if isinstance(memory, bool) or not isinstance(memory, Real) or not 0 < memory < float("inf"):
        raise _no_size(memory)
    return float(memory) if memory <= 1 and not isinstance(memory, Integral) else int(memory)


def _no_size(memory: object) -> OptionError:
    return OptionError(
        f"memory={memory!r} is neither a size in bytes nor a share of the limit.\n"
        'Use a positive number and a unit, memory="4GB" or memory=4_000_000_000, or a share, memory=0.5.'
    )


class options:  # noqa: N801 - used like a function, as numpy.errstate is
    """Set options for a ``with`` block.

    Parameters
    ----------
    memory : int, float or str, optional
        Memory budget: bytes, text such as ``"4GB"``, or a share of the limit (``0.5``).
    progress : bool or callable, optional
        Progress bars always (True), never (False), or ``callable(done, total)``.
    executor : int, concurrent.futures.Executor or dask.distributed.Client, optional
        Where the operations that go through all rows run: so many worker processes, an executor, a cluster.
        By default in threads of this process.

    Raises
    ------
    OptionError
        A value that makes no sense; nothing is changed.

    Examples
    --------
    >>> import outcore as oc
    >>> with oc.options(memory="1GB"):
    ...     pass
    """

    def __init__(
        self,
        *,
        memory: MemoryLike | None = None,
        progress: ProgressLike | None = None,
        executor: Any = None,
    ) -> None:
        if memory is not None:
            parse_memory(memory)
        if progress is not None and not isinstance(progress, bool) and not callable(progress):
            raise OptionError(
                f"progress={progress!r} is neither True, False nor a callable.\n"
                "Use progress=True, progress=False or progress=lambda done, total: ..."
            )
        self._changes = {
            name: value
            for name, value in (("memory", memory), ("progress", progress), ("executor", executor))
            if value is not None
        }
        self._tokens: list[Token[Settings]] = []

    def __enter__(self) -> Settings:
        settings = replace(_current.get(), **self._changes)  # type: ignore[arg-type]  # checked above
        self._tokens.append(_current.set(settings))
        return settings

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._tokens.pop())
