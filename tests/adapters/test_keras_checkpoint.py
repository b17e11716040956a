"""Training that is broken off and goes on, with the data where it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras")
import h5py
import keras

from outcore.errors import CheckpointError, NotFoundError, OptionError, StateError
from tests.adapters.keras_training import (
    BATCH,
    EPOCHS,
    STEPS,
    After,
    Recorder,
    epochs_of,
    make_loader,
    make_model,
    samples,
    train,
    weights,
)

# PyTorch 2.13's tensors do not know the `copy` of NumPy 2, which Keras's torch backend meets when it takes
# values out of them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

WHOLE = range(EPOCHS)


class StopError(Exception):
    """Breaks a training off."""


def stop() -> None:
    raise StopError


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    model = train(str(tmp_path_factory.mktemp("whole") / "run.weights.h5"))
    assert model.batches == epochs_of(make_loader(), WHOLE)
    return model


@pytest.mark.parametrize("batches", [1, 3, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS, EPOCHS * STEPS])
def test_an_exception_loses_and_repeats_no_sample(
    batches: int, tmp_path: Path, uninterrupted: Recorder
) -> None:
    path = str(tmp_path / "run.weights.h5")
    model = make_model()
    dataset = make_loader().to_keras()
    with pytest.raises(StopError):
        model.fit(
            dataset, epochs=EPOCHS, callbacks=[dataset.checkpoint(path, save_freq=1), After(batches, stop)]
        )
    dataset.close()
    assert len(model.batches) == batches
    resumed = train(path)
    assert model.batches + resumed.batches == uninterrupted.batches
    assert weights(resumed) == weights(uninterrupted)


def test_a_killed_process_loses_and_repeats_no_sample(tmp_path: Path, uninterrupted: Recorder) -> None:
    checkpoint, result = str(tmp_path / "run.weights.h5"), tmp_path / "result.json"
    batches = STEPS + 3

    def run(until_killed: int) -> int:
        command = [sys.executable, "-m", "tests.adapters.keras_training", checkpoint, str(result)]
        return subprocess.run([*command, str(until_killed)], check=False, timeout=100).returncode

    assert run(batches) == -signal.SIGKILL
    assert not result.exists()
    assert run(-1) == 0
    found = json.loads(result.read_text())
    assert found["batches"] == uninterrupted.batches[batches:]
    assert found["weights"] == weights(uninterrupted)


def test_what_was_trained_after_the_last_file_is_trained_again(
    tmp_path: Path, uninterrupted: Recorder
) -> None:
    path = str(tmp_path / "run.weights.h5")
    with pytest.raises(StopError):
        train(path, After(STEPS + 5, stop), save_freq=3)
    resumed = train(path)
    assert resumed.batches == uninterrupted.batches[STEPS + 3 :]
    assert weights(resumed) == weights(uninterrupted)


def test_interruptions_add_up(tmp_path: Path, uninterrupted: Recorder) -> None:
    path = str(tmp_path / "run.weights.h5")
    batches: list[list[int]] = []
    for _ in range(2 * STEPS):  # all resume in the middle of an epoch, or at its beginning
        dataset, model = make_loader().to_keras(), make_model()
        dataset.resume(model, path)
        saving = dataset.checkpoint(path, save_freq=1)
        epoch = dataset.epoch
        with pytest.raises(StopError):
            model.fit(
                dataset, initial_epoch=epoch, epochs=epoch + 1, callbacks=[saving, After(1, stop)], verbose=0
            )
        dataset.close()
        batches += model.batches
    assert batches == uninterrupted.batches[: 2 * STEPS]


def test_a_training_that_is_done_is_not_done_again(tmp_path: Path, uninterrupted: Recorder) -> None:
    path = str(tmp_path / "run.weights.h5")
    train(path)
    again = train(path)
    assert again.batches == []
    assert weights(again) == weights(uninterrupted)


def test_stop_training_in_the_middle_of_an_epoch_is_resumed_there(
    tmp_path: Path, uninterrupted: Recorder
) -> None:
    path = str(tmp_path / "run.weights.h5")
    dataset, model = make_loader().to_keras(), make_model()
    stopping = After(STEPS + 2, lambda: setattr(model, "stop_training", True))
    model.fit(dataset, epochs=EPOCHS, callbacks=[dataset.checkpoint(path), stopping], verbose=0)
    dataset.close()
    assert len(model.batches) == STEPS + 2
    assert train(path).batches == uninterrupted.batches[STEPS + 2 :]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="PyTorch's trainer takes one step at a time")
def test_several_steps_at_once(tmp_path: Path, uninterrupted: Recorder) -> None:
    path = str(tmp_path / "run.weights.h5")
    dataset, model = make_loader().to_keras(), make_model(steps_at_once=3)  # 3, 3 and 1
    saving = dataset.checkpoint(path, save_freq=1)
    with pytest.raises(StopError):
        model.fit(dataset, epochs=EPOCHS, callbacks=[saving, After(5, stop)], verbose=0)
    dataset.close()
    assert model.batches == uninterrupted.batches[: STEPS + 6]
    assert train(path).batches == uninterrupted.batches[STEPS + 6 :]


def test_another_batch_size_goes_on_behind_the_same_sample(tmp_path: Path, uninterrupted: Recorder) -> None:
    path = str(tmp_path / "run.weights.h5")
    with pytest.raises(StopError):
        train(path, After(3, stop))
    dataset, model = make_loader(batch_size=5).to_keras(), make_model()
    dataset.resume(model, path)
    assert dataset.spans(1) == [(0, 1)]
    model.fit(dataset, epochs=1, verbose=0)
    first = [label for batch in uninterrupted.batches[:STEPS] for label in batch]
    assert [label for batch in model.batches for label in batch] == first[3 * BATCH :]


def test_the_rest_of_an_epoch_needs_a_fit_of_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "run.weights.h5")
    with pytest.raises(StopError):
        train(path, After(STEPS + 3, stop))
    loader, model = make_loader(), make_model()
    dataset = loader.to_keras()
    dataset.resume(model, path)
    assert dataset.spans(EPOCHS) == [(1, 2), (2, EPOCHS)]
    with pytest.raises(OptionError, match=r"4 of 7 batches are left of epoch 1[\s\S]*epochs=2\)") as caught:
        model.fit(dataset, initial_epoch=1, epochs=EPOCHS, callbacks=[dataset.checkpoint(path)], verbose=0)
    assert "initial_epoch=2, epochs=3" in str(caught.value)
    assert model.batches == []
    # Without the callback nobody knows of the epochs that follow before the first of them begins.
    with pytest.raises(OptionError, match=r"epoch 1 is complete[\s\S]*initial_epoch=2"):
        model.fit(dataset, initial_epoch=1, epochs=EPOCHS, verbose=0)
    assert len(model.batches) == 4
    assert loader.epoch == 2


def test_a_fit_behind_the_rest_of_an_epoch_is_whole(tmp_path: Path, uninterrupted: Recorder) -> None:
    state = make_loader().state_at(STEPS - 1)  # one batch is left: building the model takes it too
    loader = make_loader()
    loader.load_state_dict(json.loads(json.dumps(state)))
    model, dataset = make_model(built=False), loader.to_keras()
    for initial_epoch, epochs in dataset.spans(2):
        # Compiled anew, Keras takes a batch to build what computes loss and metrics.
        model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
        model.fit(dataset, initial_epoch=initial_epoch, epochs=epochs, verbose=0)
    assert model.batches == uninterrupted.batches[STEPS - 1 : 2 * STEPS]


def test_the_file_is_one_of_keras_too(tmp_path: Path) -> None:
    path = str(tmp_path / "run.weights.h5")
    trained = train(path)
    model = Recorder()
    model(samples()[0])
    model.load_weights(path)
    assert weights(model) == weights(trained)


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    (tmp_path / ".run.weights.h5.partial.weights.h5").write_bytes(b"of a process that was killed")
    train(str(tmp_path / "run.weights.h5"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.weights.h5"]


def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "run.weights.h5"
    train(str(path))
    before = path.read_bytes()
    dataset, model = make_loader().to_keras(), make_model()

    def no_space(*arguments: Any, **options: Any) -> None:
        Path(arguments[0]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save_weights", no_space)
    with pytest.raises(OSError, match="No space left"):
        model.fit(dataset, epochs=1, callbacks=[dataset.checkpoint(path, save_freq=1)], verbose=0)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.weights.h5"]


def test_only_rank_0_writes(tmp_path: Path) -> None:
    for rank in (1, 0):
        loader = make_loader(batch_size=2, rank=rank, world_size=2, drop_last=True)
        dataset, model = loader.to_keras(), make_model()
        path = tmp_path / "run.weights.h5"
        model.fit(dataset, epochs=1, callbacks=[dataset.checkpoint(path)], verbose=0)
        assert path.exists() == (rank == 0)


def test_no_file_is_a_new_run(tmp_path: Path) -> None:
    loader = make_loader()
    assert loader.to_keras().resume(make_model(), tmp_path / "run.weights.h5") is False
    assert (loader.epoch, loader.first_batch) == (0, 0)


def test_other_data_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    path = str(tmp_path / "run.weights.h5")
    train(path)
    model = make_model()
    before = weights(model)
    dataset = make_loader(indices=range(20)).to_keras()
    with pytest.raises(StateError, match="other data"):
        dataset.resume(model, path)
    assert weights(model) == before
    assert dataset.epoch == 0


def test_a_model_of_another_shape_leaves_the_loader_where_it_was(tmp_path: Path) -> None:
    path = str(tmp_path / "run.weights.h5")
    train(path)
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    other.compile("sgd", "mse")
    dataset = make_loader().to_keras()
    with pytest.raises(ValueError, match="could not be loaded"):
        dataset.resume(other, path)
    assert dataset.epoch == 0


@pytest.mark.parametrize("kind", ["of Keras", "no HDF5", "damaged"])
def test_another_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "run.weights.h5"
    model = make_model()
    if kind == "no HDF5":
        path.write_bytes(b"something else")
    else:
        model.save_weights(path)
    if kind == "damaged":
        with h5py.File(path, "r+") as file:
            file["outcore_loader"] = "{"
    with pytest.raises(CheckpointError, match="was not written by"):
        make_loader().to_keras().resume(model, path)


def test_a_model_that_is_not_ready_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "run.weights.h5")
    train(path)
    with pytest.raises(OptionError, match="not compiled"):
        make_loader().to_keras().resume(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), path)
    with pytest.raises(OptionError, match="not built"):
        make_loader().to_keras().resume(make_model(built=False), path)


def test_bad_arguments(tmp_path: Path) -> None:
    dataset = make_loader().to_keras()
    with pytest.raises(OptionError, match=r"does not end in \.weights\.h5"):
        dataset.checkpoint(tmp_path / "run.h5")
    with pytest.raises(NotFoundError, match="does not exist"):
        dataset.checkpoint(tmp_path / "nowhere" / "run.weights.h5")
    for wrong in (0, -1, 1.5, True, "epoch"):
        with pytest.raises(OptionError, match="no number of batches"):
            dataset.checkpoint(tmp_path / "run.weights.h5", save_freq=wrong)


def test_the_callback_is_one_of_keras(tmp_path: Path) -> None:
    assert isinstance(
        make_loader().to_keras().checkpoint(tmp_path / "run.weights.h5"), keras.callbacks.Callback
    )
