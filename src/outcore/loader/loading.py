"""`Loader`: batches of arrays that do not fit in memory, in an order that can be made again.

Reads from : every module of this package
Hands to   : users, as ``oc.Loader``; the adapters, as a `BatchSource`

Guarantees
- A batch is a function of the arrays, the options and (seed, epoch, position): of nothing else. So workers,
  ranks and a run that is resumed all agree.
- In an epoch every sample comes once; with `drop_last` fewer than one global batch are left out.
- Memory stays within the budget that was known before the first row was read.
- Nothing is read, and no thread started, before a batch is asked for.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from outcore.adapters import missing
from outcore.errors import OptionError, RowIndexError
from outcore.loader import state, stream
from outcore.loader.arguments import checked, count
from outcore.loader.counting import Counter, LoaderStats
from outcore.loader.footprint import Footprint
from outcore.loader.lease import Leases
from outcore.loader.making import Maker, Recipe, size
from outcore.loader.offloading import Offloaded
from outcore.loader.quality import ShuffleQuality
from outcore.loader.reading import Gathering
from outcore.loader.setup import Setup
from outcore.loader.sizes import Blocks
from outcore.loader.structure import Batch
from outcore.loader.window import Window
from outcore.settings import MemoryLike

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from outcore.array.handle import Array


class Loader:
    """Batches for training, from arrays larger than memory.

    ``for batch in loader`` gives the batches of an epoch, and each further loop the next epoch. What comes is
    a pure function of the arrays, `seed` and the epoch: it does not depend on the number of workers or on
    what is made ahead, and the order of samples does not depend on `batch_size` or `world_size` either.

    Parameters
    ----------
    arrays : array, or tuple or dict of arrays
        Anything that `outcore.asarray` takes: addresses, `Array`, `SharedArray`, memory maps, HDF5 datasets,
        ndarrays; aligned on the first axis. Batches have the same structure.
    batch_size : int
        Samples of a batch of each rank. The last batch of an epoch may have fewer.
    shuffle : {"block", True, False}
        ``"block"``: blocks of neighbouring rows are read in random order and mixed in buffers, at the speed
        of reading in order; `shuffle_quality` tells how good that is. True: every order is possible, each row
        is read on its own. False: as stored, or as in `indices`.
    seed : int
        Orders of different (seed, epoch) have nothing to do with each other.
    window : Window, optional
        Samples are windows of consecutive rows of the first array; every other array gives one row for each
        window, at its horizon.
    memory : int, float or str, optional
        Budget for everything that the loader holds; see `outcore.options`. A block shuffle uses half of it
        for its buffers, so its order depends on this. 1 GiB by default, whatever is free: the order must not
        depend on what else runs.
    block_size : int, optional
        Samples that are read together in a block shuffle; by default some 256 kB of them.
    indices : slice, range or array-like of int or bool, optional
        Which rows to use; see `outcore.split`. With a window: rows that windows may consist of.
    drop_last : bool
        Leave out the samples that do not fill a batch of every rank.
    rank, world_size : int
        Which of how many processes that train together this is. A step is a batch of each rank; in the last
        one each has its share, which may be empty: all ranks have the same number of batches.
    num_workers : int, optional
        Threads that make batches, or processes for the transform; 0: the caller's thread. By default two, or
        as many as there are processors.
    worker_type : {"thread", "process"}
        Where the transform runs. Processes are for transforms that are Python code: rows are always read by
        threads, and batches come and go through shared memory.
    prefetch : int, optional
        How many batches are made before they are asked for; by default as many as keep the workers busy,
        within the budget.
    transform : callable or sequence of callables, optional
        ``transform(batch, rng) -> batch``, where `rng` is a `numpy.random.Generator` that depends on (seed,
        epoch, position) alone. See `outcore.transforms`.

    Raises
    ------
    ShapeError
        Arrays of different lengths.
    OptionError
        An argument that makes no sense, or a window longer than every group.
    RowIndexError
        An index outside the arrays.
    MemoryBudgetError
        Buffers and batches do not fit in the budget.

    Notes
    -----
    Memory: with a block shuffle two buffers, within half of the budget, 40 bytes a sample included; and the
    batches that are made ahead. Batches are writable, and nobody else's; their memory is used again when the
    last reference to it, a tensor's included, has gone.

    A killed worker process costs nothing but time: its batch is made again, once.

    The order within an epoch comes from keyed permutations (a Feistel network with cycle walking: Black and
    Rogaway, "Ciphers with arbitrary finite domains", 2002), evaluated where they are needed: no list of all
    samples is held. The shuffle in two levels is that of Xu et al., "In-database machine learning with
    CorgiPile", 2022.

    Examples
    --------
    >>> import numpy as np, outcore as oc
    >>> X, y = np.arange(20.0).reshape(10, 2), np.arange(10)
    >>> loader = oc.Loader((X, y), batch_size=4, seed=1)
    >>> [len(labels) for rows, labels in loader]
    [4, 4, 2]
    >>> loader.epoch
    1
    """

    _running: object | None

    def __init__(
        self,
        arrays: Any,
        batch_size: int,
        *,
        shuffle: str | bool = "block",
        seed: int = 0,
        window: Window | None = None,
        memory: MemoryLike | None = None,
        block_size: int | None = None,
        indices: slice | range | ArrayLike | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int | None = None,
        worker_type: str = "thread",
        prefetch: int | None = None,
        transform: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
    ) -> None:
        self._options = checked(
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
            num_workers=num_workers,
            worker_type=worker_type,
            prefetch=prefetch,
            block_size=block_size,
            transform=transform,
        )
        self._setup = Setup.of(self._options, arrays, indices, window, memory)
        self._whole = self._grid = self._setup.grid()
        self._blocks = self._setup.blocks()
        self._footprint = self._setup.footprint(self._blocks)
        self._seed = self._options.seed
        self._epoch = 0
        #: Where iterating over this epoch begins, and what of it was handed over: samples of all ranks.
        self._start = self._position = 0
        self._begin()

    # ---- facts -----------------------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """Samples of a batch of this rank."""
        return self._options.batch_size

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return self._options.world_size

    @property
    def rank(self) -> int:
        """Which of them this one is."""
        return self._options.rank

    @property
    def num_samples(self) -> int:
        """Samples of an epoch, of all ranks."""
        return self._setup.samples.n

    @property
    def epoch(self) -> int:
        """The epoch of the next batch, from 0."""
        return self._epoch

    @property
    def first_batch(self) -> int:
        """Where the next iteration begins: 0, or behind the state that was loaded."""
        return min(self._grid.step_at(self._start), len(self._grid))

    @property
    def peak_bytes(self) -> int:
        """Memory that iterating takes at most, without the interpreter and what transforms use."""
        return self._footprint.peak_bytes

    def __len__(self) -> int:
        """Return the number of batches of this epoch."""
        return len(self._grid)

    def __repr__(self) -> str:
        shuffle = repr(self._options.shuffle)
        if self._options.shuffle == "block":
            shuffle += f" ({self._blocks.blocks_per_buffer} blocks of {self._blocks.block_size})"
        ranks = f" rank={self.rank} of {self.world_size}" if self.world_size > 1 else ""
        return (
            f"<outcore.Loader {self.num_samples} samples, {len(self)} batches of {self.batch_size}"
            f" shuffle={shuffle}{ranks} epoch={self.epoch}>"
        )

    # ---- batches ---------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches of the epoch, from its beginning or behind the state that was loaded."""
        epoch, grid, steps = self._epoch, self._grid, range(self.first_batch, len(self._grid))
        mine = self._running = object()
        self._position = self._start
        batches = self._stream(steps)
        try:
            for step in steps:
                batch = next(batches)
                if self._running is mine:
                    self._position = grid.after(step)
                self._counter.add(batches=1, samples=size(batch))
                yield batch
                del batch
        finally:
            batches.close()
        if self._running is mine:
            self.set_epoch(epoch + 1)

    def __getitem__(self, index: int) -> Batch:
        """Make batch `index` of this epoch: the one that iterating gives, whenever it is asked for.

        Raises
        ------
        RowIndexError
            There is no such batch.
        """
        number = operator.index(index)
        step = number + len(self) if number < 0 else number
        if not 0 <= step < len(self):
            raise RowIndexError(f"batch {number} of {len(self)}: this epoch has no such batch.")
        recipe = self._recipe()
        reading = Gathering(recipe.order, recipe.samples, recipe.feeds, self._counter)
        batch = Maker(recipe, reading, Leases(keep=0), self._counter, None).make(step)
        self._counter.add(batches=1, samples=size(batch))
        return batch

    def stream(self, first: int = 0, stride: int = 1, *, buffered: bool = True) -> Iterator[Batch]:
        """Iterate over the batches `first`, ``first + stride``, ... of this epoch.

        Nothing counts as consumed.

        Parameters
        ----------
        first, stride : int
        buffered : bool
            False: no buffer of the shuffle is held, rows are read batch by batch through the page cache. For
            several processes that each make some of the batches.

        Returns
        -------
        iterator
            Closing it, or dropping it, ends its threads.

        Raises
        ------
        OptionError
            `first` is below 0 or `stride` below 1.
        """
        steps = range(count("first", first, 0), len(self), count("stride", stride, 1))
        return self._stream(steps, buffered=buffered)

    # ---- epochs and states -----------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch; nothing changes where it is the current one.

        Iterating to the end of an epoch begins the next one by itself.
        """
        number = count("epoch", epoch, 0)
        if number != self._epoch:
            self._epoch, self._start, self._position, self._grid = number, 0, 0, self._whole
            self._running = None

    def state_dict(self) -> dict[str, Any]:
        """Return where the caller is: JSON.

        What counts are the samples of the batches that the latest loop was given, of all ranks, and none that
        was made ahead. All ranks have the same state.
        """
        return self._state(self._position)

    def state_at(self, batches: int) -> dict[str, Any]:
        """Return the state in which `batches` batches of this epoch are consumed, whoever consumed them.

        For those who take batches out of `stream` or by number, such as adapters of frameworks.
        """
        consumed = count("batches", batches, 0)
        if consumed > len(self):
            raise OptionError(
                f"batches={consumed} is more than the {len(self)} batches of this epoch.\n"
                "Count from the epoch's beginning, and set the epoch first: loader.set_epoch(n)."
            )
        return self._state(self._grid.after(consumed - 1) if consumed else 0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a state was taken: the next iteration gives what is left of its epoch.

        Parameters
        ----------
        state_dict : dict
            Of a loader of the same arrays, indices, window and kind of shuffle. The batch size, world size,
            number of workers and budget may be others: every sample of the epoch still comes once. The seed
            is the state's.

        Raises
        ------
        StateError
            It is no state, or one of other data or another order; nothing is changed.
        MemoryBudgetError
            The state's shuffle buffers do not fit in this loader's budget.
        """
        setup = self._setup
        found = state.parse(state_dict, setup.shuffle, setup.facts(), setup.samples.n)
        blocks = self._blocks
        if setup.options.shuffle == "block":
            blocks = Blocks(found.block_size, found.blocks_per_buffer)
        planned = setup.footprint(blocks)
        self._blocks, self._footprint = blocks, planned
        self._seed, self._epoch, self._start, self._position = found.seed, found.epoch, *[found.position] * 2
        self._grid = self._whole.anchored_at(found.position)
        self._running = None

    # ---- what it does ----------------------------------------------------------------------------

    def stats(self) -> LoaderStats:
        """Return what was handed over and read so far, and how long the caller waited."""
        return self._counter.total()

    def shuffle_quality(self, values: Array | ArrayLike | None = None) -> ShuffleQuality:
        """Predict how far the mean of a batch varies, beside that of a full shuffle.

        Parameters
        ----------
        values : Array or array-like of shape (n_samples,), optional
            What the mean is taken of, such as labels, as stored: neighbours that are alike make a block
            shuffle worse. By default the worst case: sorted values.

        Returns
        -------
        ShuffleQuality
            ``variance_ratio`` is 1 for a full shuffle.
        """
        return self._setup.quality(self._blocks, values)

    # ---- frameworks ------------------------------------------------------------------------------

    def to_keras(self) -> Any:
        """Return a `keras.utils.PyDataset` of the batches, for ``model.fit``; see `docs/howto/train.md`.

        Returns
        -------
        keras.utils.PyDataset
            In the loader's order, whatever ``shuffle`` says. ``checkpoint(path)`` is a callback that saves
            the model with the loader's state, ``resume(model, path)`` goes on where it was saved, and
            ``spans(epochs)`` gives ``initial_epoch`` and ``epochs`` of each fit that is left.

        Raises
        ------
        MissingPackageError
            Keras is not installed.
        """
        return missing.load("keras_dataset", "keras").dataset(self)

    def to_torch(self, *, map_style: bool = False) -> Any:
        """Return a dataset of batches for ``torch.utils.data.DataLoader(dataset, batch_size=None)``.

        Parameters
        ----------
        map_style : bool
            False: an `IterableDataset`; the workers of a DataLoader share its batches. True: a `Dataset`
            whose items are batches, by number.

        Returns
        -------
        torch.utils.data.Dataset
            With ``set_epoch``, ``state_dict`` and ``load_state_dict``.

        Raises
        ------
        MissingPackageError
            PyTorch is not installed.
        """
        module = missing.load("torch_dataset", "torch")
        return module.map_dataset(self) if map_style else module.stream_dataset(self)

    # ---- inside ----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        for name in ("_counter", "_running", "_recent", "_pid"):
            del kept[name]
        # Rows without an address go into shared memory, once: copies of the loader are many.
        self._setup = kept["_setup"] = self._setup.reachable()
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._counter = Counter()
        #: The iteration that `state_dict` tells of: the latest one.
        self._running = None
        self._recent: tuple[Any, Recipe] | None = None

    def _state(self, position: int) -> dict[str, Any]:
        shuffled = self._options.shuffle == "block"
        block_size, in_buffer = (
            (self._blocks.block_size, self._blocks.blocks_per_buffer) if shuffled else (0, 0)
        )
        found = state.State(self._seed, self._epoch, position, block_size, in_buffer)
        return state.dump(found, self._setup.shuffle, self._setup.facts())

    def _recipe(self) -> Recipe:
        key = self._seed, self._epoch, self._grid, self._blocks
        if self._recent is None or self._recent[0] != key:
            self._recent = key, self._setup.recipe(self._seed, self._epoch, self._blocks, self._grid)
        return self._recent[1]

    def _stream(self, steps: range, *, buffered: bool = True) -> Generator[Batch]:
        if os.getpid() != self._pid:
            self._begin()  # a thread of the parent may have held a lock when it was forked
        recipe, planned = self._recipe(), self._footprint
        return self._run(recipe, planned, steps, buffered)

    def _run(self, recipe: Recipe, planned: Footprint, steps: range, buffered: bool) -> Generator[Batch]:
        # A generator: nothing is started before the first batch is asked for.
        n_workers = self._setup.num_workers
        offloaded = None
        if self._options.worker_type == "process":
            offloaded = Offloaded(recipe.transforms, n_workers)
        leases = Leases(keep=planned.ahead + 2)
        reading = self._setup.reading(recipe, steps, self._counter, buffered=buffered)
        yield from stream.batches(
            Maker(recipe, reading, leases, self._counter, offloaded),
            steps,
            self._counter,
            n_threads=n_workers,
            ahead=planned.ahead,
            at_once=planned.at_once,
        )
