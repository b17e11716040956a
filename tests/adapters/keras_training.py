"""Small trainings whose every batch is recorded; also a program of its own, which is killed on the way.

python -m tests.adapters.keras_training CHECKPOINT RESULT BATCHES_UNTIL_KILLED
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import json
import signal
import sys
from typing import Any

import keras
import numpy as np

import outcore as oc

N, BATCH, EPOCHS = 26, 4, 3
STEPS = -(-N // BATCH)  # the last one has 2 samples


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Rows that differ, and labels that tell which row it is."""
    rng = np.random.default_rng(7)
    return rng.standard_normal((N, 3)).astype("f4"), np.arange(N, dtype="f4")[:, None]


def make_loader(batch_size: int = BATCH, **options: Any) -> oc.Loader:
    return oc.Loader(samples(), batch_size, **{"seed": 3, "shuffle": True} | options)


class Recorder(keras.Model):
    """A linear model that notes the labels of each batch it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")
        self.batches: list[list[int]] = []

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, *arguments: Any) -> Any:  # the JAX backend hands over its state before the data
        labels = keras.ops.convert_to_numpy(arguments[-1][1])
        self.batches.append(labels.ravel().astype(int).tolist())
        return super().train_step(*arguments)


def make_model(built: bool = True, steps_at_once: int = 1) -> Recorder:
    model = Recorder()
    if built:
        model(np.zeros((1, 3), "f4"))
    # Momentum: a resumed run is equal only if the optimizer's state is.
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    model.compile(optimizer, "mse", metrics=["mae"], run_eagerly=True, steps_per_execution=steps_at_once)
    return model


def weights(model: keras.Model) -> list[list[float]]:
    return [np.asarray(values).ravel().tolist() for values in model.get_weights()]


def epochs_of(loader: oc.Loader, epochs: range) -> list[list[int]]:
    """The labels of each batch of some epochs, as the loader itself gives them."""
    found = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        found += [loader[i][1][:, 0].astype(int).tolist() for i in range(len(loader))]
    return found


class After(keras.callbacks.Callback):
    """Does something when so many steps were trained, in all epochs together."""

    def __init__(self, steps: int, do: Any) -> None:
        super().__init__()
        self.left, self.do = steps, do

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            self.do()


def train(path: str, callback: keras.callbacks.Callback | None = None, save_freq: int = 1) -> Recorder:
    """The documented way to train, for the first time or again."""
    model, dataset = make_model(), make_loader().to_keras()
    saving = dataset.checkpoint(path, save_freq=save_freq)
    dataset.resume(model, path)
    callbacks = [saving] if callback is None else [saving, callback]
    for initial_epoch, epochs in dataset.spans(EPOCHS):
        model.fit(dataset, initial_epoch=initial_epoch, epochs=epochs, callbacks=callbacks, verbose=0)
    dataset.close()
    return model


def main() -> None:
    checkpoint, result, until_killed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    killer = After(until_killed, lambda: os.kill(os.getpid(), signal.SIGKILL))
    model = train(checkpoint, killer)
    with open(result, "w") as file:
        json.dump({"batches": model.batches, "weights": weights(model)}, file)


if __name__ == "__main__":
    main()
