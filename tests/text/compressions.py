"""Each compression that can be read here, as a function that compresses."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from importlib import import_module
from typing import Any


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


ZSTD = _zstd()

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 4),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
}
if ZSTD:
    # With a checksum: without one, zstd cannot tell every damage.
    _OPTIONS = {ZSTD.CompressionParameter.checksum_flag: 1}
    COMPRESS["zstd"] = lambda data: ZSTD.compress(data, options=_OPTIONS)
