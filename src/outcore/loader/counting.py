"""What a loader has done so far: `Loader.stats`.

Hands to   : loader.making, loader.loading
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields

from outcore.budget import format_bytes


@dataclass(frozen=True)
class LoaderStats:
    """What was handed over and read since the loader was made, in this process.

    Attributes
    ----------
    batches, samples : int
        Handed over.
    bytes_delivered : int
        Of the arrays of the batches that were made, before transforms.
    bytes_read : int
        From files; more than delivered where a buffer of the shuffle holds rows of other ranks, less where
        windows share rows.
    wait_s : float
        Seconds for which the caller waited for a batch.
    read_s, transform_s : float
        Seconds of reading (and gathering) and of transforms, in all threads together.
    """

    batches: int = 0
    samples: int = 0
    bytes_delivered: int = 0
    bytes_read: int = 0
    wait_s: float = 0.0
    read_s: float = 0.0
    transform_s: float = 0.0

    @property
    def read_amplification(self) -> float:
        """Bytes read for each byte delivered."""
        return self.bytes_read / self.bytes_delivered if self.bytes_delivered else 0.0

    def __str__(self) -> str:
        return (
            f"{self.batches} batches, {self.samples} samples, {format_bytes(self.bytes_delivered)} delivered,"
            f" {format_bytes(self.bytes_read)} read ({self.read_amplification:.2f} for each)\n"
            f"waited {self.wait_s:.2f} s; reading {self.read_s:.2f} s, transforms {self.transform_s:.2f} s "
            "in all threads"
        )


class Counter:
    """Adds up, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums = {field.name: field.default for field in fields(LoaderStats)}

    def add(self, **amounts: float) -> None:
        """Add to what is named."""
        with self._lock:
            for name, amount in amounts.items():
                self._sums[name] += amount  # type: ignore[operator]  # the defaults are numbers

    def total(self) -> LoaderStats:
        """Return the sums."""
        with self._lock:
            return LoaderStats(**self._sums)  # type: ignore[arg-type]  # as the defaults
