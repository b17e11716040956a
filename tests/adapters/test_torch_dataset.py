from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, get_worker_info

import outcore as oc
from outcore.adapters.torch_dataset import map_dataset, stream_dataset
from outcore.errors import DTypeError, RowIndexError

N, BATCH = 103, 8


# More than two workers are more than this machine may have processors, and PyTorch says so.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def make(tmp_path: Path) -> oc.Loader:
    # No fixture: pytest would keep it, and its open file, until after conftest has looked for what is left.
    rows = np.arange(N * 3, dtype="f4").reshape(N, 3)
    np.save(tmp_path / "rows.npy", rows)
    return oc.Loader((tmp_path / "rows.npy", np.arange(N)), BATCH, seed=3, block_size=4)


def numbers(batches: Any) -> list[list[int]]:
    """The samples of each batch, and a check that the rows are theirs."""
    found = []
    for rows, labels in batches:
        assert isinstance(rows, torch.Tensor)
        np.testing.assert_array_equal(rows.numpy()[:, 0], labels.numpy() * 3)
        found.append(labels.tolist())
    return found


def expected(loader: oc.Loader, epoch: int = 0) -> list[list[int]]:
    loader.set_epoch(epoch)
    return [loader[i][1].tolist() for i in range(len(loader))]


def loading(dataset: Any, workers: int, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=None, num_workers=workers, **options)


@pytest.mark.parametrize("map_style", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_workers_give_the_loaders_batches_in_its_order(tmp_path: Path, workers: int, map_style: bool):
    loader = make(tmp_path)
    wanted = expected(loader)
    assert sorted(itertools.chain(*wanted)) == list(range(N))
    dataset = loader.to_torch(map_style=map_style)
    assert len(dataset) == len(wanted)
    assert numbers(loading(dataset, workers)) == wanted


def test_spawned_workers_give_the_same(tmp_path: Path):
    loader = make(tmp_path)
    wanted = expected(loader, epoch=2)
    assert numbers(loading(loader.to_torch(), 2, multiprocessing_context="spawn")) == wanted


@pytest.mark.parametrize("shuffle", [True, False, "block"])
@pytest.mark.parametrize("drop_last", [True, False])
def test_every_kind_of_order(shuffle: bool | str, drop_last: bool):
    arrays = (np.arange(N * 3, dtype="f4").reshape(N, 3), np.arange(N))
    for rank in (0, 1):
        loader = oc.Loader(
            arrays, BATCH, shuffle=shuffle, drop_last=drop_last, rank=rank, world_size=2, block_size=None
        )
        assert numbers(loading(loader.to_torch(), 2)) == expected(loader)


def test_more_workers_than_batches():
    loader = oc.Loader((np.arange(30.0).reshape(10, 3), np.arange(10)), 8, shuffle=False)
    assert numbers(loading(loader.to_torch(), 3)) == [list(range(8)), [8, 9]]


def test_a_dict_of_windows_and_a_transform():
    loader = oc.Loader(
        {"x": np.arange(40.0), "y": np.arange(40)}, 4, window=oc.Window(5), transform=_noise, shuffle=True
    )
    plain = [loader[i] for i in range(len(loader))]
    for workers in (0, 2):
        loader.set_epoch(0)
        for wanted, got in zip(plain, loading(loader.to_torch(), workers), strict=True):
            assert got["x"].shape == (len(got["y"]), 5)
            np.testing.assert_array_equal(wanted["x"], got["x"].numpy())
            np.testing.assert_array_equal(wanted["y"], got["y"].numpy())


def _noise(batch: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    return batch | {"x": batch["x"] + rng.normal(size=batch["x"].shape)}


class Recording:
    """A source that tells how it was asked."""

    batch_size, world_size, rank, epoch, first_batch = 2, 1, 0, 0, 0

    def __len__(self) -> int:
        return 7

    def __getitem__(self, i: int) -> Any:
        return np.arange(7)[i : i + 1] if i < 7 else [][i]

    def stream(self, first: int = 0, stride: int = 1, *, buffered: bool = True) -> Any:
        for i in range(first, 7, stride):
            yield np.array([i, first, stride, buffered])

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


@pytest.mark.parametrize(
    ("workers", "asked"),
    [(0, {(0, 1, True)}), (1, {(0, 1, True)}), (2, {(0, 2, False), (1, 2, False)})],
)
def test_only_workers_side_by_side_do_without_buffers(workers: int, asked: set[tuple[int, int, bool]]):
    batches = [batch.tolist() for batch in loading(stream_dataset(Recording()), workers)]
    assert [batch[0] for batch in batches] == list(range(7))
    assert {(first, stride, bool(buffered)) for _, first, stride, buffered in batches} == asked


@pytest.mark.parametrize("workers", [0, 2])
def test_leaving_a_pass_early_leaves_nothing_behind(tmp_path: Path, workers: int):
    loader = make(tmp_path)
    for _ in range(2):
        for _rows, _labels in loading(loader.to_torch(), workers):
            break
    # conftest looks for threads, processes and descriptors


def test_batches_by_number(tmp_path: Path):
    loader = make(tmp_path)
    dataset = loader.to_torch(map_style=True)
    wanted = expected(loader)
    assert numbers([dataset[3], dataset[-1]]) == [wanted[3], wanted[-1]]
    assert numbers(dataset.__getitems__([5, 0, 5])) == [wanted[5], wanted[0], wanted[5]]
    assert numbers(dataset.__getitems__(range(len(dataset)))) == wanted
    assert dataset.__getitems__([]) == []
    assert numbers(dataset[[2, 1]]) == [wanted[2], wanted[1]]
    with pytest.raises(RowIndexError, match="batch 13 of 13"):
        dataset[13]


@pytest.mark.parametrize("workers", [0, 2])
def test_samplers_of_torch_choose_batches(tmp_path: Path, workers: int):
    loader = make(tmp_path)
    wanted = expected(loader)
    dataset = loader.to_torch(map_style=True)
    chosen = numbers(loading(dataset, workers, sampler=[4, 2, 9]))
    assert chosen == [wanted[4], wanted[2], wanted[9]]
    mixed = numbers(loading(dataset, workers, shuffle=True))
    assert sorted(mixed) == sorted(wanted)
    assert numbers(loading(dataset, workers, sampler=dataset.sampler)) == wanted
    several = BatchSampler(SequentialSampler(dataset), 5, drop_last=False)
    groups = list(loading(dataset, workers, sampler=several))
    assert [numbers(group) for group in groups] == [wanted[:5], wanted[5:10], wanted[10:]]


def test_joined_items_are_fetched_together(tmp_path: Path):
    loader = make(tmp_path)
    wanted = expected(loader)
    dataset = loader.to_torch(map_style=True)
    together = DataLoader(dataset, batch_size=4, collate_fn=list)
    assert [numbers(group) for group in together] == [wanted[i : i + 4] for i in range(0, len(wanted), 4)]


def test_fields_are_refused_with_what_to_type():
    table = np.zeros(6, [("pos", "i4"), ("name", "S3")])
    dataset = oc.Loader(table, 2).to_torch()
    with pytest.raises(DTypeError, match=r"(?s)select\(\.\.\.\), which knows the fields 'pos', 'name'"):
        list(loading(dataset, 0))


def test_tensors_are_not_overwritten_by_later_batches():
    # 1 MB a batch: memory that the loader uses again once nobody has it.
    loader = oc.Loader(np.repeat(np.arange(64.0), 64 << 10).reshape(64, -1), 2, shuffle=False)
    held = list(loading(loader.to_torch(), 0))
    assert [batch[0, 0].item() for batch in held] == list(range(0, 64, 2))
    assert all(bool((batch == batch[:, :1]).all()) for batch in held)


def _kill_the_worker(batch: Any, rng: np.random.Generator) -> Any:
    if get_worker_info() is not None or os.environ.get("OUTCORE_TEST_PARENT") != str(os.getpid()):
        os.kill(os.getpid(), signal.SIGKILL)
    return batch


@pytest.mark.parametrize("map_style", [False, True])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_killed_worker_is_torchs_error_and_no_hang(monkeypatch, map_style: bool, persistent: bool):
    monkeypatch.setenv("OUTCORE_TEST_PARENT", str(os.getpid()))
    loader = oc.Loader(np.arange(N), BATCH, transform=_kill_the_worker)
    batches = loading(loader.to_torch(map_style=map_style), 2, persistent_workers=persistent)
    with pytest.raises(RuntimeError, match=r"DataLoader worker .* (killed by signal|exited unexpectedly)"):
        list(batches)


def test_both_views_of_anything_that_gives_batches():
    assert [batch.tolist() for batch in map_dataset(Recording())] == [[i] for i in range(7)]
