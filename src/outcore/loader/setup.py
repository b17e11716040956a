"""What a loader was made of, and what follows from it: the order, the memory, and the way to read.

Reads from : loader.sources, loader.samples, loader.sizes, loader.footprint
Hands to   : loader.loading

Guarantees
- Does not change: epochs and states are the loader's.
- Pickles as addresses. Rows in memory that have none are copied once into shared memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from outcore import budget
from outcore.array.opening import asarray
from outcore.errors import OptionError, ShapeError
from outcore.loader import footprint
from outcore.loader.arguments import Options, default_workers
from outcore.loader.buffers import MOST_BETWEEN, Buffers, buffer_bytes, place_bytes
from outcore.loader.counting import Counter
from outcore.loader.footprint import Footprint
from outcore.loader.grid import Grid
from outcore.loader.making import Recipe
from outcore.loader.offloading import Offloaded
from outcore.loader.order import BlockShuffled, BufferedOrder, Order, Sequential, Shuffled
from outcore.loader.quality import ShuffleQuality, between_share, predict
from outcore.loader.reading import Buffered, Gathering, Reading
from outcore.loader.samples import Samples, samples_of
from outcore.loader.sizes import DEFAULT_BYTES, EXTRA_BYTES, Blocks, choose_blocks
from outcore.loader.sources import Feed, feeds_of
from outcore.loader.structure import Structure
from outcore.loader.window import Window
from outcore.settings import MemoryLike, current

#: Without shuffling, about so much is read at a time.
SEQUENTIAL_BYTES = 16 << 20
#: Samples for which the average size of one in a buffer is computed, and blocks that they are in.
MANY_SAMPLES, MANY_BLOCKS = 1 << 20, 1 << 14


@dataclass(frozen=True)
class Setup:
    """The arguments of a loader, understood.

    Attributes
    ----------
    memory : int, float, str or None
        What the user, or `outcore.options`, allowed.
    budget_bytes : int
        What that is.
    num_workers : int
    """

    options: Options
    structure: Structure
    feeds: tuple[Feed, ...]
    samples: Samples
    memory: MemoryLike | None
    budget_bytes: int
    num_workers: int

    @classmethod
    def of(
        cls, options: Options, arrays: Any, indices: Any, window: Window | None, memory: MemoryLike | None
    ) -> Setup:
        """Understand arrays, and what of them the samples are.

        Raises
        ------
        ShapeError, OptionError, RowIndexError
            They do not fit together.
        """
        if window is not None and not isinstance(window, Window):
            raise OptionError(f"window={window!r} is no Window.\nUse window=oc.Window({window!r:.20}).")
        structure, parts = Structure.of(arrays)
        feeds = feeds_of(structure, parts, window)
        samples = samples_of(len(feeds[0].source.array), indices, window)
        memory = current().memory if memory is None else memory
        # Not a share of what is free at the moment: the order of a block shuffle depends on it.
        budget_bytes = DEFAULT_BYTES if memory is None else budget.resolve(memory)
        n_workers = options.num_workers
        if n_workers is None:
            batch_bytes = options.batch_size * sum(feed.sample_bytes for feed in feeds)
            some = bool(options.transforms)
            n_workers = default_workers(options.worker_type, batch_bytes, transforms=some)
        return cls(options, structure, tuple(feeds), samples, memory, budget_bytes, n_workers)

    @property
    def shuffle(self) -> str:
        """The kind of order, as text."""
        return str(self.options.shuffle)

    @property
    def in_memory(self) -> bool:
        """Whether no array has to be read."""
        return all(feed.in_memory for feed in self.feeds)

    def reachable(self) -> Setup:
        """Return the same for other processes."""
        return replace(self, feeds=tuple(feed.reachable() for feed in self.feeds))

    def grid(self) -> Grid:
        """Return the steps of an epoch.

        Raises
        ------
        OptionError
            No step would be left.
        """
        options, n = self.options, self.samples.n
        grid = Grid(n, options.batch_size, options.world_size, options.rank, options.drop_last)
        if options.drop_last and grid.step_samples > n:
            ranks = f" x world_size={options.world_size}" if options.world_size > 1 else ""
            raise OptionError(
                f"batch_size={options.batch_size}{ranks} is more than the {n} samples, and drop_last=True"
                " would leave out all of them.\nUse a smaller batch_size, or drop_last=False."
            )
        return grid

    def facts(self) -> dict[str, str]:
        """Return what must be equal in a state, readable."""
        arrays = {
            self.structure.called(which): f"{feed.source.array.shape} {feed.dtype}"
            for which, feed in enumerate(self.feeds)
        }
        return arrays | self.samples.describe()

    def blocks(self) -> Blocks:
        """Choose the blocks and buffers of the order; without a shuffle, what is read at a time."""
        # Rows that neighbouring windows share are read and held once.
        rows = [self.samples.rows_of_blocks(MANY_SAMPLES, MANY_BLOCKS, feed.reach) for feed in self.feeds]
        nbytes = sum(n * feed.row_bytes for n, feed in zip(rows, self.feeds, strict=True))
        if not self.samples.plain and not self.samples.contiguous:
            nbytes = int(nbytes * MOST_BETWEEN)
        sample_bytes = max(-(-nbytes // MANY_SAMPLES), 1)
        align = max(feed.source.decoded_rows for feed in self.feeds) if self.samples.plain else 1
        if self.options.shuffle == "block":
            chosen = choose_blocks(
                self.samples.n,
                sample_bytes,
                self.budget_bytes,
                block_size=self.options.block_size,
                align=align,
                extra_bytes=EXTRA_BYTES if self.samples.plain else place_bytes(len(self.feeds)),
            )
            # A small budget must have room for reading too, and for batches; how large those are must not
            # matter to the order.
            while chosen.blocks_per_buffer > 1 and sum(self._held(chosen)) > self.budget_bytes * 3 // 4:
                chosen = Blocks(chosen.block_size, -(-chosen.blocks_per_buffer // 2))
            return chosen
        at_once = min(SEQUENTIAL_BYTES, self.budget_bytes // 8) // sample_bytes
        return Blocks(max(at_once // align, 1) * align, 1)

    def order(self, seed: int, epoch: int, blocks: Blocks) -> Order:
        """Return the order of an epoch."""
        n = self.samples.n
        if self.options.shuffle == "block":
            return BlockShuffled(n, blocks.block_size, blocks.blocks_per_buffer, seed, epoch)
        return Shuffled(n, seed, epoch) if self.options.shuffle else Sequential(n, blocks.block_size)

    def recipe(self, seed: int, epoch: int, blocks: Blocks, grid: Grid) -> Recipe:
        """Return what the batches of an epoch are made of."""
        order = self.order(seed, epoch, blocks)
        return Recipe(
            seed, epoch, self.structure, self.feeds, self.samples, order, grid, self.options.transforms
        )

    def quality(self, blocks: Blocks, values: Any) -> ShuffleQuality:
        """Predict how good the shuffle is; without `values` for sorted ones.

        Raises
        ------
        ShapeError
            `values` has not one number for each sample.
        """
        n, batch = self.samples.n, min(self.options.batch_size * self.options.world_size, self.samples.n)
        kind, block_size, in_buffer = "block", blocks.block_size, blocks.blocks_per_buffer
        if self.options.shuffle != "block":
            # In one buffer with everything, or as neighbours that stay together.
            kind, block_size, in_buffer = ("full", 1, n) if self.options.shuffle else ("none", batch, 1)
        between = 1.0
        if values is not None:
            array = asarray(values)
            if array.shape != (n,):
                raise ShapeError(
                    f"values has the shape {array.shape}; this loader has {n} samples.\n"
                    f"Give one number for each sample, of shape ({n},)."
                )
            between = between_share(array, block_size)
        ratio = predict(n, block_size, in_buffer, batch, between)
        return ShuffleQuality(kind, block_size, in_buffer, batch, between, ratio)

    def footprint(self, blocks: Blocks) -> Footprint:
        """Plan how much memory iterating takes.

        Raises
        ------
        MemoryBudgetError
            More than the budget.
        """
        options = self.options
        batch_bytes = options.batch_size * sum(feed.sample_bytes for feed in self.feeds)
        buffers, reading = self._held(blocks)
        if not self.num_workers:
            buffers //= 2  # nothing is read ahead
        process_bytes = 0
        if options.worker_type == "process":
            process_bytes = Offloaded.overhead_bytes(self.num_workers, batch_bytes)
        return footprint.plan(
            f"Loader(batch_size={options.batch_size}, shuffle={options.shuffle!r},"
            f" num_workers={self.num_workers})",
            # What a transform returns is counted as large as what it gets.
            batch_bytes=batch_bytes * (2 if options.transforms else 1),
            index_bytes=self.samples.nbytes,
            buffer_bytes=buffers,
            reading_bytes=reading,
            process_bytes=process_bytes,
            n_threads=self.num_workers,
            prefetch=options.prefetch,
            budget_bytes=self.budget_bytes,
            memory=self.memory,
        )

    def _held(self, blocks: Blocks) -> tuple[int, int]:
        """Count the bytes of two buffers, and what reading takes besides."""
        if self.in_memory:
            return 0, 0
        order = self.order(0, 0, blocks)
        if isinstance(order, BufferedOrder):
            reading = max(feed.gather_bytes(order.max_samples, order.block_size) for feed in self.feeds)
            return 2 * buffer_bytes(order, self.samples, self.feeds), reading
        reading = max(feed.gather_bytes(self.options.batch_size, 1) for feed in self.feeds)
        return 0, reading * max(self.num_workers, 1)

    def reading(self, recipe: Recipe, steps: range, counter: Counter, *, buffered: bool) -> Reading:
        """Choose how the rows of the batches of `steps` are read."""
        order = recipe.order
        if not (buffered and steps and isinstance(order, BufferedOrder)) or self.in_memory:
            return Gathering(order, recipe.samples, recipe.feeds, counter)
        low, high = recipe.grid.share(steps[0])[0], recipe.grid.share(steps[-1])[1]
        ahead = self.num_workers > 0
        buffers = Buffers(order, recipe.samples, recipe.feeds, counter, low, high, ahead=ahead)
        return Buffered(order, recipe.feeds, buffers)
