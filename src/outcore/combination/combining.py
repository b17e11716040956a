"""Many arrays into one HDF5 file: `combine`.

Reads from : combination.parts, combination.copying
Hands to   : users, the command line

Guarantees
- The file appears whole or not at all, and only then replaces what was there.
- Names, dtypes, options, attributes and the budget are checked before any file is made.
- Values in memory are copied once, from where they are to the file; arrays on disk pass through one block.
- The file does not depend on the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from outcore import budget
from outcore import progress as bars
from outcore.array.handle import Array
from outcore.combination.copying import Copying
from outcore.combination.parts import NO_OPTIONS, add_attributes, inner_names, part_of, split
from outcore.settings import MemoryLike, ProgressLike
from outcore.storage.file import open_file
from outcore.storage.hdf5_attributes import Attributes
from outcore.storage.hdf5_combine import check_room, make_datasets
from outcore.storage.hdf5_options import choose
from outcore.storage.publish import Partial


def combine(
    arrays: Mapping[str, Any],
    target: str | os.PathLike[str],
    *,
    chunks: tuple[int, ...] | int | Literal[True] | None = None,
    compression: str | int | None = None,
    compression_opts: int | None = None,
    shuffle: bool | None = None,
    attrs: Mapping[str, Mapping[str, Any]] | None = None,
    memory: MemoryLike | None = None,
    progress: ProgressLike | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> dict[str, Array]:
    """Write many arrays into one HDF5 file, straight from memory where they are there.

    Parameters
    ----------
    arrays : mapping of str to Array, str, path, numpy.memmap, h5py.Dataset or array-like
        What `outcore.asarray` takes, under the names of the datasets: ``"a"`` or ``"group/b"``.
    target : str or path
        ``"all.h5"`` for a file of these arrays alone, or ``"all.h5::/group"`` to put them below a group; if
        that file exists, they are added to a copy of it, which then takes its place.
    chunks, compression, compression_opts, shuffle
        As in `outcore.create`, for every dataset. Arrays without dimensions have no chunks and are stored
        as they are.
    attrs : mapping of str to mapping, optional
        More attributes: the name of a dataset, or of a group above one, to names and values. ``"/"`` is
        the file, or the group of `target`.
    memory : int, float or str, optional
        Budget for this call; see `outcore.options`.
    progress : bool or callable, optional
        A bar (True), none (False), or ``callable(done_bytes, total_bytes)``; by default a bar for long
        work on a terminal.
    workers : int, optional
        Threads that write or compress, at most; fewer where the budget allows no more. The file does not
        depend on it.
    overwrite : bool
        Whether an existing file, or for ``"all.h5::/group"`` datasets in it, may be replaced; what is there
        stays until the new file is complete.

    Returns
    -------
    dict of str to Array
        The datasets, open to read, under the names that were given.

    Raises
    ------
    ExistsError
        The file, or a dataset below the group, exists and `overwrite` is False.
    AddressError
        Names that HDF5 cannot have, or that mean the same dataset.
    DTypeError
        Values or attributes that HDF5 has no type for; masked values.
    OptionError
        An option that makes no sense, or chunks that do not fit one of the arrays.
    MemoryBudgetError
        The working memory does not fit in the budget.
    DiskFullError
        Nothing stands under the target's name.

    Notes
    -----
    Memory, besides the arrays: none for C-contiguous arrays in memory; 4 MB a thread (64 kB where the budget
    is small) for others; one block of rows, at most 16 MB (or one row), for arrays on disk. With chunks, the
    chunks being compressed, and for rows that do not end with a chunk one row of chunks.

    Sources that are HDF5 datasets keep their attributes, byte for byte, and their enums and encodings of
    text. Not kept are references to other objects, which would lead nowhere in another file, and with them
    what makes a dataset a dimension scale or ties it to one (CLASS and NAME of a scale, DIMENSION_LIST,
    REFERENCE_LIST). A selection of fields takes no attributes along.

    Examples
    --------
    >>> a, b = np.arange(6.0).reshape(3, 2), np.array([(b"chr1", 5)], "S10, i4")
    >>> made = oc.combine({"a": a, "calls/b": b}, "all.h5", attrs={"a": {"unit": "mm"}})
    >>> made["a"][1:]
    array([[2., 3.],
           [4., 5.]])
    >>> oc.open("all.h5::/calls/b").shape
    (1,)
    """
    path, group = split(target)
    limit = budget.resolve(memory)
    inners = inner_names(arrays, path, group)
    options = NO_OPTIONS | {
        "chunks": chunks,
        "compression": compression,
        "compression_opts": compression_opts,
        "shuffle": shuffle,
    }
    # What is wrong for any array is wrong for none too.
    choose((1,), np.dtype("u1"), **(options | {"chunks": None}))
    with Attributes() as attributes:
        parts = [part_of(name, obj, inners[name], path, options, attributes) for name, obj in arrays.items()]
        add_attributes(attributes, attrs or {}, inners.values(), group)
        copying = Copying(parts, limit, workers)
        adds = group != "/" and os.path.lexists(path)
        if adds:
            check_room(path, group, list(inners.values()), overwrite=overwrite)
        with (
            bars.bar("combine", sum(part.nbytes for part in parts), progress) as advance,
            _partial(path, copy=adds, overwrite=adds or overwrite) as partial,
        ):
            made = make_datasets(partial.path, group, [part.new for part in parts], attributes)
            copying.run(partial.path, made, advance)
    file = open_file(partial.target)
    try:
        fingerprint = file.fingerprint()
    finally:
        file.close()
    return {
        part.name: Array(one.spec(partial.target, fingerprint)) for part, one in zip(parts, made, strict=True)
    }


@contextmanager
def _partial(path: str, *, copy: bool, overwrite: bool) -> Iterator[Partial]:
    """Make the file that the block fills, and give it its name if that went well."""
    partial = Partial(path, overwrite=overwrite)
    try:
        if copy:
            partial.begin_with(path)
        yield partial
        partial.commit()
    except BaseException:
        partial.discard()
        raise
