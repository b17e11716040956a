"""`SharedArray` is an ndarray for every function, shares what it says, and travels as a handle."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import outcore as oc
from outcore.errors import DTypeError, ReadOnlyError
from outcore.shared import segment
from outcore.testing import assert_same, example
from tests import strategies
from tests.shared import roles

OUT_OF_ORDER = np.dtype({"names": ["b", "a"], "formats": ["<i4", "<i2"], "offsets": [4, 0]})
OVERLAPPING = np.dtype({"names": ["a", "b"], "formats": ["<i4", "<i2"], "offsets": [0, 0], "itemsize": 8})
DTYPES = [*strategies.DTYPES, *strategies.STRUCTURED, OUT_OF_ORDER, OVERLAPPING]


def kind_of(result: Any, shared: Any) -> str:
    """Say what is wrong with the type of a result, "" if nothing is."""
    if not isinstance(result, np.ndarray) or not result.size:
        return ""
    expected = oc.SharedArray if np.shares_memory(result, np.asarray(shared)) else np.ndarray
    if type(result) is not expected:
        return f"{type(result).__name__} instead of {expected.__name__}"
    return ""


def wrong_kinds(result: Any, shared: Any) -> list[str]:
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [wrong for part in parts if (wrong := kind_of(part, shared))]


# ---- types ----------------------------------------------------------------------------------------

MATRIX = np.arange(12.0).reshape(3, 4)
#: Not results, but questions about the array, or what only says what it is told.
NOT_RESULTS = {"base", "view", "device", "dump", "dumps", "resize"}
ARGUMENTS: list[tuple[Any, ...]] = [
    *[(), (0,), (1,), (0, 1), ([0, 1],), ((12,),), ((4, 3),), ("f4",), ("f8",), (2.0,), (MATRIX,)],
    *[([MATRIX[0]] * 3,), (MATRIX.T,), (0, 7.0), (1.0, 2.0), ([True, False, True], 0), ("<f8", 0), (None,)],
    *[([0], [1.0]), ((1, 1), 5.0), (0, 0, 1)],
]
#: What needs one dimension or integers: see FUNCTIONS.
NEED_MORE = {"choose", "searchsorted", "setfield", "to_device"}


@pytest.mark.parametrize("name", sorted({name for name in dir(np.ndarray) if name[0] != "_"} - NOT_RESULTS))
def test_each_method_and_attribute_returns_shared_arrays_exactly_for_shared_memory(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # tofile() takes any text for a name
    shared = oc.share(MATRIX)
    if not callable(getattr(shared, name)):
        assert wrong_kinds(getattr(shared, name), shared) == []
        return
    n_called = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for arguments in ARGUMENTS:
            target, plain = oc.share(MATRIX), MATRIX.copy()  # each time anew, since some methods write
            try:
                expected = getattr(plain, name)(*arguments)
            except Exception as error:
                with pytest.raises(type(error)):
                    getattr(target, name)(*arguments)
                continue
            result = getattr(target, name)(*arguments)
            n_called += 1
            assert wrong_kinds(result, target) == [], arguments
            np.testing.assert_array_equal(target, plain)
            if isinstance(expected, (np.ndarray, np.generic)):
                np.testing.assert_array_equal(result, expected)
    assert n_called or name in NEED_MORE, f"no argument here fits {name}"


@pytest.mark.parametrize("dtype", ["i8", "c16", "?"])
@pytest.mark.parametrize("name", ["T", "mT", "real", "imag", "flat", "data", "ctypes"])
def test_attributes_of_other_dtypes(name: str, dtype: str) -> None:
    shared = oc.share(np.ones((2, 3), dtype))
    assert wrong_kinds(getattr(shared, name), shared) == []


def test_parts_are_set_through_their_attributes() -> None:
    shared = oc.share(np.zeros(3, "c16"))
    shared.imag = 2
    shared.real[1:] = 5
    assert shared.tolist() == [2j, 5 + 2j, 5 + 2j]
    shared.flat = 7
    shared.flat[1] = 8
    assert shared.tolist() == [7, 8, 7]
    assert type(shared.flat[:2]) is np.ndarray


FUNCTIONS = {
    "add": lambda s: s + 1,
    "reflected": lambda s: 1 - s,
    "power": lambda s: s**2,
    "divmod": lambda s: divmod(s, 2),
    "compare": lambda s: s > 3,
    "sin": np.sin,
    "matmul": lambda s: s @ s.T,
    "modf": np.modf,
    "reduce": lambda s: np.add.reduce(s, axis=0),
    "accumulate": lambda s: np.add.accumulate(s, axis=0),
    "outer": lambda s: np.add.outer(s, s),
    "reduceat": lambda s: np.add.reduceat(s, [0, 1]),
    "sum": lambda s: np.sum(s, axis=1),
    "median": lambda s: np.median(s, axis=0),
    "percentile": lambda s: np.percentile(s, [5, 50], axis=0),
    "where": lambda s: np.where(s > 3, s, 0),
    "where1": lambda s: np.where(s > 3),
    "concatenate": lambda s: np.concatenate([s, s]),
    "stack": lambda s: np.stack([s, s]),
    "block": lambda s: np.block([[s, s], [s, s]]),
    "split": lambda s: np.split(s, 3),
    "array_split": lambda s: np.array_split(s, 2),
    "meshgrid": lambda s: np.meshgrid(s[0], s[0], copy=False),
    "ix_": lambda s: np.ix_(s[0].astype(int), [1]),
    "broadcast_to": lambda s: np.broadcast_to(s, (2, 3, 4), subok=True),
    "broadcast_arrays": lambda s: np.broadcast_arrays(s, s[0], subok=True),
    "windows": lambda s: np.lib.stride_tricks.sliding_window_view(s, 2, axis=0, subok=True),
    "transpose": np.transpose,
    "squeeze": lambda s: np.squeeze(s[None]),
    "expand_dims": lambda s: np.expand_dims(s, 0),
    "moveaxis": lambda s: np.moveaxis(s, 0, 1),
    "flip": np.flip,
    "roll": lambda s: np.roll(s, 1),
    "rot90": np.rot90,
    "ravel": np.ravel,
    "diag": np.diag,
    "diagonal": np.diagonal,
    "triu": np.triu,
    "sort": np.sort,
    "argsort": np.argsort,
    "unique": lambda s: np.unique(s, return_counts=True),
    "unique_all": np.unique_all,
    "searchsorted": lambda s: np.searchsorted(s[0], s[1]),
    "take": lambda s: np.take(s, [0, 1], axis=0),
    "compress": lambda s: np.compress([True, False, True], s, axis=0),
    "pad": lambda s: np.pad(s, 1),
    "tile": lambda s: np.tile(s, 2),
    "kron": lambda s: np.kron(s, s),
    "broadcast_to ndarray": lambda s: np.broadcast_to(s, (2, 3, 4)),
    "einsum view": lambda s: np.einsum("ij->ji", s),
    "einsum": lambda s: np.einsum("ij,ij->i", s, s),
    "tensordot": lambda s: np.tensordot(s, s, 2),
    "histogram": np.histogram,
    "choose": lambda s: s.astype("i8").choose([0] * 12),
    "searchsorted method": lambda s: s[1].searchsorted(s[0]),
    "interp": lambda s: np.interp([0.5], s[0], s[1]),
    "gradient": np.gradient,
    "cumsum": np.cumsum,
    "diff": np.diff,
    "cov": np.cov,
    "nan_to_num": np.nan_to_num,
    "nan_to_num view": lambda s: np.nan_to_num(s, copy=False),
    "empty_like": np.empty_like,
    "zeros_like": np.zeros_like,
    "full_like": lambda s: np.full_like(s, 3),
    "copy": np.copy,
    "array copy": np.array,
    "asarray": lambda s: np.asarray(s)[:0],
    "real": np.real,
    "angle": np.angle,
    "apply_along_axis": lambda s: np.apply_along_axis(np.sum, 0, s),
    "vectorize": lambda s: np.vectorize(lambda x: x + 1)(s),
    "fft": np.fft.fft2,
    "rfft": np.fft.rfft,
    "fftshift": np.fft.fftshift,
    "svd": np.linalg.svd,
    "qr": np.linalg.qr,
    "inv": lambda s: np.linalg.inv(s @ s.T + np.eye(3)),
    "solve": lambda s: np.linalg.solve(s[:, :3] + np.eye(3), s),
    "eigh": lambda s: np.linalg.eigh(s @ s.T),
    "lstsq": lambda s: np.linalg.lstsq(s, s[:, 0]),
    "norm": lambda s: np.linalg.norm(s, axis=0),
    "polyfit": lambda s: np.polyfit(s[0], s[1], 1),
    "clip": lambda s: np.clip(s, 1, 2),
    "round": np.round,
    "random": lambda s: np.random.default_rng(0).permutation(s),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_compute_what_they_compute_of_ndarrays(name: str) -> None:
    shared = oc.share(MATRIX)
    result, expected = FUNCTIONS[name](shared), FUNCTIONS[name](MATRIX.copy())
    assert wrong_kinds(result, shared) == []
    if "empty" not in name:
        parts = [(result, expected)] if isinstance(result, np.ndarray) else zip(result, expected, strict=True)
        for got, wanted in parts:
            np.testing.assert_array_equal(got, wanted)
            assert np.asarray(got).dtype == np.asarray(wanted).dtype


def test_scalars_are_scalars() -> None:
    shared = oc.share(MATRIX)
    for result in (shared[1, 2], shared.sum(), np.mean(shared), shared.max(), shared[0] @ shared[0]):
        assert type(result) is np.float64
    assert type(oc.share(5)[()]) is np.int64
    assert type(oc.share(np.zeros(2, "i4,f4"))[0]) is np.void


def test_operations_in_place_and_out_write_to_the_shared_memory() -> None:
    shared = oc.share(MATRIX)
    other = pickle.loads(pickle.dumps(shared))
    shared += 1
    shared[1:] *= 2
    assert type(shared) is oc.SharedArray
    np.testing.assert_array_equal(other, np.concatenate([MATRIX[:1] + 1, 2 * (MATRIX[1:] + 1)]))
    for result in (
        np.add(MATRIX, 1, out=shared),
        np.sum(np.stack([MATRIX, MATRIX]), axis=0, out=shared),
        np.clip(MATRIX, 2, 3, out=shared),
        np.matmul(np.eye(3), MATRIX, out=shared),
        np.take(MATRIX, [2, 1, 0], axis=0, out=shared),
    ):
        assert result is shared
    np.testing.assert_array_equal(other, MATRIX[::-1])
    np.copyto(shared, 5)
    shared.sort()
    np.random.default_rng(0).random(out=shared)
    np.testing.assert_array_equal(other, shared)


def test_results_with_another_subclass_are_its_own() -> None:
    shared = oc.share(MATRIX)
    assert type(np.ma.array(MATRIX) + shared) is np.ma.MaskedArray
    assert type(shared + np.ma.array(MATRIX)) is np.ma.MaskedArray


def test_it_is_an_ndarray_for_those_who_ask() -> None:
    shared = oc.share(MATRIX)
    assert isinstance(shared, np.ndarray)
    assert not shared.flags.owndata
    assert memoryview(shared).nbytes == shared.nbytes
    assert np.asarray(shared).__array_interface__["data"] == shared.__array_interface__["data"]
    assert type(np.asarray(shared)) is np.ndarray
    assert np.from_dlpack(shared).tolist() == MATRIX.tolist()
    assert repr(oc.share(np.arange(2))) == "SharedArray([0, 1])"
    assert str(shared) == str(MATRIX)


def test_files_hold_the_values(tmp_path: Any) -> None:
    shared = oc.share(MATRIX)
    np.save(tmp_path / "x.npy", shared)
    np.savez(tmp_path / "x.npz", x=shared)
    shared.tofile(tmp_path / "x.bin")
    shared.dump(tmp_path / "x.pickle")
    dumped = shared.dumps()
    shared[...] = 0
    assert_same(np.load(tmp_path / "x.npy"), MATRIX)
    with np.load(tmp_path / "x.npz") as loaded:
        assert_same(loaded["x"], MATRIX)
    assert_same(np.fromfile(tmp_path / "x.bin").reshape(3, 4), MATRIX)
    assert_same(np.load(tmp_path / "x.pickle", allow_pickle=True), MATRIX)
    assert_same(pickle.loads(dumped), MATRIX)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, np.copy, lambda a: a.astype(a.dtype)])
def test_copies_are_copies_in_the_same_order(duplicate: Any) -> None:
    for given_array in (MATRIX, np.asfortranarray(MATRIX), MATRIX[::-1, ::2]):
        shared = oc.share(given_array)
        made = duplicate(shared)
        assert type(made) is np.ndarray
        assert made.strides == duplicate(given_array.copy("K")).strides
        made[...] = -1
        np.testing.assert_array_equal(shared, given_array)


def test_deepcopy_of_a_container_copies_each_array_once() -> None:
    shared = oc.share(MATRIX)
    first, second = copy.deepcopy([shared, shared])
    assert first is second
    assert not np.shares_memory(first, shared)


def test_what_numpy_makes_of_its_class_without_its_memory_is_pickled_as_values() -> None:
    made = np.array(oc.share(MATRIX), subok=True)  # no hook lets a subclass choose here
    assert not np.shares_memory(made, np.asarray(oc.share(MATRIX)))
    loaded = pickle.loads(pickle.dumps(made))
    assert type(loaded) is np.ndarray
    assert_same(loaded, MATRIX)
    with pytest.raises(DTypeError, match="not shared"):
        made.token()


# ---- travelling -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spawned() -> Iterator[Any]:
    """A child that stays for the tests of this module."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=roles.serve, args=(theirs,))
    process.start()
    theirs.close()
    yield ours
    ours.send(None)
    process.join(roles.PATIENCE_S)
    assert process.exitcode == 0
    ours.close()
    process.close()


@pytest.fixture
def child(spawned: Any) -> Any:
    """Call a function in a child process."""

    def call(function: Any, *arguments: Any) -> Any:
        spawned.send((function, arguments))
        assert spawned.poll(roles.PATIENCE_S), "the child does not answer"
        return spawned.recv()

    return call


@st.composite
def views(draw: st.DrawFn) -> Any:
    """A shared array, or a view of one by slices, axes, fields and broadcasting."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    given_array = example(shape, draw(st.sampled_from(DTYPES)))
    if draw(st.booleans()):
        given_array = np.asfortranarray(given_array)
    view = oc.share(given_array)
    for _ in range(draw(st.integers(0, 3))):
        if view.ndim and draw(st.booleans()):
            part = view[draw(hnp.basic_indices(view.shape, allow_newaxis=True))]
            view = part if isinstance(part, np.ndarray) else view
        if draw(st.booleans()):
            view = view.transpose(draw(st.permutations(range(view.ndim))))
        if view.dtype.names and draw(st.booleans()):
            view = view[draw(st.sampled_from(view.dtype.names))]
        if draw(st.integers(0, 5)) == 0 and view.ndim < 5 and view.size:
            view = np.broadcast_to(view, (2, *view.shape), subok=True)
    if draw(st.integers(0, 3)) == 0:
        view.flags.writeable = False
    return view


@given(view=views())
def test_a_view_loaded_in_the_same_process_is_the_same_memory(view: Any) -> None:
    loaded = pickle.loads(pickle.dumps(view))
    assert type(loaded) is type(view)
    assert roles.facts(loaded) == roles.facts(view)
    if view.size:
        assert loaded.__array_interface__["data"] == view.__array_interface__["data"]
    assert loaded.dtype.isalignedstruct == view.dtype.isalignedstruct


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(several=st.lists(views(), min_size=1, max_size=5))
def test_views_arrive_in_a_child_as_they_were_sent(child: Any, several: list[Any]) -> None:
    assert child(roles.facts_of_each, several) == roles.facts_of_each(several)


@given(view=views())
def test_a_token_names_the_same_memory(view: Any) -> None:
    attached = oc.attach(view.token())
    np.testing.assert_array_equal(attached, view)
    assert attached.dtype == view.dtype
    assert attached.dtype.isalignedstruct == view.dtype.isalignedstruct
    assert attached.size == 0 or np.shares_memory(attached, view) or view.dtype.itemsize == 0


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle(protocol: int) -> None:
    shared = oc.share(MATRIX)
    loaded = pickle.loads(pickle.dumps(shared, protocol))
    assert np.shares_memory(loaded, shared)


def test_nothing_is_sent_out_of_band() -> None:
    shared = oc.share(MATRIX)
    stream, buffers = io.BytesIO(), []
    pickle.Pickler(stream, 5, buffer_callback=buffers.append).dump(shared[1:])
    assert len(stream.getvalue()) < 500
    assert buffers == []  # that would be data after all
    assert pickle.loads(stream.getvalue()).tolist() == MATRIX[1:].tolist()


def test_the_pickle_of_a_row_of_30_gigabytes_is_a_few_hundred_bytes() -> None:
    huge = oc.shared_empty((3_750_000_000,), "f8", reserve=False)
    huge[-1] = 5
    pickled = pickle.dumps(huge[-1:])
    assert len(pickled) < 500
    assert pickle.loads(pickled).tolist() == [5]


def test_two_views_of_one_segment_arrive_sharing_one_map(child: Any) -> None:
    shared = oc.share(np.arange(10))
    assert child(shares, shared[:6], shared[4:]) == (True, 1)


def shares(first: Any, second: Any) -> tuple[bool, int]:
    first[-1] = -7
    one = {id(array._segment) for array in (first, second)}
    return bool(second[1] == -7) and np.shares_memory(first, second), len(one)


# ---- read-only ------------------------------------------------------------------------------------


def test_freezing_refuses_writes_here_and_for_views_made_later() -> None:
    shared = oc.share(MATRIX)
    before = shared[1:]
    assert shared.freeze() is shared
    assert shared.freeze() is shared
    for frozen in (shared, shared[1:], pickle.loads(pickle.dumps(shared))):
        assert not frozen.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            frozen[0] = 1
    before[0] = 5  # as in NumPy: a view that was writable stays so
    assert shared[1, 0] == 5
    with pytest.raises(ReadOnlyError, match=r"frozen.*\nUse mode='r'"):
        oc.attach(before.token(), mode="r+")


def freeze_in_vain(token: str) -> str:
    received = oc.attach(token, mode="r")
    assert not received.flags.writeable
    try:
        received.freeze()
    except ReadOnlyError as error:
        return str(error)
    return "frozen"


def test_who_received_it_read_only_cannot_freeze_it_for_the_others(child: Any) -> None:
    shared = oc.share(MATRIX)
    assert "read-only" in child(freeze_in_vain, shared.token())
    shared[0] = 1
    shared.freeze()
    assert child(freeze_in_vain, shared.token()) == "frozen"


def test_a_private_array_is_frozen_for_itself_and_does_not_travel() -> None:
    shared = oc.share(np.arange(3))
    private = oc.attach(shared.token(), mode="c")
    private[0] = 9
    assert shared[0] == 0
    with pytest.raises(DTypeError, match='mode="c"'):
        pickle.dumps(private)
    with pytest.raises(DTypeError, match='mode="c"'):
        private.token()
    private.freeze()
    assert not private.flags.writeable
    shared[0] = 1  # the others write on
    assert private[0] == 9


def test_nothing_is_left_when_the_last_array_is_gone() -> None:
    shared = oc.share(MATRIX)
    nonce = shared._segment.nonce
    plain = np.asarray(shared[1:])
    before = roles.fds()
    del shared
    assert segment.find(nonce, writable=True) is not None  # the last array may be of any class
    assert plain.sum() == MATRIX[1:].sum()
    assert roles.fds() == before
    del plain
    assert segment.find(nonce, writable=True) is None  # without a garbage collection
    assert roles.fds() == before - 1


def test_a_function_with_out_returns_that_very_array() -> None:
    plain = np.asarray(oc.share(np.zeros(4)))
    assert np.sum(oc.share(MATRIX), axis=0, out=plain) is plain


def test_what_lies_beyond_its_segment_is_no_handle() -> None:
    shared = oc.share(np.arange(4))
    beyond = np.lib.stride_tricks.as_strided(shared[1:], (4,), subok=True)
    loaded = pickle.loads(pickle.dumps(beyond))  # no other process has the page after it
    assert type(loaded) is np.ndarray
    assert loaded[:3].tolist() == [1, 2, 3]
