"""NumPy arrays that do not fit in memory, from as many processes as you like.

An `Array` is a reference to rows, on disk or in memory: it costs nothing to open, a few hundred
bytes to pickle, and is safe to hand to any process. Everything else is a way to ask it for rows
within a memory budget.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from outcore.shared.family import join

if TYPE_CHECKING:
    from outcore import errors as errors
    from outcore.array.creating import create as create
    from outcore.array.handle import Array as Array
    from outcore.array.opening import asarray as asarray
    from outcore.array.opening import open_array as open
    from outcore.combination.combining import combine as combine
    from outcore.conversion import convert as convert
    from outcore.settings import options as options
    from outcore.shared.census import segments as segments
    from outcore.shared.ring import SharedRing as SharedRing
    from outcore.shared.sharedarray import SharedArray as SharedArray
    from outcore.shared.sharing import attach as attach
    from outcore.shared.sharing import share as share
    from outcore.shared.sharing import shared_empty as shared_empty
    from outcore.statistics import describe as describe
    from outcore.text.ingesting import ingest as ingest

__all__ = [
    "Array",
    "SharedArray",
    "SharedRing",
    "asarray",
    "attach",
    "combine",
    "convert",
    "create",
    "describe",
    "errors",
    "ingest",
    "open",
    "options",
    "segments",
    "share",
    "shared_empty",
]

#: Public name -> (module, name there). Loaded when first used, so that ``import outcore`` costs nothing.
_WHERE = {
    "Array": ("outcore.array.handle", "Array"),
    "SharedArray": ("outcore.shared.sharedarray", "SharedArray"),
    "SharedRing": ("outcore.shared.ring", "SharedRing"),
    "asarray": ("outcore.array.opening", "asarray"),
    "attach": ("outcore.shared.sharing", "attach"),
    "combine": ("outcore.combination.combining", "combine"),
    "convert": ("outcore.conversion", "convert"),
    "create": ("outcore.array.creating", "create"),
    "describe": ("outcore.statistics", "describe"),
    "errors": ("outcore.errors", ""),
    "ingest": ("outcore.text.ingesting", "ingest"),
    "open": ("outcore.array.opening", "open_array"),
    "options": ("outcore.settings", "options"),
    "segments": ("outcore.shared.census", "segments"),
    "share": ("outcore.shared.sharing", "share"),
    "shared_empty": ("outcore.shared.sharing", "shared_empty"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("outcore")
    if name not in _WHERE:
        raise AttributeError(f"module 'outcore' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    found = import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


join()
