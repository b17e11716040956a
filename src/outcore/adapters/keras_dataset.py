"""Batches for Keras: a `keras.utils.PyDataset` that `fit`, `evaluate` and `predict` take as it is.

Reads from : a `BatchSource`, which is what `outcore.Loader` is
Hands to   : `Loader.to_keras`

Guarantees
- Each epoch of `fit` gets every batch once, in the loader's order, made ahead by the loader's threads; with
  ``shuffle=True``, Keras's default, as with ``shuffle=False``.
- ``dataset[i]`` outside of an epoch of Keras is pure: batch i of what is left of the loader's epoch.
- Nothing is copied: Keras gets the very arrays of the loader.

How Keras goes about it is told in adapters.walk. Rejected:

- A data set without an end (``num_batches=None``): Keras keeps its order too, but each `fit` and `evaluate`
  would have to be told the number of steps.
- Keras's own workers: of 30 batches with ``workers=2``, Keras 3.15 trains on 11 twice, those that were made
  while it built the model, and on the last 11 not at all.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from typing import Any

import keras

from outcore.adapters.keras_batches import check
from outcore.adapters.keras_checkpoint import Checkpoint, restore
from outcore.adapters.protocol import BatchSource
from outcore.adapters.walk import Walk
from outcore.errors import MissingPackageError, OptionError

#: The first release that passes the tests; up to 3.6 nothing tells a dataset where an epoch ends.
OLDEST = (3, 8)


def dataset(source: BatchSource) -> KerasDataset:
    """Return the batches of `source` for Keras.

    Raises
    ------
    OptionError
        Keras computes with TensorFlow.
    MissingPackageError
        Keras is too old.
    """
    return KerasDataset(source)


class KerasDataset(keras.utils.PyDataset):
    """The batches of a loader, for ``model.fit(dataset)``.

    A batch is what Keras calls x, or a tuple (x, y) or (x, y, weights); x may be a dict, for a model of
    several inputs. A dict alone is x.

    `fit` begins where the loader is: at the beginning of its epoch, or behind the state that it was given.
    Each complete epoch moves the loader on to the next one, which has an order of its own. `evaluate` does so
    too, and the validation of each epoch; with ``shuffle=False`` all epochs are alike. `predict` moves
    nothing; its results are in the order of the epoch, so give it a loader with ``shuffle=False``. One at a
    time: what evaluates while `fit` is in an epoch needs a loader of its own.

    Notes
    -----
    Memory: the loader's, a batch, and 8 bytes for each batch of the epoch.

    The loader's threads end with the epoch. Where `fit` was broken off they wait for the next `fit`, for
    `close`, or for the last reference to the dataset to go.
    """

    def __init__(self, source: BatchSource) -> None:
        if tuple(int(part) for part in keras.__version__.split(".")[:2]) < OLDEST:
            raise MissingPackageError(
                f"Keras {keras.__version__} is too old: before 3.8 it treats epochs in another way.\n"
                'Type: pip install --upgrade "outcore[keras]"'
            )
        if keras.backend.backend() == "tensorflow":
            raise OptionError(
                "Keras computes with TensorFlow here, which asks for batches before their epoch begins.\n"
                'Set KERAS_BACKEND="torch" or "jax" in the environment before Keras is imported.'
            )
        super().__init__()
        self._walk = Walk(source)
        weakref.finalize(self, self._walk.feed.close)

    @property
    def epoch(self) -> int:
        """The loader's epoch: what to give to `fit` as `initial_epoch`."""
        len(self)  # may go on to the next one
        return self._walk.source.epoch

    def checkpoint(self, path: str | os.PathLike[str], *, save_freq: int = 1000) -> Checkpoint:
        """Return a callback for `fit` that saves the model and the place in the data, for `resume`.

        Parameters
        ----------
        path : str or path
            Of a file; its name ends in ``.weights.h5``, and `keras.Model.load_weights` reads it too.
        save_freq : int
            Save after so many batches, and after each epoch.

        Returns
        -------
        keras.callbacks.Callback

        Raises
        ------
        OptionError
            A name with another end, or `save_freq` below 1.
        NotFoundError
            The folder does not exist.

        Notes
        -----
        The file appears whole or stays as it was, weights and place together. Of several ranks, rank 0
        writes.
        """
        return Checkpoint(self._walk, path, save_freq)

    def resume(self, model: keras.Model, path: str | os.PathLike[str]) -> bool:
        """Go on from a file of `checkpoint`: set the weights, the optimizer and the loader's place.

        These lines are right for a new run and for one that was killed at any moment, and do nothing when all
        epochs are done::

            dataset = loader.to_keras()
            saving = dataset.checkpoint("run.weights.h5")
            dataset.resume(model, "run.weights.h5")
            for initial_epoch, epochs in dataset.spans(10):
                model.fit(dataset, initial_epoch=initial_epoch, epochs=epochs, callbacks=[saving])

        Parameters
        ----------
        model : keras.Model
            Built, and compiled as the one that was saved.
        path : str or path

        Returns
        -------
        bool
            Whether there was a file.

        Raises
        ------
        OptionError
            The model is not built, or not compiled.
        CheckpointError
            The file is none of `checkpoint`, or is damaged.
        StateError
            It belongs to other data or to another order.
        """
        return restore(self._walk, model, path)

    def spans(self, epochs: int) -> list[tuple[int, int]]:
        """Return `initial_epoch` and `epochs` of each `fit` that it takes to come to `epochs` epochs.

        Keras counts with the same number of batches in all epochs of a `fit`. So what is left of an epoch,
        after `resume` or ``loader.load_state_dict``, takes one of its own. Leave the loop over them if a
        callback stops the training: ``if model.stop_training: break``.

        Parameters
        ----------
        epochs : int
            Of the whole training, as in ``model.fit(epochs=...)``.

        Returns
        -------
        list of (int, int)
            One pair in most cases; two where the loader is in the middle of an epoch; none where that many
            epochs are done.
        """
        first, left = self.epoch, len(self) < len(self._walk.source)
        spans = [(first, first + 1), (first + 1, epochs)] if left else [(first, epochs)]
        return [(begin, end) for begin, end in spans if begin < min(end, epochs)]

    def close(self) -> None:
        """End the loader's threads, if an epoch was broken off; the dataset may be used again."""
        self._walk.feed.close()

    # ---- what Keras asks for ---------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of batches that are left of the loader's epoch."""
        return len(self._walk)

    @property
    def num_batches(self) -> int:
        """The same, for Keras only: it tells its epochs apart."""
        return self._walk.look()

    def __getitem__(self, index: int) -> Any:
        """Return batch `index` of what is left of the epoch.

        While Keras is in an epoch, each number that is new in it gives the next batch.

        Raises
        ------
        RowIndexError
            There is no such batch.
        DTypeError, OptionError, ShapeError
            Keras cannot take it.
        """
        return check(self._walk.take(index))

    def __iter__(self) -> Iterator[Any]:
        """Iterate over what is left of the epoch; the loader stays where it is."""
        len(self)
        source = self._walk.source
        for batch in source.stream(source.first_batch):
            yield check(batch)

    def on_epoch_begin(self) -> None:
        """Begin an epoch, when Keras says so.

        Raises
        ------
        OptionError
            `fit` has trained the rest of an epoch, and would cut the epochs that follow.
        """
        self._walk.begin()

    def on_epoch_end(self) -> None:
        """End an epoch, when Keras says so."""
        self._walk.end()

    @property
    def workers(self) -> int:
        """How many threads Keras reads with: one, as the loader has its own."""
        return 1

    @workers.setter
    def workers(self, value: int) -> None:
        self._refuse("workers", value, 1)

    @property
    def use_multiprocessing(self) -> bool:
        """Whether Keras reads in processes: no."""
        return False

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        self._refuse("use_multiprocessing", value, False)

    @staticmethod
    def _refuse(name: str, value: Any, right: Any) -> None:
        if value != right:
            raise OptionError(
                f"{name}={value!r}: with it Keras loses batches and repeats others.\n"
                'Use Loader(..., num_workers=4), and worker_type="process" for transforms in Python.'
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return dataset, (self._walk.source,)
