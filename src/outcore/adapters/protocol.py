"""What an adapter asks for: batches by number, in order, and a state.

Hands to   : the adapters; `outcore.Loader` is one

The adapters lie below the loader and know no more of it than this, so `Loader.to_keras` can import them
without a cycle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class BatchSource(Protocol):
    """Batches of an epoch, as a pure function of (seed, epoch, number).

    It pickles as a handle: addresses, options, the epoch and the position in it, never data.

    Attributes
    ----------
    batch_size : int
        Samples of a batch of this rank.
    world_size, rank : int
        How many processes train together, and which of them this one is.
    epoch : int
        From 0.
    first_batch : int
        Where the next iteration begins: 0, or behind the state that was loaded.
    """

    @property
    def batch_size(self) -> int: ...  # noqa: D102 - above

    @property
    def world_size(self) -> int: ...  # noqa: D102 - above

    @property
    def rank(self) -> int: ...  # noqa: D102 - above

    @property
    def epoch(self) -> int: ...  # noqa: D102 - above

    @property
    def first_batch(self) -> int: ...  # noqa: D102 - above

    def __len__(self) -> int:
        """Return the number of batches of this epoch."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Make batch `index` of this epoch; the same one whenever it is asked for."""
        ...

    def stream(self, first: int = 0, stride: int = 1, *, buffered: bool = True) -> Iterator[Any]:
        """Iterate over the batches `first`, ``first + stride``, ... of this epoch, made ahead by threads.

        Nothing counts as consumed. Closing the iterator ends its threads. Without `buffered` no buffer of the
        shuffle is held: rows are read batch by batch, through the page cache, for several processes side by
        side.
        """
        ...

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch; nothing changes where it is the current one."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return where the caller is."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken."""
        ...

    def state_at(self, batches: int) -> dict[str, Any]:
        """Return the state in which `batches` batches of this epoch are consumed, whoever consumed them."""
        ...
