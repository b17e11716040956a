"""Labels into rows of zeros and a one."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from outcore import transforms
from outcore.errors import DTypeError, FieldError, OptionError, TransformError

WIDTHS = st.integers(1, 9)


@given(data=st.data(), n=WIDTHS, dtype=st.sampled_from(["i1", "u1", "<i4", ">i8", "u8", "f2", "<f4", ">f8"]))
def test_rows_of_the_identity(data: st.DataObject, n: int, dtype: str) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, min_side=0, max_side=5))
    labels = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, n - 1))).astype(dtype)
    made = transforms.one_hot(n)(labels)
    flat = labels[..., 0] if labels.ndim > 1 and labels.shape[-1] == 1 else labels
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, np.eye(n)[flat.astype(int)])


@given(
    data=st.data(),
    classes=st.one_of(
        st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=9, unique=True),
        st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=9, unique=True),
        st.lists(st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=3), min_size=1, unique=True),
    ),
)
def test_column_i_stands_for_class_i(data: st.DataObject, classes: list[object]) -> None:
    chosen = data.draw(st.lists(st.sampled_from(classes), max_size=6))
    labels = np.array(chosen, np.asarray(classes).dtype)
    expected = np.array([[label == c for c in classes] for label in chosen], "i4").reshape(-1, len(classes))
    made = transforms.one_hot(classes=classes, dtype="i4")(labels)
    np.testing.assert_array_equal(made, expected)
    if labels.dtype.kind == "U":
        as_bytes = np.strings.encode(labels, "utf-8")
        np.testing.assert_array_equal(transforms.one_hot(classes=classes, dtype="i4")(as_bytes), made)


def test_classes_of_bytes_match_labels_of_text() -> None:
    encode = transforms.one_hot(classes=np.array(["ä", "b"]).astype("U1"))
    assert encode(np.array(["b", "ä"])).tolist() == [[0, 1], [1, 0]]
    encode = transforms.one_hot(classes=["ä".encode(), b"b"])
    assert encode(np.array(["b", "ä"])).tolist() == [[0, 1], [1, 0]]


def test_classes_typed_as_decimals_match_labels_in_float32() -> None:
    encode = transforms.one_hot(classes=[0.1, 0.2])
    assert encode(np.array([0.2, 0.1], "f4")).tolist() == [[0, 1], [1, 0]]


def test_classes_that_are_one_in_float16_stay_apart() -> None:
    with pytest.raises(TransformError, match="is no class"):
        transforms.one_hot(classes=[0.1, 0.100001])(np.array([0.1], "f2"))


def test_booleans_are_classes_0_and_1() -> None:
    assert transforms.one_hot(2)(np.array([True, False])).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("batch", "key", "place"),
    [
        ((np.ones(2), np.array([1, 0])), None, 1),
        ([np.ones(2), np.array([1, 0])], 1, 1),
        ((np.array([1, 0]), np.ones(2)), -2, 0),
        ({"x": np.ones(2), "y": np.array([1, 0])}, "y", "y"),
    ],
)
def test_only_the_element_asked_for_is_encoded(batch: object, key: object, place: object) -> None:
    made = transforms.one_hot(2, key=key)(batch, None)
    assert type(made) is type(batch)
    assert made[place].tolist() == [[0, 1], [1, 0]]
    (other,) = set(batch if isinstance(batch, dict) else range(2)) - {place}
    assert made[other] is batch[other]
    assert batch[place].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([0, 2, 3, 7]), r"label 3 at batch\[2\] is no class; the classes are 0 to 2"),
        (np.array([[0, 1], [0, -1]]), r"label -1 at batch\[1, 1\]"),
        (np.array([0, np.nan]), r"label nan at batch\[1\]"),
        (np.array([0, 1.5]), r"label 1\.5 at batch\[1\]"),
        (np.array([np.inf]), r"label inf at batch\[0\]"),
        (np.array([2**63 + 1], "u8"), r"label 9223372036854775809 at"),
        (np.array([[0], [5]]), r"label 5 at batch\[1\]"),
    ],
)
def test_a_label_outside_is_named_with_its_place(labels: np.ndarray, text: str) -> None:
    with pytest.raises(TransformError, match=text):
        transforms.one_hot(3)(labels)


@pytest.mark.parametrize(
    ("classes", "labels", "text"),
    [
        (["no", "yes"], np.array([b"yes", b"maybe"]), r"label b'maybe' at batch\[1\].*\['no', 'yes'\]"),
        ([10, 20], np.array([20, 15]), r"label 15 at batch\[1\].*\[10, 20\]"),
        ([1.5, 2.5], np.array([1.5, np.nan]), "label nan at"),
        (range(100), np.array([100]), r"11, \.\.\. 100 in all\]"),
    ],
)
def test_a_label_that_is_no_class_is_named(classes: object, labels: np.ndarray, text: str) -> None:
    with pytest.raises(TransformError, match=text):
        transforms.one_hot(classes=classes)(labels)


@pytest.mark.parametrize(
    ("encode", "labels"),
    [
        (transforms.one_hot(2), np.array(["a"])),
        (transforms.one_hot(2), np.array([1], "M8[s]")),
        (transforms.one_hot(2), np.array([None])),
        (transforms.one_hot(classes=["a"]), np.array([1])),
        (transforms.one_hot(classes=[1]), np.array([b"1"])),
        (transforms.one_hot(2), np.zeros(2, "i4, f4")),
    ],
)
def test_labels_of_another_kind_name_both(encode: transforms.batches.Transform, labels: np.ndarray) -> None:
    with pytest.raises(DTypeError, match=r"batch is of dtype .*the classes are"):
        encode(labels)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "how many classes"),
        ({"n_classes": 0}, "n_classes=0"),
        ({"n_classes": True}, "n_classes=True"),
        ({"n_classes": 2.0}, r"n_classes=2\.0"),
        ({"n_classes": 3, "classes": ["a", "b"]}, "n_classes=3, but classes holds 2"),
        ({"classes": []}, "no list"),
        ({"classes": "ab"}, "no list"),
        ({"classes": [[1, 2]]}, "no list"),
        ({"classes": [[1, 2], [3]]}, "no list"),
        ({"classes": ["1", 2]}, "no list"),
        ({"classes": [None]}, "no list"),
        ({"classes": [1, 2, 1]}, "holds 1 twice"),
        ({"classes": [1.0, float("nan")]}, "NaN"),
        ({"classes": ["\ud800"]}, "no text"),
        ({"n_classes": 2, "key": 1.0}, r"key=1\.0"),
        ({"n_classes": 2, "key": True}, "key=True"),
        ({"n_classes": 2, "dtype": "S1"}, "dtype"),
    ],
)
def test_what_makes_no_sense_is_refused_when_made(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        transforms.one_hot(**arguments)


@pytest.mark.parametrize(
    ("batch", "key", "text"),
    [
        ({"x": np.ones(2), "y": np.ones(2)}, None, r"no key=.*\n.*'x', 'y'"),
        ({"x": np.ones(2), "y": np.ones(2)}, "z", r"no element 'z'\.\n.*'x', 'y'"),
        ({"x": np.ones(2)}, 0, r"no element 0\.\n.*'x'"),
        ((np.ones(2), np.ones(2)), 2, r"no element 2\.\n.*2 elements: 0 to 1"),
        ((np.ones(2), np.ones(2)), "y", r"no element 'y'"),
        ((np.ones(2),), None, r"no element 1\.\n.*1 elements"),
        (np.ones(2), 1, r"no element 1\.\n.*one array"),
    ],
)
def test_a_wrong_key_names_the_keys_there_are(batch: object, key: object, text: str) -> None:
    with pytest.raises(FieldError, match=text):
        transforms.one_hot(2, key=key)(batch)


@pytest.mark.parametrize("batch", [([0, 1], [0, 1]), 3, (np.ones(2), (np.ones(2), np.ones(2))), "ab", None])
def test_what_is_no_array_is_named_by_its_type(batch: object) -> None:
    with pytest.raises(TransformError, match=r"is a (list|int|tuple|str|NoneType); expected"):
        transforms.one_hot(2)(batch)


def test_labels_are_not_written() -> None:
    labels = np.array([0, 1, 1])
    labels.flags.writeable = False
    assert transforms.one_hot(2)(labels).flags.writeable
    assert labels.tolist() == [0, 1, 1]


def test_it_pickles_and_reads_as_it_was_made() -> None:
    for encode in (transforms.one_hot(3, key="y"), transforms.one_hot(classes=["c", "a", "b"], key="y")):
        again = pickle.loads(pickle.dumps(encode))
        labels = np.array([0, 2]) if again.classes is None else np.array(["c", "b"])
        assert again({"y": labels})["y"].tolist() == [[1, 0, 0], [0, 0, 1]]
        assert repr(again) == repr(encode)
    assert repr(transforms.one_hot(3)) == "one_hot(3, key=None, dtype='float32')"
    assert repr(encode) == "one_hot(classes=['c', 'a', 'b'], key='y', dtype='float32')"
