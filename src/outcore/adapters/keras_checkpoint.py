"""Model and place in the data in one file, so that training goes on in the middle of an epoch.

Reads from : adapters.walk
Hands to   : adapters.keras_dataset

Guarantees
- The file appears whole or stays as it was, and holds the weights and the place of the same moment.
- What counts as consumed is what the model was trained on: nothing that was made or asked for ahead.

The file is what `keras.Model.save_weights` writes, HDF5 with the optimizer's variables, and one more dataset
with the loader's state as JSON. Two files were rejected: a kill between their renames leaves weights of one
moment and a place of another.
"""

from __future__ import annotations

import json
import os
from typing import Any

import h5py
import keras

from outcore.adapters.walk import Walk
from outcore.errors import CheckpointError, OptionError
from outcore.storage.publish import check_folder, sync_folder

END = ".weights.h5"  # Keras writes and reads no other
ENTRY = "outcore_loader"


class Checkpoint(keras.callbacks.Callback):
    """Saves the model and the place in the data; see `KerasDataset.checkpoint`."""

    def __init__(self, walk: Walk, path: str | os.PathLike[str], save_freq: Any) -> None:
        super().__init__()
        self._path = _checked(path)
        check_folder(self._path)
        if isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1:
            raise OptionError(f"save_freq={save_freq!r} is no number of batches.\nUse 1 or more.")
        self._walk = walk
        self._save_freq = save_freq
        self._first_epoch = True
        #: Batches of this epoch of Keras: trained, and trained when the file was written.
        self._trained = self._saved = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Note that the next epoch is the first one."""
        self._first_epoch = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Check that only the last epoch of a `fit` is shorter."""
        if self._first_epoch:
            self._walk.check_epochs(epoch, self.params["epochs"])
        self._first_epoch = False
        self._trained = self._saved = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save when so many batches were trained."""
        self._trained = batch + 1  # with steps_per_execution, numbers are left out
        if self._trained - self._saved >= self._save_freq:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save after an epoch, one that was stopped early too."""
        self._save()

    def _save(self) -> None:
        self._saved = self._trained
        if self._walk.source.rank != 0:
            return
        # One name for all attempts: what a killed process left is overwritten.
        folder, name = os.path.split(self._path)
        partial = os.path.join(folder, f".{name}.partial{END}")
        try:
            self.model.save_weights(partial, overwrite=True)
            with h5py.File(partial, "r+") as file:
                file[ENTRY] = json.dumps(self._walk.state_after(self._trained))
            fd = os.open(partial, os.O_RDWR)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(partial, self._path)
        except BaseException:
            if os.path.exists(partial):
                os.unlink(partial)
            raise
        sync_folder(folder)


def restore(walk: Walk, model: keras.Model, path: str | os.PathLike[str]) -> bool:
    """Go on from a file; see `KerasDataset.resume`."""
    file_name = _checked(path)
    if not os.path.exists(file_name):
        return False
    for ready, what in ((model.built, "built"), (model.compiled, "compiled")):
        if not ready:
            raise OptionError(
                f"the model is not {what}; {file_name} cannot be read into it.\n"
                "Begin it with keras.Input(shape), or call it on a batch, model(x), and compile it with the "
                "same optimizer as before."
            )
    try:
        with h5py.File(file_name, "r") as file:
            state = json.loads(file[ENTRY][()])
    except (OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{file_name} was not written by dataset.checkpoint(), or is damaged: {error}.\n"
            "Remove it to begin anew, or read its weights alone: model.load_weights(path)."
        ) from error
    before = walk.source.state_dict()
    walk.source.load_state_dict(state)
    try:
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)  # else Keras passes over what is saved of it
        model.load_weights(file_name)
    except BaseException:  # weights of another model, say: Keras tells what does not fit
        walk.source.load_state_dict(before)
        raise
    return True


def _checked(path: str | os.PathLike[str]) -> str:
    found = os.path.abspath(os.fspath(path))
    if not found.endswith(END):
        raise OptionError(
            f"{os.fspath(path)!r} does not end in {END}, as Keras wants it.\nUse for example run{END}."
        )
    return found
