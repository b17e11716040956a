"""What holds for every loader: each sample once, the same batches however they are made."""

from __future__ import annotations

import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outcore as oc

N = 1009
ROWS = np.arange(N * 3.0).reshape(N, 3)
LABELS = np.arange(N)
SHUFFLES = ["block", True, False]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    where = tmp_path_factory.mktemp("loading") / "rows.npy"
    np.save(where, ROWS)
    return str(where)


def small_buffers(arrays, batch_size=32, **options):
    """Make a loader whose epoch takes many buffers, although the array is small."""
    options = {"memory": "100kB", "block_size": 7, "num_workers": 2, "prefetch": 4} | options
    return oc.Loader(arrays, batch_size, **options)


def labels(loader):
    """Return the labels of an epoch, which say which samples came; rows must be theirs."""
    found = []
    for rows, marks in loader:
        assert (rows == ROWS[marks]).all()
        found.append(marks)
    return found


@given(
    n=st.integers(1, 60),
    batch_size=st.integers(1, 25),
    world_size=st.integers(1, 4),
    shuffle=st.sampled_from(SHUFFLES),
    block_size=st.integers(1, 9),
    drop_last=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_every_sample_once(n, batch_size, world_size, shuffle, block_size, drop_last, epoch):
    step = batch_size * world_size
    if drop_last and step > n:
        return
    found = []
    for rank in range(world_size):
        loader = oc.Loader(
            np.arange(n), batch_size, shuffle=shuffle, block_size=block_size, drop_last=drop_last, rank=rank,
            world_size=world_size, num_workers=0,
        )  # fmt: skip
        loader.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == (n // step if drop_last else -(-n // step))
        found += batches
    samples = np.concatenate(found)
    assert len(np.unique(samples)) == len(samples)
    assert len(samples) == (n // step * step if drop_last else n)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_every_sample_of_a_file_once_in_the_same_order_for_any_number_of_workers(path, shuffle, num_workers):
    block = {"block_size": 7 if shuffle == "block" else None}
    reference = np.concatenate(
        labels(oc.Loader((ROWS, LABELS), 32, shuffle=shuffle, memory="100kB", **block, prefetch=4))
    )
    loader = small_buffers((path, LABELS), shuffle=shuffle, num_workers=num_workers, **block)
    found = np.concatenate(labels(loader))
    assert np.array_equal(found, reference)
    assert np.array_equal(np.sort(found), LABELS)
    if shuffle is False:
        assert np.array_equal(found, LABELS)
    else:
        assert not np.array_equal(found, LABELS)


@pytest.mark.parametrize("prefetch", [1, 2, 9])
def test_what_is_made_ahead_changes_nothing(path, prefetch):
    assert all(
        np.array_equal(a, b)
        for a, b in zip(
            labels(small_buffers((path, LABELS), prefetch=prefetch)),
            labels(small_buffers((path, LABELS), num_workers=0)),
            strict=True,
        )
    )


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_the_order_depends_neither_on_the_batch_size_nor_on_the_world_size(shuffle):
    def order(batch_size, world_size):
        loaders = [
            oc.Loader(LABELS, batch_size, shuffle=shuffle, rank=rank, world_size=world_size, num_workers=0)
            for rank in range(world_size)
        ]
        return np.concatenate([part for step in zip(*loaders, strict=True) for part in step])

    reference = order(32, 1)
    for batch_size, world_size in [(5, 1), (16, 2), (7, 3), (N, 1), (2 * N, 2)]:
        assert np.array_equal(order(batch_size, world_size), reference)


def test_a_batch_by_its_number_is_the_one_that_iterating_gives(path):
    loader = small_buffers((path, LABELS))
    batches = list(loader)
    loader.set_epoch(0)
    for number in (0, 3, len(loader) - 1, -1):
        assert all(np.array_equal(a, b) for a, b in zip(loader[number], batches[number], strict=True))
    for number in (len(loader), -len(loader) - 1):
        with pytest.raises(oc.errors.RowIndexError, match=rf"batch {number} of {len(loader)}"):
            loader[number]


@pytest.mark.parametrize("shuffle", ["block", True])
def test_orders_of_different_seeds_and_epochs_have_nothing_to_do_with_each_other(shuffle):
    orders = {}
    for seed in range(3):
        loader = oc.Loader(LABELS, N, shuffle=shuffle, seed=seed, num_workers=0)
        for epoch in range(3):
            assert loader.epoch == epoch
            orders[seed, epoch] = next(iter(loader))
            loader.set_epoch(epoch + 1)
    places = {key: np.argsort(order) for key, order in orders.items()}
    keys = list(places)
    for i, one in enumerate(keys):
        for other in keys[:i]:
            assert abs(np.corrcoef(places[one], places[other])[0, 1]) < 0.15, (one, other)


def test_looking_at_a_batch_takes_nothing_away():
    loader = oc.Loader(LABELS, 100, num_workers=1)
    first = next(iter(loader))
    assert np.array_equal(next(iter(loader)), first)
    assert np.array_equal(np.sort(np.concatenate(list(loader))), LABELS)


def test_each_loop_is_the_next_epoch():
    loader = oc.Loader(LABELS, 100, num_workers=0)
    epochs = []
    for epoch in range(3):
        assert loader.epoch == epoch
        epochs.append(np.concatenate(list(loader)))
    assert not np.array_equal(epochs[0], epochs[1])
    loader.set_epoch(1)
    assert np.array_equal(np.concatenate(list(loader)), epochs[1])
    assert loader.epoch == 2


def test_leaving_a_loop_early_begins_the_same_epoch_again():
    loader = oc.Loader(LABELS, 100, num_workers=2)
    for batch in loader:
        first = batch
        break
    assert loader.epoch == 0
    assert np.array_equal(next(iter(loader)), first)


def test_two_loops_at_once():
    loader = oc.Loader(LABELS, 100, num_workers=1)
    pairs = list(zip(loader, loader, strict=True))
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert loader.epoch == 1


def test_batches_are_writable_and_nobody_elses(path):
    loader = small_buffers((path, LABELS))
    kept = []
    for rows, marks in loader:
        assert rows.flags.writeable
        rows += 1
        kept.append((rows, marks))
    for rows, marks in kept:
        assert (rows == ROWS[marks] + 1).all()
    assert np.array_equal(np.load(path), ROWS)


@pytest.mark.parametrize(
    "kind", ["ndarray", "address", "Array", "memmap", "SharedArray", "hdf5", "chunked", "fortran"]
)
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_anything_that_holds_rows(kind, shuffle, path, tmp_path):
    if kind in ("hdf5", "chunked"):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=ROWS, chunks=(50, 2) if kind == "chunked" else None)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        rows = {
            "ndarray": lambda: ROWS,
            "address": lambda: path,
            "Array": lambda: oc.open(path),
            "memmap": lambda: np.load(path, mmap_mode="r"),
            "SharedArray": lambda: oc.share(ROWS),
            "hdf5": lambda: file["x"],
            "chunked": lambda: file["x"],
            "fortran": lambda: np.asfortranarray(ROWS),
        }[kind]()
        loader = oc.Loader((rows, LABELS), 64, shuffle=shuffle, seed=4, memory="40MB", num_workers=1)
        reference = oc.Loader((ROWS, LABELS), 64, shuffle=shuffle, seed=4, memory="40MB", num_workers=0)
    blocks = loader._blocks
    reference._blocks = blocks  # chunks of HDF5 make blocks larger
    assert all(
        np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
        for a, b in zip(loader, reference, strict=True)
    )


def test_structures_and_dtypes():
    table = np.zeros(50, [("chr", "S4"), ("pos", "i4"), ("day", "M8[D]"), ("v", "f4", (2,))])
    table["pos"] = np.arange(50)
    days = np.arange(50).astype("M8[D]")
    for made in oc.Loader({"table": table, "day": days, "name": np.arange(50).astype("U3")}, 8):
        assert list(made) == ["table", "day", "name"]
        assert made["table"].dtype == table.dtype
        assert (made["table"]["pos"] == made["day"].astype(int)).all()
        assert (made["name"].astype(int) == made["table"]["pos"]).all()


def test_one_field_of_a_structured_file(tmp_path):
    table = np.zeros(500, [("chr", "S4"), ("pos", "i4")])
    table["pos"] = np.arange(500)
    np.save(tmp_path / "t.npy", table)
    array = oc.open(str(tmp_path / "t.npy"))
    for shuffle in SHUFFLES:
        for both, marks in oc.Loader((array, array["pos"]), 32, shuffle=shuffle):
            assert (both["pos"] == marks).all()


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize(
    "indices",
    [slice(100, 900), range(50, 1000, 3), np.flatnonzero(LABELS % 7), LABELS % 3 == 0, [5, 5, 900, 1, -1]],
    ids=["slice", "range", "array", "mask", "list"],
)
def test_some_of_the_rows(path, shuffle, indices):
    loader = small_buffers((path, LABELS), shuffle=shuffle, indices=indices)
    if shuffle != "block":
        loader = oc.Loader((path, LABELS), 32, shuffle=shuffle, indices=indices)
    found = np.concatenate(labels(loader))
    wanted = LABELS[np.asarray(indices) if isinstance(indices, list | range) else indices]
    assert np.array_equal(np.sort(found), np.sort(wanted))
    if shuffle is False:
        assert np.array_equal(found, wanted)


def test_a_pickle_holds_addresses_and_goes_on_in_another_process(path, tmp_path):
    loader = small_buffers((path, oc.share(LABELS)))
    batches = iter(loader)
    next(batches)
    state, rest = loader.state_dict(), [marks for _, marks in batches]
    loader.load_state_dict(state)
    data = pickle.dumps(loader)
    assert len(data) < 20_000
    (tmp_path / "loader.pickle").write_bytes(data)
    code = (
        "import pickle, sys, numpy as np\n"
        "loader = pickle.loads(open(sys.argv[1], 'rb').read())\n"
        "np.save(sys.argv[2], np.concatenate([marks for _, marks in loader]))\n"
    )
    arguments = [str(tmp_path / "loader.pickle"), str(tmp_path / "found.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=60)
    assert np.array_equal(np.load(tmp_path / "found.npy"), np.concatenate(rest))


def test_rows_without_an_address_are_shared_when_a_loader_is_pickled():
    rows = np.arange(1_000_000)
    loader = oc.Loader(rows, 1000)
    first, again = pickle.dumps(loader), pickle.dumps(loader)
    assert len(first) < 20_000
    assert len(again) < 20_000
    for data in (first, again):  # what is sent and never arrives keeps its memory
        assert np.array_equal(next(iter(pickle.loads(data))), next(iter(loader)))


def test_the_default_order_does_not_depend_on_the_memory_that_is_free(tmp_path, monkeypatch):
    with open(tmp_path / "x.npy", "wb") as file:  # larger than any buffer: 10 GB, of holes
        header = {"descr": "<f4", "fortran_order": False, "shape": (10_000_000, 250)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 10_000_000_000)
    orders = set()
    for free in (1 << 36, 1 << 31):
        monkeypatch.setattr("outcore.budget.machine_memory", lambda free=free: oc.budget.Memory(free, free))
        orders.add(repr(oc.Loader(str(tmp_path / "x.npy"), 32)))
    assert len(orders) == 1
    assert "shuffle='block' (8013 blocks of 32)" in orders.pop()


def test_options_give_the_budget(path):
    with oc.options(memory="50MB"):
        assert oc.Loader(path, 32).peak_bytes <= 50_000_000


def test_stats_and_quality_say_what_they_are_for(path):
    loader = small_buffers((path, LABELS))
    list(loader)
    stats = loader.stats()
    assert stats.samples == N
    assert stats.batches == len(loader)
    assert stats.bytes_delivered == ROWS.nbytes + LABELS.nbytes
    assert stats.bytes_read == ROWS.nbytes
    worst, real = loader.shuffle_quality(), loader.shuffle_quality(np.random.default_rng(0).normal(size=N))
    assert worst.variance_ratio > 1.2 > real.variance_ratio > 0.9
    assert oc.Loader(path, 32, shuffle=True).shuffle_quality().variance_ratio == 1
    assert oc.Loader(path, 32, shuffle=False).shuffle_quality().variance_ratio == pytest.approx(32, rel=0.05)
    with pytest.raises(oc.errors.ShapeError, match=r"shape \(3,\); this loader has 1009 samples"):
        loader.shuffle_quality([1, 2, 3])


def test_it_says_what_it_is(path):
    text = repr(small_buffers((path, LABELS), world_size=2, rank=1))
    assert text.startswith("<outcore.Loader 1009 samples, 16 batches of 32 shuffle='block' (")
    assert "rank=1 of 2 epoch=0" in text


def test_a_billion_rows_cost_nothing_before_they_are_read(tmp_path):
    where = tmp_path / "sparse.npy"
    with open(where, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1_000_000_000, 4)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 16_000_000_000)
    import tracemalloc

    oc.Loader(str(where), 1024)  # what is imported late is imported
    for shuffle in SHUFFLES:
        tracemalloc.start()
        loader = oc.Loader(str(where), 1024, shuffle=shuffle, window=oc.Window(4))
        loader.state_dict()
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < 1 << 20
    loader = oc.Loader(str(where), 100, shuffle=True, num_workers=0)
    assert next(iter(loader)).shape == (100, 4)
