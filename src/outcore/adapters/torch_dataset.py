"""Batches as tensors, for ``torch.utils.data.DataLoader(dataset, batch_size=None)``.

Reads from : a `BatchSource`
Hands to   : `Loader.to_torch`; PyTorch

Guarantees
- With any number of workers the batches of a pass are those of the source, in its order, each once.
- A pass is of one epoch, settled by the main process before the pass began.
- Tensors are the arrays' memory (`torch_tensors`); a DataLoader with workers copies it into shared memory.

A worker of n serves every n-th batch, since the DataLoader asks its workers in turn.

Letting workers go on to the next epoch by themselves was rejected. They run ahead of the training loop: where
it leaves a pass early some have come to their end and some have not, and the next pass would mix two epochs.
How far the loop came they are not told, and the main process's dataset is not told of passes at all. So an
epoch ends by itself where the main process makes the batches, and elsewhere `set_epoch` says so, as for
PyTorch's own DistributedSampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info

from outcore.adapters.protocol import BatchSource
from outcore.adapters.torch_epochs import Announcing
from outcore.adapters.torch_tensors import as_tensors
from outcore.errors import StateError

#: Batches that are made at a time where several are asked for at once.
AT_ONCE = 4


def stream_dataset(source: BatchSource) -> BatchStream:
    """Return the batches of a source in order, for a DataLoader with any number of workers."""
    return BatchStream(source)


def map_dataset(source: BatchSource) -> BatchMap:
    """Return the batches of a source by number, for a DataLoader with a sampler."""
    return BatchMap(source)


@dataclass
class _Pass:
    """One iteration, of one worker: it serves the batches ``first + worker``, ``... + workers``, ..."""

    epoch: int
    first: int
    worker: int
    workers: int
    served: int = 0
    state: dict[str, Any] | None = None  # of the source, at its beginning

    @property
    def next(self) -> int:
        return self.first + self.worker + self.served * self.workers


class BatchStream(Announcing, IterableDataset[Any]):
    """The batches of an epoch, in order: ``DataLoader(dataset, batch_size=None, num_workers=n)``.

    A pass in the main process (``num_workers=0``) that comes to its end begins the next epoch; with workers
    call `set_epoch` before each pass. Most training needs no workers: threads make the batches ahead anyway.

    `state_dict` and `load_state_dict` are what torchdata's StatefulDataLoader calls, in the main process or
    in each of the same number of workers. In the main process they count what was handed over, and the state
    is one of the source. With workers of a plain DataLoader see `state_at`.

    Parameters
    ----------
    source : BatchSource

    Notes
    -----
    Memory: without workers, or with one, what the source takes. With several, each reads through the page
    cache and holds the batches that it makes ahead; none holds buffers of the shuffle.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> dataset = oc.Loader((np.eye(6), np.arange(6)), batch_size=4, shuffle=False).to_torch()
    >>> [labels.tolist() for rows, labels in DataLoader(dataset, batch_size=None)]
    [[0, 1, 2, 3], [4, 5]]
    """

    def __init__(self, source: BatchSource) -> None:
        super().__init__(source)
        self._pass: _Pass | None = None
        self._served = 0  # of the pass to come, by a worker that goes on where another one was

    def __iter__(self) -> Iterator[Any]:
        """Iterate over this process's share of the epoch."""
        self._pass = self._next_pass()
        self._served = 0
        return self._tensors(self._pass)

    def _next_pass(self) -> _Pass:
        self._catch_up()
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        return _Pass(self._source.epoch, self._source.first_batch, worker, workers, self._served)

    def _tensors(self, current: _Pass) -> Iterator[Any]:
        self._refuse_late_state()  # here: a worker in which iter() raises is only said to have died
        # Several side by side hold no buffers: each would fill its own with rows of which it serves few.
        stream = self._source.stream(current.next, current.workers, buffered=current.workers == 1)
        with closing(cast(Any, stream)):
            for batch in stream:
                current.served += 1
                yield as_tensors(batch)
                del batch  # before the next one is asked for: its memory may be used for that
        if get_worker_info() is None and self._pass is current and self._source.epoch == current.epoch:
            self.set_epoch(current.epoch + 1)

    def set_epoch(self, epoch: int) -> None:  # noqa: D102 - as in Announcing
        if epoch != self._source.epoch:
            self._pass = None
        super().set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return where the pass is: of this worker, or, in the main process, of the source.

        Returns
        -------
        dict
            JSON. Batches that were handed over count, and none that was made ahead.
        """
        current = self._pass
        if current is None or current.epoch != self._source.epoch:
            current = self._next_pass()
        if get_worker_info() is None:
            return self._source.state_at(current.first + current.served)
        if current.state is None:  # once a pass: it is asked for with each batch
            current.state = self._source.state_at(current.first)
        return {
            "worker": current.worker,
            "workers": current.workers,
            "served": current.served,
            "source": current.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken: the next pass gives what is left of its epoch.

        Parameters
        ----------
        state : dict
            Of a source, which any number of workers may go on from; or of a worker, for that worker.

        Raises
        ------
        StateError
            A state of other data, of another order, or of another worker.
        """
        served = 0
        if "workers" in state:
            info = get_worker_info()
            here = "the main process" if info is None else f"worker {info.id} of {info.num_workers}"
            there = f"worker {state['worker']} of {state['workers']}"
            if here != there:
                raise StateError(
                    f"the state is that of {there} of a DataLoader, and this is {here}.\n"
                    f"Load it through a StatefulDataLoader with num_workers={state['workers']}; "
                    "a state that fits any number of workers is that of state_at(batches)."
                )
            state, served = state["source"], state["served"]
        super().load_state_dict(state)
        self._pass, self._served = None, served

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pass": None}


class BatchMap(Announcing, Dataset[Any]):
    """The batches of an epoch by number: ``dataset[i]``.

    ``DataLoader(dataset, sampler=dataset.sampler, batch_size=None, num_workers=n)`` gives them in order.

    Parameters
    ----------
    source : BatchSource

    Examples
    --------
    >>> dataset = oc.Loader(np.arange(6), batch_size=4, shuffle=False).to_torch(map_style=True)
    >>> len(dataset), dataset[1]
    (2, tensor([4, 5]))
    """

    def __getitem__(self, index: int | Sequence[int]) -> Any:
        """Make one batch of this epoch, or a list of several."""
        if isinstance(index, Sequence):
            return self.__getitems__(index)
        self._refuse_late_state()
        self._catch_up()
        return as_tensors(self._source[index])

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Make several batches of this epoch, a few at a time; what a DataLoader calls that is to join items.

        Parameters
        ----------
        indices : sequence of int

        Returns
        -------
        list
            In the order of `indices`.
        """
        self._refuse_late_state()
        self._catch_up()
        if len(indices) < 2:
            return [as_tensors(self._source[index]) for index in indices]
        with ThreadPoolExecutor(min(len(indices), AT_ONCE), "outcore-batch") as pool:
            return [as_tensors(batch) for batch in pool.map(self._source.__getitem__, indices)]

    @property
    def sampler(self) -> InOrder:
        """The numbers of the batches in order, behind the state that was loaded.

        It has the `set_epoch` that Lightning calls on samplers before each pass.
        """
        return InOrder(self)

    @property
    def first_batch(self) -> int:
        """The number of the batch with which the next pass begins."""
        return self._source.first_batch


class InOrder(Sampler[int]):
    """The numbers of a dataset's batches, in order.

    Parameters
    ----------
    dataset : BatchMap
    """

    def __init__(self, dataset: BatchMap) -> None:
        self._dataset = dataset

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._dataset.first_batch, len(self._dataset)))

    def __len__(self) -> int:
        return len(self._dataset) - self._dataset.first_batch

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch of the dataset with the next pass."""
        self._dataset.set_epoch(epoch)
