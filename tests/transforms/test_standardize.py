"""Columns of mean 0 and deviation 1."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import StandardScaler

import outcore as oc
from outcore import transforms
from outcore.errors import DTypeError, FieldError, OptionError, ShapeError, TransformError

NAN = np.nan
TABLE = np.dtype([("carrier", "S2"), ("delay", "<f4"), ("miles", "i2"), ("pos", "f8", (2,))])


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 2, (n, d))


def table(n: int) -> np.ndarray:
    made = np.zeros(n, TABLE)
    made["carrier"] = b"AA"
    made["delay"], made["miles"], made["pos"] = rows(n, 1)[:, 0], np.arange(n), rows(n, 2, seed=1)
    return made


@given(
    dtype=st.sampled_from(["?", "i1", "u2", "<i4", "u8", "<f2", "<f4", "<f8"]),
    n=st.integers(2, 9),
    d=st.integers(1, 5),
    data=st.data(),
)
def test_as_scikit_learn_scales(dtype: str, n: int, d: int, data: st.DataObject) -> None:
    X = data.draw(hnp.arrays("i1", (n, d), elements=st.integers(0, 9))).astype(dtype)
    made = transforms.standardize(oc.describe(X))(X.copy())
    expected_dtype = X.dtype if X.dtype.kind == "f" else np.result_type(X.dtype, np.float32)
    assert made.dtype == expected_dtype
    expected = StandardScaler().fit_transform(X.astype("f8"))
    np.testing.assert_allclose(made, expected, rtol=0, atol=4e-3 if dtype == "<f2" else 1e-5)


def test_nan_stays_nan_and_does_not_count() -> None:
    X = np.array([[1, NAN], [3, 4], [NAN, 6]])
    made = transforms.standardize(oc.describe(X))(X)
    np.testing.assert_array_equal(made, [[-1, NAN], [1, -1], [NAN, 1]])


@pytest.mark.parametrize("constant", [0, 7, 0.1, -1e9, 1e100, 5e-324])
def test_a_column_that_does_not_vary_becomes_zero(constant: float) -> None:
    X = np.full((1000, 1), constant)
    made = transforms.standardize(oc.describe(X))(X)
    np.testing.assert_allclose(made, 0, atol=1e-9 * max(abs(constant), 1))
    assert np.isfinite(transforms.standardize(mean=constant, std=0)(X)).all()


def test_what_rounding_leaves_of_a_constant_is_no_deviation() -> None:
    made = transforms.standardize(mean=0.1, std=1.4e-17)(np.array([np.nextafter(0.1, 1)]))
    assert abs(made[0]) < 1e-15


def test_a_deviation_that_the_dtype_has_no_number_for_counts_as_one() -> None:
    assert transforms.standardize(mean=0, std=1e-60)(np.array([2], "f4")).tolist() == [2]


def test_columns_of_windows_are_the_last_axis() -> None:
    X = rows(20, 3)
    scale = transforms.standardize(oc.describe(X))
    windows = np.lib.stride_tricks.sliding_window_view(X, 4, axis=0).transpose(0, 2, 1).copy()
    expected = (windows - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(scale((windows, None))[0], expected)


def test_rows_of_several_axes_have_statistics_of_their_own() -> None:
    X = rows(30, 6).reshape(30, 2, 3)
    expected = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(transforms.standardize(oc.describe(X))(X.copy()), expected)
    with pytest.raises(ShapeError, match=r"statistics are of shape \(2, 3\), but batch has shape \(5, 6\)"):
        transforms.standardize(oc.describe(X))(np.zeros((5, 6)))


def test_statistics_of_one_column_are_those_of_every_value() -> None:
    x = rows(50, 1)[:, 0]
    scale = transforms.standardize(oc.describe(x))
    for batch in (x.copy(), x.reshape(10, 5).copy(), x.reshape(50, 1).copy()):
        np.testing.assert_allclose(scale(batch).ravel(), (x - x.mean()) / x.std())


def test_mean_and_deviation_as_arrays_or_numbers() -> None:
    X = rows(5, 2)
    expected = (X - [1, 2]) / [3, 4]
    np.testing.assert_allclose(transforms.standardize(mean=[1, 2], std=[3, 4])(X.copy()), expected)
    np.testing.assert_allclose(transforms.standardize(mean=[1, 2], std=5)(X.copy()), (X - [1, 2]) / 5)
    np.testing.assert_allclose(transforms.standardize(mean=1, std=5)(X.copy()), (X - 1) / 5)


@pytest.mark.parametrize("columns", [[0, 2], [2, 0], slice(0, 3, 2), [-1, 0], (0, -1), range(0, 3, 2)])
def test_columns_that_were_not_asked_for_keep_their_values(columns: object) -> None:
    X = rows(5, 3)
    d = oc.describe(X)
    X[1, 1] = NAN
    made = transforms.standardize(d, columns=columns)(X.copy())
    assert made[:, 1].tobytes() == X[:, 1].tobytes()
    np.testing.assert_allclose(made[:, ::2], ((X - d.mean) / d.std)[:, ::2])


def test_a_column_without_statistics_can_be_left_out() -> None:
    X = np.array([[1, NAN], [3, NAN]])
    with pytest.raises(OptionError, match=r"the mean of column 1 is nan"):
        transforms.standardize(oc.describe(X))
    made = transforms.standardize(oc.describe(X), columns=0)(X)
    np.testing.assert_array_equal(made, [[-1, NAN], [1, NAN]])


@pytest.mark.parametrize(
    ("batch", "key", "place"),
    [
        ((np.ones((2, 2)), np.ones((2, 2))), None, 0),
        ((np.ones((2, 2)), np.ones((2, 2))), 1, 1),
        ({"a": np.ones((2, 2)), "x": np.ones((2, 2))}, "x", "x"),
    ],
)
def test_only_the_element_asked_for_is_scaled(batch: object, key: object, place: object) -> None:
    made = transforms.standardize(mean=1, std=1, key=key)(batch, None)
    assert made[place].tolist() == [[0, 0], [0, 0]]
    (other,) = set(batch if isinstance(batch, dict) else range(2)) - {place}
    assert made[other].tolist() == [[1, 1], [1, 1]]


def test_the_dtype_can_be_said() -> None:
    scale = transforms.standardize(mean=[1, 2], std=[3, 4], dtype="f4")
    for dtype in ("f8", "i8", "f2", "f4", ">f4"):
        X = np.array([[4, 6]], dtype)
        made = scale(X)
        assert made.dtype == np.float32
        assert made.dtype.isnative
        assert made.tolist() == [[1, 1]]


def test_large_integers_are_subtracted_before_they_are_rounded() -> None:
    X = np.array([[1_700_000_000_001], [1_700_000_000_003]])
    made = transforms.standardize(oc.describe(X), dtype="f4")(X)
    assert made.tolist() == [[-1], [1]]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floating_point_is_changed_in_place(dtype: str) -> None:
    X = rows(3, 2).astype(dtype)
    made = transforms.standardize(mean=1, std=2)((X, 0))
    assert made[0] is X
    view = np.zeros((4, 6), dtype)
    assert transforms.standardize(mean=1, std=2)(view[::2, 1:3]).base is view
    assert view[0].tolist() == [0, -0.5, -0.5, 0, 0, 0]


def test_what_is_read_only_is_not_written() -> None:
    for X in (rows(3, 2), table(3)):
        X.flags.writeable = False
        before = X.tobytes()
        made = transforms.standardize(oc.describe(X))(X)
        assert made.flags.writeable
        assert X.tobytes() == before


def test_an_element_that_was_not_asked_for_is_not_written_through_shared_memory() -> None:
    X = rows(3, 4)
    before = X.copy()
    made, y = transforms.standardize(mean=1, std=2)((X[:, :3], X[:, 2]))
    np.testing.assert_array_equal(y, before[:, 2])
    np.testing.assert_allclose(made, (before[:, :3] - 1) / 2)
    x, target = transforms.standardize(mean=1, std=2, key=0)((X, X))
    np.testing.assert_array_equal(target, before)
    assert x is not target


def test_fields_are_scaled_by_name_and_text_stays() -> None:
    batch = table(7)
    made = transforms.standardize(oc.describe(batch))(batch.copy())
    assert made.dtype == [("carrier", "S2"), ("delay", "f4"), ("miles", "f4"), ("pos", "f8", (2,))]
    np.testing.assert_array_equal(made["carrier"], batch["carrier"])
    for name in ("delay", "miles", "pos"):
        expected = (batch[name] - batch[name].mean(axis=0)) / batch[name].std(axis=0)
        np.testing.assert_allclose(made[name], expected, rtol=1e-4, atol=1e-5)


def test_fields_asked_for_are_scaled_in_place_where_their_dtype_stays() -> None:
    batch = table(7)
    before = batch.copy()
    scale = transforms.standardize(oc.describe(batch), columns=["delay", "pos"])
    assert scale(batch) is batch
    np.testing.assert_array_equal(batch["miles"], before["miles"])
    np.testing.assert_allclose(batch["pos"].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(batch["delay"].std(axis=0), 1, rtol=1e-5)


def test_fields_of_windows() -> None:
    batch = table(12)
    d = oc.describe(batch)
    made = transforms.standardize(d)(batch.reshape(3, 4))
    np.testing.assert_allclose(made["pos"].reshape(12, 2), (batch["pos"] - d.mean["pos"]) / d.std["pos"])


def test_statistics_of_fields_scale_what_select_stacked() -> None:
    batch = table(9)
    d = oc.describe(batch)
    names = ["miles", "pos", "delay"]
    x, y = transforms.select(names, "carrier")(batch)
    scaled, _ = transforms.standardize(d, columns=names)((x, y))
    expected = transforms.select(names)(transforms.standardize(d)(batch))
    np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(
        OptionError, match=r"statistics are of fields \(delay, miles, pos\), but batch has none"
    ):
        transforms.standardize(d)(x)
    with pytest.raises(ShapeError, match=r"statistics are of 1 columns, but batch has shape \(9, 4\)"):
        transforms.standardize(d, columns="miles")(x)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "either .* or both"),
        ({"mean": 1}, "either .* or both"),
        ({"std": 1}, "either .* or both"),
        ({"statistics": oc.describe(rows(3, 2)), "mean": 1, "std": 1}, "either .* or both"),
        ({"statistics": rows(3, 2)}, "statistics is a ndarray; expected what oc.describe"),
        ({"mean": [1, 2], "std": [1, 2, 3]}, r"mean has shape \(2,\), std \(3,\)"),
        ({"mean": "a", "std": 1}, "real numbers"),
        ({"mean": [1, NAN], "std": 1}, "the mean of column 1 is nan"),
        ({"mean": 1, "std": [1, np.inf]}, "the std of column 1 is inf"),
        ({"mean": [[1, 2]], "std": -1}, r"the std of column 0,0 is -1"),
        ({"statistics": oc.describe(np.array([b"a"], "S1"))}, "the mean of column 0 is nan"),
        ({"statistics": oc.describe(np.array([(b"a",)], [("a", "S1")]))}, "the same fields, of numbers"),
        ({"mean": np.zeros((), "f8, f8"), "std": 1}, "the same fields"),
        ({"mean": 1, "std": 1, "columns": [0]}, "is one number"),
        (
            {"mean": [1, 2], "std": 1, "columns": [2]},
            r"column 2, .*0 to 1\.\nThese are the columns of the stat",
        ),
        ({"mean": [1, 2], "std": 1, "columns": "a"}, r"'a', which is not there"),
        ({"mean": [1, 2], "std": 1, "columns": []}, r"columns=\[\]"),
        (
            {"statistics": oc.describe(table(3)), "columns": ["carrier"]},
            r"'carrier'.*fields are delay, miles, pos",
        ),
        ({"statistics": oc.describe(table(3)), "columns": ["pos", "pos"]}, "twice"),
        ({"mean": 1, "std": 1, "key": None, "dtype": "i4"}, "dtype"),
        ({"mean": 1, "std": 1, "key": 1.5}, r"key=1\.5"),
    ],
)
def test_what_makes_no_sense_is_refused_when_made(arguments: dict[str, object], text: str) -> None:
    with pytest.raises((OptionError, DTypeError), match=text):
        transforms.standardize(**arguments)


@pytest.mark.parametrize(
    ("batch", "error", "text"),
    [
        (
            np.zeros((4, 3)),
            ShapeError,
            r"statistics are of 2 columns, but batch has shape .* a row has 3 columns",
        ),
        (np.zeros(2), ShapeError, r"statistics are of 2 columns, but batch has shape \(2,\)"),
        ((np.zeros(4), np.zeros((4, 2))), ShapeError, r"batch\[0\] has shape \(4,\)"),
        (np.array([["a", "b"]]), DTypeError, r"batch is of dtype <U1"),
        (np.zeros((2, 2), "c8"), DTypeError, "complex64; expected real numbers"),
        (np.zeros(2, "f4, f4"), FieldError, "has fields, f0, f1; the statistics are of columns"),
        ({"x": np.zeros((2, 2))}, FieldError, r"no key=.*\n.*'x'"),
        (([0, 1], 2), TransformError, r"batch\[0\] is a list; expected one array"),
        ((3, 2), TransformError, r"batch\[0\] is a int"),
    ],
)
def test_batches_that_do_not_fit_are_refused_with_both(
    batch: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        transforms.standardize(mean=[0, 1], std=[1, 1])(batch)


def test_a_mean_that_the_dtype_cannot_hold_is_refused() -> None:
    with pytest.raises(DTypeError, match=r"float32, which cannot hold the statistics: a mean of 1e\+300"):
        transforms.standardize(mean=1e300, std=1)(np.zeros(2, "f4"))


def test_a_field_that_is_not_there_is_named() -> None:
    scale = transforms.standardize(oc.describe(table(3)))
    with pytest.raises(FieldError, match=r"no field 'miles'; its fields are delay"):
        scale(table(3)[["delay"]])


def test_it_pickles_and_reads_as_it_was_made() -> None:
    X = rows(5, 3)
    scale = transforms.standardize(oc.describe(X), dtype="f4")
    again = pickle.loads(pickle.dumps(scale))
    assert repr(again) == repr(scale)
    assert again(X.copy()).tobytes() == scale(X.copy()).tobytes()
    fields = transforms.standardize(oc.describe(table(5)), columns=["delay"])
    again = pickle.loads(pickle.dumps(fields))
    assert repr(again) == repr(fields)
    assert again(table(5)).tobytes() == fields(table(5)).tobytes()
    assert repr(transforms.standardize(mean=[1, 2], std=3, key="x")) == (
        "standardize(mean=[1., 2.], std=[3., 3.], key='x', dtype=None)"
    )
    assert len(repr(transforms.standardize(mean=np.zeros(10_000), std=1))) < 200
