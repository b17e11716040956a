"""Makes a batch: memory, rows, transforms.

Reads from : loader.grid, loader.reading, loader.lease, loader.keys
Hands to   : loader.stream

Guarantees
- A batch depends on (seed, epoch, position) and the arrays; the random numbers of transforms too. Neither on
  which thread or process makes it, nor on what was made before.
- An error of a transform names the batch and its rows; what it returns is a batch, or that is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from outcore.errors import ExecutorError, TransformError, WorkerDiedError
from outcore.loader.buffers import Closed
from outcore.loader.counting import Counter
from outcore.loader.grid import Grid
from outcore.loader.keys import generator
from outcore.loader.lease import Leases
from outcore.loader.offloading import Offloaded
from outcore.loader.order import Order
from outcore.loader.reading import Reading
from outcore.loader.samples import Samples
from outcore.loader.sources import Feed
from outcore.loader.structure import Batch, Structure

#: ``transform(batch, rng) -> batch``
Transform = Callable[[Any, np.random.Generator], Any]
#: So many rows are named in an error.
NAMED = 8
#: For transforms that do not draw: making one takes longer than some of them.
_UNUSED = np.random.Generator(np.random.Philox(0))


@dataclass(frozen=True)
class Recipe:
    """What does not change in an epoch.

    Attributes
    ----------
    seed, epoch : int
    """

    seed: int
    epoch: int
    structure: Structure
    feeds: Sequence[Feed]
    samples: Samples
    order: Order
    grid: Grid
    transforms: Sequence[Transform]

    @property
    def draws(self) -> bool:
        """Whether a transform may draw random numbers; those of `outcore.transforms` say that they do not."""
        return not all(getattr(transform, "ignores_rng", False) for transform in self.transforms)

    def rows(self, step: int) -> Any:
        """Return the first row of each sample of a batch."""
        low, high = self.grid.share(step)
        return self.samples.rows(self.order.samples(np.arange(low, high, dtype=np.int64)))


class Maker:
    """Makes the batches of an epoch, in any number of threads."""

    def __init__(
        self, recipe: Recipe, reading: Reading, leases: Leases, counter: Counter, offloaded: Offloaded | None
    ) -> None:
        self.recipe = recipe
        self.reading = reading
        self._leases = leases
        self._counter = counter
        self._offloaded = offloaded

    def expect(self, step: int) -> None:
        """Tell that a batch will be made; in the order of batches."""
        self.reading.expect(*self.recipe.grid.share(step))

    def make(self, step: int) -> Batch:
        """Make the batch of a step."""
        low, high = self.recipe.grid.share(step)
        begin_s = time.perf_counter()
        memory = self._leases if self._offloaded is None else self._offloaded
        parts = [memory.empty((high - low, *feed.sample_shape), feed.dtype) for feed in self.recipe.feeds]
        self.reading.fill(low, high, parts)
        end_s = time.perf_counter()
        self._counter.add(read_s=end_s - begin_s, bytes_delivered=sum(part.nbytes for part in parts))
        batch = self.recipe.structure.pack(parts)
        if self.recipe.transforms:
            batch = self._transform(step, low, batch)
            if self._offloaded is not None:
                self._offloaded.release(parts)
            self._counter.add(transform_s=time.perf_counter() - end_s)
        return batch

    def close(self, *, wait: bool = True) -> None:
        """End the processes, and what reads ahead; `wait` until that has ended too."""
        try:
            self.reading.close(wait=wait)
        finally:
            if self._offloaded is not None:
                self._offloaded.close()

    def _transform(self, step: int, low: int, batch: Batch) -> Batch:
        recipe = self.recipe
        try:
            if self._offloaded is not None:
                made = self._offloaded(batch, (recipe.seed, recipe.epoch, low))
            else:
                made = apply(recipe.transforms, batch, self._generator(low))
        except (ExecutorError, WorkerDiedError, Closed):
            raise  # not the transform's
        except Exception as error:  # whatever a transform raises: it is the cause of what is raised here
            raise TransformError(
                f"the transform failed at {self._named(step)}:\n  {type(error).__name__}: {error}\n"
                "Try it alone, with a batch of these rows and rng = np.random.default_rng(0)."
            ) from error
        self._check(made, step)
        return made

    def _generator(self, low: int) -> np.random.Generator:
        recipe = self.recipe
        if recipe.draws:
            return generator(recipe.seed, recipe.epoch, low)
        return _UNUSED

    def _check(self, made: Batch, step: int) -> None:
        lengths = {}
        for name, leaf in leaves(made):
            shape = getattr(leaf, "shape", None)
            if shape is None or len(shape) == 0:
                what = "without an axis of samples" if shape == () else f"of type {type(leaf).__name__}"
                raise TransformError(
                    f"the transform returned a value {what} as {name} at {self._named(step)}.\n"
                    "Return an array, or a tuple or dict of arrays, whose first axis are the samples."
                )
            lengths[name] = int(shape[0])
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise TransformError(
                f"the transform returned a ragged batch at {self._named(step)}; samples: {listed}.\n"
                "Return arrays that all have the same number of samples."
            )
        if not lengths:
            raise TransformError(
                f"the transform returned {made!r} at {self._named(step)}, which holds no array.\n"
                "Return an array, or a tuple or dict of arrays."
            )

    def _named(self, step: int) -> str:
        rows = self.recipe.rows(step)
        some = ", ".join(str(row) for row in rows[:NAMED].tolist())
        more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
        return f"batch {step} of epoch {self.recipe.epoch} (rows {some}{more})"


def apply(transforms: Sequence[Transform], batch: Batch, rng: np.random.Generator) -> Batch:
    """Apply transforms one after the other."""
    for transform in transforms:
        batch = transform(batch, rng)
    return batch


def leaves(batch: Batch, name: str = "batch") -> Iterator[tuple[str, Any]]:
    """List the arrays of a batch with what errors call them."""
    if isinstance(batch, dict):
        for key, part in batch.items():
            yield from leaves(part, f"{name}[{key!r}]")
    elif isinstance(batch, (tuple, list)):
        for i, part in enumerate(batch):
            yield from leaves(part, f"{name}[{i}]")
    else:
        yield name, batch


def size(batch: Batch) -> int:
    """Return how many samples a batch has."""
    for _, leaf in leaves(batch):
        return int(leaf.shape[0])
    return 0
