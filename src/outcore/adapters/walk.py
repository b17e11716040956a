"""Follow Keras over the batches of a loader: which batch it is to get, and when an epoch is over.

Reads from : adapters.feed
Hands to   : adapters.keras_dataset, adapters.keras_checkpoint

Guarantees
- Each walk over the batches gives every batch once, whatever order Keras asks in and whatever is asked for in
  between.
- They come in the loader's order, from one stream.
- A complete walk moves the loader on to its next epoch; one that was given up does not, and the next walk
  begins where it began.

What this relies on, read in Keras 3.15 (`trainers/epoch_iterator.py`, `data_adapters/py_dataset_adapter.py`)
and tried with 3.8, 3.9, 3.11 and 3.13:

- `fit` is documented to ignore `shuffle` for data sets, yet with ``shuffle=True``, its default, it permutes
  the numbers that it asks for, by a generator that nobody seeds. So numbers are tickets here: the first one
  that a walk asks for gets its first batch, and a number that is asked for again gets its batch again.
- A walk begins with a look at `num_batches`. With ``steps_per_epoch`` it spans several of Keras's epochs, and
  goes on without that look.
- `fit` and `evaluate` look at `num_batches` first of all, take a batch if the model is to be built, and then
  call `on_epoch_end` before the first epoch: that one ends nothing. The first one of `predict` is that of its
  epoch, and so moves no loader.
- `fit` counts with the number of batches that there were at its beginning in all of its epochs.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from outcore.adapters.feed import Feed
from outcore.adapters.protocol import BatchSource
from outcore.errors import OptionError, RowIndexError


class Walk:
    """The walks of Keras over the batches of a loader, one after the other.

    Parameters
    ----------
    source : BatchSource
    """

    def __init__(self, source: BatchSource) -> None:
        self.source = source
        self.feed = Feed(source)
        self._lock = threading.RLock()
        #: Of the walk: its epoch, its first batch, how many it has, and how many were given so far.
        self._epoch = self._first = self._length = self._given = 0
        #: The place of each number in the walk, -1 for those that were not asked for.
        self._places = np.empty(0, np.int64)
        #: How many batches of the walk were given before this epoch of Keras.
        self._before = 0
        #: Whether Keras is inside of an epoch, and has asked for a batch and for the number of batches in it.
        self._inside = self._asked = self._looked = False
        #: Whether it has asked for the number of batches outside of an epoch: something new begins.
        self._arrived = False
        #: Whether the latest walk was the rest of an epoch, and Keras may still count with its length.
        self._was_rest = False

    def __len__(self) -> int:
        """Return the number of batches that are left of the loader's epoch."""
        with self._lock:
            source = self.source
            if source.first_batch >= len(source) > 0:  # a state behind the last batch of its epoch
                source.set_epoch(source.epoch + 1)
            return len(source) - source.first_batch

    def look(self) -> int:
        """Return the number of batches to Keras."""
        with self._lock:
            if self._inside:
                self._looked = True
            else:
                self._arrived = True
            return len(self)

    def begin(self) -> None:
        """Begin an epoch of Keras."""
        with self._lock:
            if self._was_rest and not self._arrived:
                raise OptionError(
                    f"epoch {self._epoch} is complete, its last {self._length} batches are trained; this "
                    "fit() would take as few of each epoch that follows.\n"
                    f"Go on by another one: model.fit(dataset, initial_epoch={self.source.epoch}, epochs=...)"
                )
            self._inside, self._asked, self._looked = True, False, False

    def end(self) -> None:
        """End an epoch of Keras, or what it did to build the model."""
        with self._lock:
            self._inside = False
            complete = 0 < self._given == self._length
            if complete:
                self.feed.close()
            if self._arrived:
                self._arrived = self._was_rest = False
            elif complete:
                self._was_rest = self._first > 0
                self._given = 0
                self.source.set_epoch(self._epoch + 1)

    def take(self, number: int) -> Any:
        """Return the batch that Keras is to get for a number."""
        with self._lock:
            if not self._inside:
                index = _checked(number, len(self))  # first, as it may go on to the next epoch
                return self.source[self.source.first_batch + index]
            if not self._asked:
                self._asked = True
                if self._looked or not self._given:
                    self._set_off()
                self._before = self._given
            index = _checked(number, self._length)
            place = int(self._places[index])
            if place >= 0:
                return self.source[self._first + place]
            batch = self.feed.next(self._first + self._given)
            self._places[index] = self._given
            self._given += 1
            return batch

    def state_after(self, steps: int) -> dict[str, Any]:
        """Return the loader's state when `steps` batches of this epoch of Keras are trained."""
        with self._lock:
            if not self._given:
                return self.source.state_dict()
            return self.source.state_at(min(self._first + self._before + steps, len(self.source)))

    def check_epochs(self, epoch: int, epochs: int) -> None:
        """Check that the rest of an epoch is all that a `fit` is to train; `epoch` is its first one.

        Raises
        ------
        OptionError
            More epochs would follow.
        """
        with self._lock:
            if epochs > epoch + 1 and self.source.first_batch > 0:
                raise OptionError(
                    f"{len(self)} of {len(self.source)} batches are left of epoch {self.source.epoch}, and "
                    "fit() would take as few of each epoch that follows.\n"
                    "Train the rest of an epoch by a fit() of its own; dataset.spans(epochs) lists both:\n"
                    f"  model.fit(dataset, initial_epoch={epoch}, epochs={epoch + 1})\n"
                    f"  model.fit(dataset, initial_epoch={epoch + 1}, epochs={epochs})"
                )

    def _set_off(self) -> None:
        self._length, self._given = len(self), 0
        self._epoch, self._first = self.source.epoch, self.source.first_batch
        self._places = np.full(self._length, -1)
        self.feed.begin(self._first)


def _checked(number: int, length: int) -> int:
    index = number + length if number < 0 else number
    if not 0 <= index < length:
        raise RowIndexError(f"batch {number} of {length}: there is no such batch left in this epoch.")
    return index
