"""What a computation over rows must be able to do: the manual for writing a statistic.

Hands to   : users (``oc.Statistic``), blocks.passing, linalg, statistics and the estimators

A statistic is summed up over groups of rows, in any process, and the groups' states are merged in the order
of the rows. To write one:

1. Subclass `Statistic`; `zero`, `update` and `merge` are all that is needed, `finalize` makes the result.
2. A state is anything that pickles; arrays in it travel through shared memory. `update` and `merge` may
   change the state that they are given first and return it.
3. Parameters are attributes. They reach the workers once a pass, arrays among them through shared memory,
   where they are read-only.
4. Override `cost` if the temporaries are large, or if a state grows beyond what `zero` returns: the pass is
   planned by it. Memory of temporaries that is used again (`Block.scratch`) is quicker than new memory.
5. Subclass `SplitStatistic` instead if the state is made of many equal parts (K matrices, say), which then
   need not be held once for each worker.

Guarantees that every pass gives
- Each row is in exactly one block, blocks come in the order of their rows within a group, and groups are
  merged in order. Which rows form a block and a group depends on the data and the statistics, not on the
  workers: so does every rounding.
- The states of groups come from `zero`: a group that has to be computed again starts from there.
"""

from __future__ import annotations

import pickle
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from outcore.blocks.pages import mapped
from outcore.errors import DTypeError

#: Buffers begin at cache lines: loads that straddle two of them cost more.
LINE_BYTES = 64

State = TypeVar("State")
Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Rows:
    """Facts about the rows of a pass, known before it begins.

    Attributes
    ----------
    n_rows : int
    row_shape : tuple of int
        Shape of one row: ``X.shape[1:]``.
    dtype : numpy.dtype
        As stored.
    weights_shape : tuple of int or None
        Shape of all weights, (n_rows,) or (n_rows, K); None without weights.
    address : str
        Of the array, for errors; ``"X"`` for rows in memory.
    """

    n_rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weights_shape: tuple[int, ...] | None = None
    address: str = "X"


@dataclass(frozen=True)
class Cost:
    """What a statistic takes, for the plan.

    Attributes
    ----------
    state_bytes : int
        One state.
    parameter_bytes : int
        Parameters, held once.
    block_bytes : int
        Temporaries of one worker while a block, or one part of it, is taken in; without the table.
    flops : float
        Floating-point operations for all rows.
    min_rows : int
        Rows of a block below which the work becomes slow.
    n_parts : int
        How many parts the rows are dealt out to where each row concerns few of them: groups are then made
        longer, so that enough rows fall to each part.
    part_bytes, table_bytes : int
        For `SplitStatistic`: the largest part of the state, and the table of a block.
    values : bool
        Whether it uses ``block.values``, which are a copy where rows are not float64 already.
    blas : bool
        Whether it forms products, for which BLAS has buffers.
    """

    state_bytes: int = 0
    parameter_bytes: int = 0
    block_bytes: int = 0
    flops: float = 0.0
    min_rows: int = 1
    n_parts: int = 1
    part_bytes: int = 0
    table_bytes: int = 0
    values: bool = True
    blas: bool = True


class Workspace:
    """Buffers that are used again for the next block: making them anew costs page faults.

    Not shared between workers. A buffer holds whatever was in it.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        #: Rows that are read already, for the pass: the first one, the one behind the last, and a buffer.
        self.kept: dict[str, tuple[int, int, NDArray[Any]]] = {}

    def buffer(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return an uninitialised C-contiguous array; the same memory at each call with the same name."""
        kind = np.dtype(dtype)
        size = prod(shape) * kind.itemsize
        found = self._buffers.get(name)
        if found is None or len(found) < size:
            self._buffers.pop(name, None)
            del found
            memory = mapped((size + LINE_BYTES,))
            skipped = -memory.ctypes.data % LINE_BYTES
            found = self._buffers[name] = memory[skipped : skipped + size]
        return found[:size].view(kind).reshape(shape)


@dataclass
class Block:
    """Some rows, as `Statistic.update` gets them.

    Attributes
    ----------
    start : int
        Number of the first row.
    rows : ndarray of shape (n, ...)
        Read-only, of the stored dtype; valid until `update` returns.
    weights : ndarray of shape (n,) or (n, K), or None
    """

    start: int
    rows: NDArray[Any]
    weights: NDArray[Any] | None = None
    workspace: Workspace = field(default_factory=Workspace, repr=False)
    _values: NDArray[np.float64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def values(self) -> NDArray[np.float64]:
        """The rows as C-contiguous float64 of shape (n, d), read-only, converted once for all statistics.

        Raises
        ------
        DTypeError
            They are not real numbers.
        """
        if self._values is None:
            rows = self.rows
            shape = len(rows), prod(rows.shape[1:])
            if not needs_converting(rows):
                self._values = rows.reshape(shape)
            elif rows.dtype.kind in "biuf":
                self.convert(self.workspace.buffer("_values", shape))
            else:
                raise DTypeError(
                    f"rows of dtype {rows.dtype} are no real numbers, and are to be computed with.\n"
                    'Take a field of numbers, X["name"], or convert them first, oc.map_rows(func, X).'
                )
        assert self._values is not None
        return self._values

    def convert(self, out: NDArray[np.float64]) -> None:
        """Convert the rows into `out`, shape (n, d), which becomes `values`."""
        # From 64-bit integers on, float64 is not "safe" in NumPy's words, and still what users mean. `out`
        # gets the shape of the rows and not they its: that could copy them.
        np.copyto(out.reshape(self.rows.shape), self.rows, casting="unsafe")
        self.give_values(out)

    def give_values(self, values: NDArray[np.float64]) -> None:
        """Set `values` to what another worker has converted."""
        self._values = values.view()
        self._values.flags.writeable = False

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """Return an uninitialised buffer, kept for the next block of the same worker.

        Names that begin with an underscore are those of the pass.
        """
        return self.workspace.buffer(name, shape, dtype)


def needs_converting(rows: NDArray[Any]) -> bool:
    """Whether `Block.values` of such rows are a copy."""
    return rows.dtype != np.float64 or not (rows.flags.c_contiguous and rows.flags.aligned)


class Statistic(ABC, Generic[State, Result]):
    """A quantity that can be summed up over rows.

    Examples
    --------
    The largest value of each column, and the row in which it stands:

    >>> class Largest(oc.Statistic):
    ...     def zero(self):
    ...         return None
    ...
    ...     def update(self, state, block):
    ...         at = block.rows.argmax(axis=0)
    ...         found = block.rows.max(axis=0), block.start + at
    ...         return found if state is None else self.merge(state, found)
    ...
    ...     def merge(self, state, other):
    ...         later = other[0] > state[0]
    ...         return np.where(later, other[0], state[0]), np.where(later, other[1], state[1])
    >>> x = np.array([[1, 7], [5, 2], [3, 9]])
    >>> oc.reduce_rows(x, Largest())
    (array([5, 9]), array([1, 2]))
    """

    def bind(self, rows: Rows, share: Share) -> Statistic[State, Result]:
        """Return the statistic for these rows, ready to travel; called before the first row is read.

        Here is the place to refuse parameters that do not fit the rows, and to make the targets of results
        that have a value for each row (``share.target``). It is called twice, once while the memory is only
        being counted (``share.making`` is False), so what it returns should be a copy. Unless overridden, the
        statistic itself.
        """
        return self

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Say what it takes with blocks of `block_rows` rows; may be asked before `bind`, and often.

        Unless overridden, a state takes what `zero` returns, and nothing else takes anything.
        """
        return Cost(state_bytes=_size(self.zero()))

    @abstractmethod
    def zero(self) -> State:
        """Return the state of no rows."""

    @abstractmethod
    def update(self, state: State, block: Block) -> State:
        """Take in a block of rows, at least one."""

    @abstractmethod
    def merge(self, state: State, other: State) -> State:
        """Put together the states of two groups of rows; those of `other` come later."""

    def finalize(self, state: State) -> Result:
        """Make the result of the state of all rows."""
        return state  # type: ignore[return-value]  # the result is the state unless a subclass says otherwise


class SplitStatistic(Statistic[list[Part], Result], Generic[Part, Result]):
    """A statistic whose state is a list of parts that can be summed independently, such as K matrices.

    The pass holds a state for each worker where that fits in the budget. Where it does not, the workers share
    one set of parts: first each fills the table for some of the rows, then each sums some of the parts over
    all of them. Both ways give the same result to the last bit.
    """

    #: Known when `bind` has returned.
    n_parts: int

    #: Columns of the table, float64; 0: no table.
    table_columns: int = 0

    def cost(self, rows: Rows, block_rows: int) -> Cost:
        """Say what it takes: unless overridden, what `zero_part` returns for each part, and the table."""
        sizes = [_size(self.zero_part(part)) for part in range(self.n_parts)]
        table = 8 * self.table_columns * block_rows
        return Cost(state_bytes=sum(sizes), part_bytes=max(sizes, default=0), table_bytes=table)

    def tabulate(self, block: Block, table: NDArray[np.float64]) -> None:
        """Fill `table`, shape (n, table_columns), with what the parts need to know about each row."""

    @abstractmethod
    def zero_part(self, part: int) -> Part:
        """Return the part of no rows."""

    @abstractmethod
    def update_part(self, part: int, state: Part, block: Block, table: NDArray[np.float64]) -> Part:
        """Take the block into one part."""

    @abstractmethod
    def merge_part(self, part: int, state: Part, other: Part) -> Part:
        """Put together one part of two groups of rows."""

    def zero(self) -> list[Part]:
        """Return all parts of no rows."""
        return [self.zero_part(part) for part in range(self.n_parts)]

    def update(self, state: list[Part], block: Block) -> list[Part]:
        """Tabulate the block, then take it into each part."""
        table = block.scratch("_table", (len(block), self.table_columns))
        self.tabulate(block, table)
        for part in range(self.n_parts):
            state[part] = self.update_part(part, state[part], block, table)
        return state

    def merge(self, state: list[Part], other: list[Part]) -> list[Part]:
        """Merge part by part."""
        for part in range(self.n_parts):
            state[part] = self.merge_part(part, state[part], other[part])
        return state


def _size(state: Any) -> int:
    """Count the bytes of a state: those of its arrays, wherever in it they are, and of all else pickled."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        rest = pickle.dumps(state, protocol=5, buffer_callback=buffers.append)
    except (pickle.PicklingError, AttributeError, TypeError):
        return sys.getsizeof(state)  # of a class inside a function, say: fine where all workers are threads
    return len(rest) + sum(buffer.raw().nbytes for buffer in buffers)


class RowTarget(ABC):
    """Takes values for each row, from any worker; made by `Share.target`."""

    @abstractmethod
    def write(self, start: int, values: NDArray[Any]) -> None:
        """Write the values of the rows from `start` on; a group that is computed again writes them again."""

    @abstractmethod
    def whole(self) -> Any:
        """Return what the user gets, when all rows are written: `out`, or a new ndarray."""


class Share(ABC):
    """What a statistic may ask of the pass while it is bound.

    Attributes
    ----------
    making : bool
        False while the memory is only being counted: what takes time or memory to prepare is not needed yet,
        and targets take nothing.
    """

    making: bool = True

    @abstractmethod
    def target(self, out: Any, row_shape: tuple[int, ...], dtype: DTypeLike) -> RowTarget:
        """Make what takes a value of `row_shape` and `dtype` for each row.

        `out` is what the user gave: None (a new ndarray, counted in the plan), an ndarray, a writable
        `Array`, or the address of an array to create, which appears when the pass succeeds.

        Raises
        ------
        ShapeError
            `out` has another shape or a dtype that cannot hold the values.
        """
