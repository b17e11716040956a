"""Which positions of an epoch are in which batch of which rank.

Hands to   : loader.making, loader.loading

Guarantees
- The shares of all ranks of all steps are disjoint, and without `drop_last` they are all positions.
- No sample is ever given twice to make numbers even. The last step, and the first one behind an anchor, are
  smaller; their samples go to the ranks in shares that differ by at most one, so a share may be empty.
- All ranks have the same number of steps: none waits for another that has ended.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Steps of ``world_size * batch_size`` positions each.

    Attributes
    ----------
    n : int
        Positions of an epoch.
    anchor : int
        How many positions are in the first step, where they are fewer: a state that was saved with another
        batch size or world size may lie between two steps, so steps begin where it was saved. 0: as all.

    Examples
    --------
    >>> grid = Grid(10, 2, 2, rank=1)
    >>> [grid.share(step) for step in range(len(grid))]
    [(2, 4), (6, 8), (9, 10)]
    """

    n: int
    batch_size: int
    world_size: int = 1
    rank: int = 0
    drop_last: bool = False
    anchor: int = 0

    @property
    def step_samples(self) -> int:
        """How many samples all ranks take together in a step."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        first = 1 if self.anchor else 0
        rest = max(self.n - self.anchor, 0)
        return first + (rest // self.step_samples if self.drop_last else -(-rest // self.step_samples))

    def bounds(self, step: int) -> tuple[int, int]:
        """Return the positions ``[low, high)`` of a step."""
        size = self.step_samples
        if not self.anchor:
            low = step * size
            return low, min(low + size, self.n)
        if step == 0:
            return 0, self.anchor
        low = self.anchor + (step - 1) * size
        return low, min(low + size, self.n)

    def share(self, step: int) -> tuple[int, int]:
        """Return the positions ``[low, high)`` that this rank has of a step."""
        low, high = self.bounds(step)
        count = high - low
        if count == self.step_samples:
            return low + self.rank * self.batch_size, low + (self.rank + 1) * self.batch_size
        return (
            low + count * self.rank // self.world_size,
            low + count * (self.rank + 1) // self.world_size,
        )

    def step_at(self, position: int) -> int:
        """Return the step that begins at `position`, as one does at each state that was loaded."""
        if not self.anchor:
            return -(-position // self.step_samples)
        return 0 if position == 0 else 1 + -(-(position - self.anchor) // self.step_samples)

    def after(self, step: int) -> int:
        """Return the position behind a step."""
        return self.bounds(step)[1]

    def anchored_at(self, position: int) -> Grid:
        """Return the grid whose steps begin at `position`, among others."""
        return Grid(
            self.n,
            self.batch_size,
            self.world_size,
            self.rank,
            self.drop_last,
            position % self.step_samples,
        )
