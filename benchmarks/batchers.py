"""The ways to get shuffled batches of rows that are compared: one function a contender.

Hands to : loader_shuffle

A way opens what it needs and returns an iterable, each iteration of which is an epoch; nothing is read before
that. Peers get plain ndarrays whose pages are mapped already, not `np.memmap`: its slices cost a microsecond
more each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

import outcore as oc
from benchmarks.measure import need


def versions(*packages: str) -> str:
    """Name packages and their versions."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def outcore_loader(path: str, batch: int, seed: int) -> Iterable[Any]:
    """`outcore.Loader` as it comes."""
    return oc.Loader(oc.open(path), batch, shuffle=True, seed=seed)


class take_loop:  # noqa: N801 - one of the functions
    """One thread, one buffer, an order that exists beforehand."""

    def __init__(self, path: str, batch: int, seed: int, mode: Any = "raise") -> None:
        self.x, self.mode = _mapped(path), mode
        self.order = np.random.default_rng(seed).permutation(len(self.x))
        self.out = np.ones((batch, *self.x.shape[1:]), self.x.dtype)

    def __iter__(self) -> Iterator[Any]:
        batch = len(self.out)
        for start in range(0, len(self.x), batch):
            rows = self.order[start : start + batch]
            yield np.take(self.x, rows, axis=0, out=self.out[: len(rows)], mode=self.mode)


def torch_by_row(path: str, batch: int, seed: int, workers: int) -> Iterable[Any]:
    """The dataset of the tutorials: a row an item; torch stacks them."""
    return _data_loader(_ByRow(path), batch, seed, workers)


def torch_by_batch(path: str, batch: int, seed: int, workers: int) -> Iterable[Any]:
    """A dataset with ``__getitems__``, which is given all rows of a batch at a time."""
    return _data_loader(_ByBatch(path), batch, seed, workers, collate_fn=_as_it_is)


def grain_by_row(path: str, batch: int, seed: int) -> Iterable[Any]:
    """A source of rows, shuffled and batched by grain, with its default of 16 threads."""
    grain = need("grain")
    rows = grain.MapDataset.source(_ByRow(path)).seed(seed % (1 << 31)).shuffle()
    return rows.batch(batch).to_iter_dataset()


def grain_by_batch(path: str, batch: int, seed: int, threads: int = 0, processes: int = 0) -> Iterable[Any]:
    """Numbers of rows, shuffled and batched by grain; a map gathers the rows of each batch."""
    grain = need("grain")
    gather = _Gather(path)
    numbers = grain.MapDataset.range(len(gather.x)).seed(seed % (1 << 31)).shuffle().batch(batch)
    found = numbers.map(gather).to_iter_dataset(grain.ReadOptions(threads, 2 * threads))
    if not processes:
        return found
    # Its workers parse command-line flags, which a program that is no absl application has to allow.
    need("absl.flags").FLAGS.mark_as_parsed()
    return found.mp_prefetch(grain.MultiprocessingOptions(num_workers=processes))


def _data_loader(dataset: Any, batch: int, seed: int, workers: int, **how: Any) -> Iterable[Any]:
    torch = need("torch")
    generator = torch.Generator().manual_seed(seed)
    return torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=True, num_workers=workers, generator=generator, **how
    )


def _mapped(path: str) -> NDArray[Any]:
    # Copy-on-write: torch warns of tensors that cannot be written, and nobody writes here.
    x = np.asarray(np.load(path, mmap_mode="c"))
    np.add.reduce(x[:, 0])  # touches every page, before the clock runs
    return x


class _ByRow:
    """A dataset whose items are rows. It pickles as the path of its file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.x = _mapped(path)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.x[row]


class _ByBatch(_ByRow):
    """The same, which can be asked for many rows at once."""

    def __getitems__(self, rows: Sequence[int]) -> Any:
        return need("torch").from_numpy(np.take(self.x, rows, axis=0))


class _Gather(_ByRow):
    """A function of the numbers of rows."""

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.take(self.x, rows, axis=0)


def _as_it_is(batch: Any) -> Any:
    return batch
