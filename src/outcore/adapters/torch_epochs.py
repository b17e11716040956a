"""What both kinds of dataset have: a source, and an epoch that worker processes are told of.

Hands to   : adapters.torch_dataset

Guarantees
- A worker serves the epoch that the main process had when the pass began, whether the worker was started for
  this pass or lives on from an earlier one (``persistent_workers=True``).
- A dataset that was pickled, forked or copied is one of its own, but for the workers of a DataLoader.

A worker that is started for a pass has a copy of the main process's dataset, and needs nothing else. For one
that lives on the epoch stands in a few numbers of shared memory, too. A `multiprocessing.Value` was rejected:
a dataset with one can neither be pickled nor copied, except while a process is spawned.
"""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import torch
from torch.utils.data import get_worker_info

from outcore.adapters.protocol import BatchSource
from outcore.errors import StateError


class Announcing:
    """Batches of a source, of the epoch that the main process says.

    Parameters
    ----------
    source : BatchSource
        Its epoch and state are this dataset's, and it is what `set_epoch` changes.
    """

    def __init__(self, source: BatchSource) -> None:
        self._source = source
        # Process that wrote here last, how many changes of the epoch it made, the epoch, how many states it
        # loaded.
        self._board = torch.zeros(4, dtype=torch.int64).share_memory_()
        self._changes = 0
        self._loads = 0

    @property
    def epoch(self) -> int:
        """The epoch of the next pass, from 0."""
        return self._source.epoch

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._source)

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch with the next pass; nothing changes where it is the current one.

        With workers this is needed before each pass: the main process is not told that one ended.

        Parameters
        ----------
        epoch : int
        """
        self._source.set_epoch(epoch)
        if get_worker_info() is None:
            self._changes += 1
            self._announce()

    def state_at(self, batches: int) -> dict[str, Any]:
        """Return the state in which `batches` batches of this epoch are consumed.

        For a plain DataLoader with workers, which makes batches ahead: only the training loop knows how many
        it has had. Batches before the state that was loaded count too.

        Parameters
        ----------
        batches : int

        Returns
        -------
        dict
            JSON; `load_state_dict` takes it here, with any number of workers, and so does the source.
        """
        return self._source.state_at(batches)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken: the next pass gives what is left of its epoch.

        Before the first pass of a DataLoader with persistent workers, which keep what they were started with.

        Parameters
        ----------
        state : dict

        Raises
        ------
        StateError
            A state of other data, or of another order.
        """
        self._source.load_state_dict(state)
        if get_worker_info() is None:
            self._loads += 1
            self._announce()

    def _announce(self) -> None:
        self._board[:] = torch.tensor([os.getpid(), self._changes, self._source.epoch, self._loads])

    def _catch_up(self) -> None:
        """Take over, in a worker that lives on, the epoch of the main process."""
        changes, epoch, _ = self._announced()
        if changes != self._changes:
            self._source.set_epoch(epoch)
            self._changes = changes

    def _refuse_late_state(self) -> None:
        """Raise, in a worker that lives on, where the main process loaded a state."""
        if self._announced()[2] != self._loads:
            raise StateError(
                "a state was loaded while the workers of a DataLoader lived on (persistent_workers=True): "
                "they keep the position that they were started with.\n"
                "Load the state first, and then make the DataLoader."
            )

    def _announced(self) -> tuple[int, int, int]:
        """Return how many changes of the epoch there were, the epoch, and how many states were loaded."""
        parent = multiprocessing.parent_process()
        if get_worker_info() is not None and parent is not None:
            writer, changes, epoch, loads = self._board.tolist()
            # Otherwise this is a copy that some process has, which has nothing to do with this DataLoader.
            if writer == parent.pid:
                return changes, epoch, loads
        return self._changes, self._source.epoch, self._loads

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        if not self._board.is_shared():  # a copy, and no worker's: those are given the memory itself
            self._board = self._board.share_memory_()
