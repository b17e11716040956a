"""Real `fit`, `evaluate` and `predict` of Keras, on the backend that KERAS_BACKEND names."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("keras")
import keras
import numpy as np

import outcore as oc
from outcore.errors import (
    DTypeError,
    MissingPackageError,
    OptionError,
    RowIndexError,
    ShapeError,
    TransformError,
)
from tests.adapters.keras_training import (
    BATCH,
    EPOCHS,
    STEPS,
    After,
    N,
    epochs_of,
    make_loader,
    make_model,
    samples,
    weights,
)

# PyTorch 2.13's tensors do not know the `copy` of NumPy 2, which Keras's torch backend meets when it takes
# values out of them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


class Peek(keras.callbacks.Callback):
    """Looks at the dataset while it is in use."""

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.dataset = dataset

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert len(self.dataset) == STEPS
        self.dataset[(3 * batch) % STEPS]


def fit(model: Any, dataset: Any, **options: Any) -> None:
    model.fit(dataset, **{"verbose": 0} | options)


# ---- order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("options", [{}, {"shuffle": False}])
@pytest.mark.parametrize("shuffle", ["block", True, False])
def test_fit_trains_on_the_loader_s_batches_in_its_order(
    shuffle: Any, options: dict[str, Any], built: bool
) -> None:
    loader = make_loader(shuffle=shuffle)
    model = make_model(built)
    fit(model, loader.to_keras(), epochs=EPOCHS, **options)
    assert model.batches == epochs_of(make_loader(shuffle=shuffle), range(EPOCHS))
    assert (loader.epoch, loader.first_batch) == (EPOCHS, 0)


def test_fits_follow_one_another() -> None:
    loader, model = make_loader(), make_model(built=False)
    dataset = loader.to_keras()
    fit(model, dataset, epochs=2)
    fit(model, dataset, initial_epoch=2, epochs=3)
    loader.set_epoch(7)
    fit(model, dataset, epochs=1)
    assert model.batches == epochs_of(make_loader(), range(3)) + epochs_of(make_loader(), range(7, 8))


@pytest.mark.parametrize("n", [1, 2])
def test_an_epoch_of_a_single_batch(n: int) -> None:
    loader = make_loader(batch_size=N // n)
    model = make_model(built=False)
    fit(model, loader.to_keras(), epochs=EPOCHS)
    assert model.batches == epochs_of(make_loader(batch_size=N // n), range(EPOCHS))
    assert loader.epoch == EPOCHS


@pytest.mark.parametrize("shuffle", [True, False])
def test_steps_per_epoch_cuts_one_epoch_into_several(shuffle: bool) -> None:
    loader = make_loader(batch_size=3)  # 9 batches
    model = make_model(built=False)
    fit(model, loader.to_keras(), epochs=6, steps_per_epoch=3, shuffle=shuffle)
    assert model.batches == epochs_of(make_loader(batch_size=3), range(2))
    assert loader.epoch == 2


def test_a_look_at_the_dataset_loses_and_repeats_no_batch() -> None:
    dataset, model = make_loader().to_keras(), make_model()
    fit(model, dataset, epochs=2, callbacks=[Peek(dataset)])
    for epoch in range(2):
        found = model.batches[epoch * STEPS : (epoch + 1) * STEPS]
        assert sorted(found) == sorted(epochs_of(make_loader(), range(epoch, epoch + 1)))


def test_validation_and_evaluation_see_every_sample_each_time() -> None:
    x, y = samples()
    held_back = make_loader(shuffle=False)
    model = make_model(built=False)
    history = model.fit(
        make_loader().to_keras(), epochs=EPOCHS, validation_data=held_back.to_keras(), verbose=0
    )
    assert model.batches == epochs_of(make_loader(), range(EPOCHS))
    assert held_back.epoch == EPOCHS
    expected = float(np.mean(np.abs(x @ np.asarray(weights(model)[0])[:, None] + weights(model)[1] - y)))
    assert history.history["val_mae"][-1] == pytest.approx(expected, rel=1e-5)
    for shuffle in (False, "block"):
        found = model.evaluate(make_loader(shuffle=shuffle).to_keras(), return_dict=True, verbose=0)
        assert found["mae"] == pytest.approx(expected, rel=1e-5)


def test_predictions_are_in_the_order_of_the_loader() -> None:
    model = make_model()
    model.dense.set_weights([np.array([[1.0], [10.0], [100.0]], "f4"), np.array([0.5], "f4")])
    loader = make_loader(shuffle=False)
    dataset = loader.to_keras()
    expected = samples()[0] @ np.array([1.0, 10.0, 100.0]) + 0.5
    for _ in range(2):
        np.testing.assert_allclose(model.predict(dataset, verbose=0)[:, 0], expected, rtol=1e-5)
    assert loader.epoch == 0
    only_x = oc.Loader(samples()[0], BATCH, shuffle=False).to_keras()
    np.testing.assert_allclose(model.predict(only_x, verbose=0)[:, 0], expected, rtol=1e-5)


def test_ranks_share_the_epoch() -> None:
    found = []
    for rank in range(2):
        model = make_model()
        loader = make_loader(batch_size=3, rank=rank, world_size=2, drop_last=True)
        fit(model, loader.to_keras(), epochs=1)
        found += [label for batch in model.batches for label in batch]
    assert len(set(found)) == len(found) == 24


# ---- broken off ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_fit_that_was_broken_off_begins_its_epoch_anew(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    dataset, model = make_loader().to_keras(), make_model()
    with pytest.raises(error):
        fit(model, dataset, epochs=2, callbacks=[After(STEPS + 3, fail)])
    del model.batches[:]
    fit(model, dataset, initial_epoch=1, epochs=3)
    assert model.batches == epochs_of(make_loader(), range(1, 3))


def test_no_thread_outlives_the_dataset() -> None:
    before = threading.active_count()
    dataset, model = make_loader(num_workers=2).to_keras(), make_model()
    stop = After(2, lambda: setattr(model, "stop_training", True))
    fit(model, dataset, epochs=1, callbacks=[stop])
    assert threading.active_count() == before + 2  # they wait for the next fit
    dataset.close()
    assert threading.active_count() == before
    fit(model, dataset, epochs=1, callbacks=[After(2, lambda: setattr(model, "stop_training", True))])
    assert threading.active_count() == before + 2
    del dataset
    gc.collect()  # Keras's iterators refer to each other
    assert threading.active_count() == before


def test_an_error_of_a_transform_comes_through_fit() -> None:
    def transform(batch: Any, rng: Any) -> Any:
        if 5 in batch[1]:
            raise KeyError("five")
        return batch

    model = make_model()
    with pytest.raises(TransformError, match="five"):
        fit(model, make_loader(transform=transform).to_keras(), epochs=1)


# ---- what a batch may be -----------------------------------------------------------------------------


def test_sample_weights_are_used() -> None:
    x, y = samples()
    model = make_model()
    before = weights(model)
    fit(model, oc.Loader((x, y, np.zeros(N, "f4")), BATCH).to_keras())
    assert weights(model) == before
    fit(model, oc.Loader((x, y, np.ones(N, "f4")), BATCH).to_keras())
    assert weights(model) != before


def test_class_weights_are_used() -> None:
    x, y = samples()
    model = make_model()
    before = weights(model)
    loader = oc.Loader((x, (y > 10).astype("f4")), BATCH)
    fit(model, loader.to_keras(), class_weight={0: 0.0, 1: 0.0})
    assert weights(model) == before
    fit(model, loader.to_keras(), class_weight={0: 0.0, 1: 1.0})
    assert weights(model) != before


def test_models_of_several_inputs_get_a_dict() -> None:
    inputs = {name: keras.Input((2,), name=name) for name in ("left", "right")}
    layer = keras.layers.Dense(1, kernel_initializer="ones")
    model = keras.Model(inputs, layer(keras.ops.concatenate([inputs["left"], inputs["right"]], axis=-1)))
    model.compile("sgd", "mse", run_eagerly=True)
    arrays = {name: np.full((N, 2), i, "f4") for i, name in enumerate(("left", "right"))}
    found = model.predict(oc.Loader(arrays, BATCH, shuffle=False).to_keras(), verbose=0)
    assert found[:, 0].tolist() == [2.0] * N
    loader = oc.Loader(
        arrays | {"y": np.zeros((N, 1), "f4")}, BATCH, transform=lambda batch, rng: (batch, batch.pop("y"))
    )
    before = weights(model)
    fit(model, loader.to_keras())
    assert weights(model) != before


def test_structured_arrays_are_refused_and_select_mends_it() -> None:
    rows = np.zeros(N, [("a", "f4"), ("b", "i8"), ("c", "f4"), ("label", "i4")])
    rows["label"] = np.arange(N)
    model = make_model()
    with pytest.raises(
        DTypeError, match=r"fields a, b, c, label[\s\S]*transforms\.select\(y='label'"
    ) as caught:
        fit(model, oc.Loader(rows, BATCH).to_keras())
    line = str(caught.value).splitlines()[-1]
    transform = eval(line[line.index("oc.transforms") : line.rindex(")")])  # as it is written there
    fit(make_model(), oc.Loader(rows, BATCH, transform=transform).to_keras())


def test_text_is_refused() -> None:
    names = np.array(["a"] * N)
    with pytest.raises(DTypeError, match=r"batch\[1\] has dtype <U1"):
        fit(make_model(), oc.Loader((samples()[0], names), BATCH).to_keras())


def test_more_than_three_arrays_are_refused() -> None:
    x, y = samples()
    with pytest.raises(OptionError, match=r"has 4 parts; Keras takes \(x,\), \(x, y\) or \(x, y, weights\)"):
        fit(make_model(), oc.Loader((x, x, y, y), BATCH).to_keras())


def test_a_share_without_samples_is_refused() -> None:
    x, y = samples()
    loader = oc.Loader((x[:5], y[:5]), 2, rank=0, world_size=2, shuffle=False)  # 4 samples, then 1
    model = make_model()
    with pytest.raises(ShapeError, match="drop_last=True"):
        fit(model, loader.to_keras(), epochs=1)
    assert model.batches == [[0, 1]]
    assert np.isfinite(weights(model)[0]).all()


# ---- the dataset by itself ---------------------------------------------------------------------------


def test_it_is_a_sequence_of_what_is_left() -> None:
    loader = make_loader()
    loader.load_state_dict(loader.state_at(2))
    dataset = loader.to_keras()
    assert isinstance(dataset, keras.utils.PyDataset)
    expected = epochs_of(make_loader(), range(1))[2:]
    assert (len(dataset), dataset.num_batches) == (STEPS - 2, STEPS - 2)
    assert [dataset[i][1][:, 0].tolist() for i in range(-1, STEPS - 2)] == [expected[-1], *expected]
    assert [batch[1][:, 0].tolist() for batch in dataset] == expected
    assert (loader.epoch, loader.first_batch) == (0, 2)
    with pytest.raises(RowIndexError, match=f"batch {STEPS - 2} of {STEPS - 2}"):
        dataset[STEPS - 2]


def test_it_pickles_as_the_loader_does() -> None:
    loader = oc.Loader(tuple(oc.share(array) for array in samples()), BATCH, seed=3, shuffle=True)
    loader.load_state_dict(loader.state_at(2))
    copy = pickle.loads(pickle.dumps(loader.to_keras()))
    assert [batch[1][:, 0].tolist() for batch in copy] == epochs_of(make_loader(), range(1))[2:]


def test_workers_of_keras_are_refused() -> None:
    dataset = make_loader().to_keras()
    for name, value in (("workers", 2), ("use_multiprocessing", True)):
        with pytest.raises(OptionError, match=rf"{name}={value}[\s\S]*num_workers"):
            setattr(dataset, name, value)
    dataset.workers, dataset.use_multiprocessing = 1, False
    assert (dataset.workers, dataset.use_multiprocessing) == (1, False)


def test_an_old_keras_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras, "__version__", "3.7.0")
    with pytest.raises(MissingPackageError, match=r"Keras 3\.7\.0[\s\S]*pip install"):
        make_loader().to_keras()


def test_tensorflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(OptionError, match="KERAS_BACKEND"):
        make_loader().to_keras()
