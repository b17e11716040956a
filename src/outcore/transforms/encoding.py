"""Labels into rows of zeros and a one: `one_hot`.

Reads from : transforms.batches
Hands to   : users, by `outcore.transforms`

Guarantees
- A label that is no class is an error, never a row of zeros or a wrong class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from outcore.dtypes import as_dtype
from outcore.errors import DTypeError, OptionError, TransformError
from outcore.transforms.batches import Batch, Key, Transform, as_key, changed_one

NUMBERS, TEXT = "biuf", "SU"
#: So many classes are named in an error.
NAMED = 12


#: So few classes are looked up in a table of all their rows.
SMALL = 256


def one_hot(
    n_classes: int | None = None,
    *,
    key: Key | None = None,
    dtype: DTypeLike = "f4",
    classes: ArrayLike | None = None,
) -> Transform:
    """Encode labels as rows of zeros with a one in the label's column.

    Parameters
    ----------
    n_classes : int, optional
        Labels are 0 .. n_classes - 1, as integers, as booleans or as floating point without a fraction.
    key : int or str, optional
        The element of a tuple, or of a dict, that holds labels. None: the second element of a tuple, or the
        batch itself where it is one array; of a dict it must be said.
    dtype : dtype or str
        Of the result.
    classes : array-like of shape (n_classes,), optional
        The labels themselves, numbers or text: column i stands for ``classes[i]``.

    Returns
    -------
    callable
        ``transform(batch, rng) -> batch``. Labels of shape (n,) or (n, 1) become (n, n_classes); those of
        windows, (n, length), become (n, length, n_classes).

    Raises
    ------
    OptionError
        Neither `n_classes` nor `classes`, or both and they differ; classes that are not distinct.
    TransformError
        When applied: a label that is no class (NaN too). It is named, and where it stands.
    DTypeError
        When applied: labels of a dtype that the classes are not of.
    FieldError
        When applied: no such element.

    Notes
    -----
    Memory: the result, and 26 bytes for each label.

    Examples
    --------
    >>> encode = oc.transforms.one_hot(3)
    >>> X, y = encode((np.zeros((2, 5)), np.array([2, 0])))
    >>> y
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    >>> oc.transforms.one_hot(classes=["no", "yes"], dtype="i1")(np.array([b"yes", b"no"]))
    array([[0, 1],
           [1, 0]], dtype=int8)
    """
    given = None if classes is None else _classes(classes)
    kind = as_dtype(dtype)
    if kind.kind not in "biufc":
        raise OptionError(f'one_hot: dtype={str(kind)!r} holds no numbers.\nUse dtype="f4".')
    if n_classes is None and given is None:
        raise OptionError(
            'one_hot: say how many classes there are, one_hot(3), or which, one_hot(classes=["a", "b"]).'
        )
    number: Any = n_classes if given is None or n_classes is not None else len(given)
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
        raise OptionError(f"one_hot: n_classes={n_classes!r} is not a whole number of 1 or more.")
    if given is not None and len(given) != number:
        raise OptionError(
            f"one_hot: n_classes={n_classes}, but classes holds {len(given)}.\nGive one of them: classes."
        )
    where = None if key is None else as_key("one_hot", key)
    return _OneHot(int(number), where, kind, given, {} if given is None else _lookups(given))


def _classes(classes: ArrayLike) -> NDArray[Any]:
    try:
        given = np.array(classes)
    except ValueError as error:
        raise OptionError(f"one_hot: classes={classes!r:.60} is no list of labels: {error}.") from error
    # NumPy makes texts of numbers beside texts, silently.
    mixed = isinstance(classes, Sequence) and len({isinstance(c, (str, bytes)) for c in classes}) > 1
    if given.ndim != 1 or not len(given) or mixed or given.dtype.kind not in NUMBERS + TEXT:
        raise OptionError(
            f"one_hot: classes={classes!r:.60} is no list of numbers, and no list of texts.\n"
            'Use for example classes=["no", "yes"].'
        )
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise OptionError(f"one_hot: classes={classes!r:.60} holds NaN, which equals no label.")
    kinds, counts = np.unique(given, return_counts=True)
    if len(kinds) < len(given):
        twice = kinds[counts > 1][0]
        raise OptionError(f"one_hot: classes holds {twice.item()!r} twice.\nName each class once.")
    return given


@dataclass(frozen=True, eq=False)
class _Lookup:
    """Classes, ascending, and which column each of them is."""

    ascending: NDArray[Any]
    columns: NDArray[np.intp]

    @classmethod
    def of(cls, classes: NDArray[Any]) -> _Lookup:
        columns = np.argsort(classes, kind="stable")
        return cls(classes[columns], columns)

    def __call__(self, labels: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the column of each label, and which labels have none."""
        ascending = self.ascending
        if labels.dtype.kind == "f" and ascending.dtype.kind == "f":
            # 0.1 of a float32 array is meant by classes=[0.1], which is another number in float64.
            with np.errstate(over="ignore"):
                narrow = ascending.astype(labels.dtype)
            if (narrow[1:] > narrow[:-1]).all():
                ascending = narrow
        places = np.minimum(np.searchsorted(ascending, labels), len(ascending) - 1)
        return self.columns[places], ascending[places] != labels


def _lookups(classes: NDArray[Any]) -> dict[str, _Lookup]:
    """Prepare for text as bytes and as str: files hold the one, and people type the other."""
    if classes.dtype.kind not in TEXT:
        return dict.fromkeys(NUMBERS, _Lookup.of(classes))
    is_bytes = classes.dtype.kind == "S"
    try:
        as_bytes = classes if is_bytes else np.strings.encode(classes, "utf-8", "surrogateescape")
        as_text = np.strings.decode(classes, "utf-8", "surrogateescape") if is_bytes else classes
    except UnicodeError as error:
        raise OptionError(f"one_hot: classes={classes.tolist()!r:.60} is no text: {error}.") from error
    return {"S": _Lookup.of(as_bytes), "U": _Lookup.of(as_text)}


@dataclass(frozen=True, eq=False)
class _OneHot:
    """What `one_hot` returns; `lookups` by the kind of the labels, none where labels are columns."""

    n_classes: int
    key: Key | None
    dtype: np.dtype[Any]
    classes: NDArray[Any] | None
    lookups: dict[str, _Lookup]

    ignores_rng: ClassVar[bool] = True

    def __call__(self, batch: Batch, rng: Any = None) -> Batch:
        return changed_one("one_hot", batch, self.key, 1, self._change)

    def __repr__(self) -> str:
        what = str(self.n_classes) if self.classes is None else f"classes={_listed(self.classes)}"
        return f"one_hot({what}, key={self.key!r}, dtype={str(self.dtype)!r})"

    def _change(self, labels: NDArray[Any], in_place: bool, name: str) -> NDArray[Any]:
        if labels.ndim > 1 and labels.shape[-1] == 1:  # a column
            labels = labels[..., 0]
        if (made := self._simple(labels)) is not None:
            return made
        codes, outside = self._codes(labels, name)
        if outside.any():
            self._refuse(labels, outside, name)
        made = np.zeros((labels.size, self.n_classes), self.dtype)
        made[np.arange(labels.size), codes.reshape(-1)] = 1
        return made.reshape(*labels.shape, self.n_classes)

    def _simple(self, labels: NDArray[Any]) -> NDArray[Any] | None:
        """Encode labels that are columns, all of them; None where there is more to say."""
        if self.lookups or labels.dtype.kind not in "iuf" or self.n_classes > SMALL or not labels.size:
            return None
        with np.errstate(invalid="ignore"):  # NaN, which is not equal to what it becomes
            codes = labels.astype(np.intp)
        if codes.min() < 0 or codes.max() >= self.n_classes or (codes != labels).any():
            return None
        return np.eye(self.n_classes, dtype=self.dtype).take(codes, axis=0)

    def _codes(self, labels: NDArray[Any], name: str) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        kind = labels.dtype.kind
        if kind not in (self.lookups or NUMBERS):
            raise DTypeError(
                f"one_hot: {name} is of dtype {labels.dtype}; the classes are {self._said()}.\n"
                'Name classes of this kind: one_hot(classes=["a", "b"]); fields are taken out by select.'
            )
        if self.lookups:
            return self.lookups[kind](labels)
        # NaN is not inside either.
        inside = (labels >= 0) & (labels < self.n_classes)
        if kind == "f":
            inside &= labels == np.floor(labels)
        return np.where(inside, labels, 0).astype(np.intp), ~inside

    def _refuse(self, labels: NDArray[Any], outside: NDArray[np.bool_], name: str) -> NoReturn:
        place = tuple(int(i) for i in np.unravel_index(int(outside.argmax()), labels.shape))
        raise TransformError(
            f"one_hot: the label {labels[place].item()!r} at {name}[{', '.join(map(str, place))}] is no "
            f"class; the classes are {self._said()}.\n"
            "Use more classes, name them with classes=, or leave such rows out with the loader's indices=."
        )

    def _said(self) -> str:
        return f"0 to {self.n_classes - 1}" if self.classes is None else _listed(self.classes)


def _listed(classes: NDArray[Any]) -> str:
    some = ", ".join(repr(one) for one in classes[:NAMED].tolist())
    return f"[{some}]" if len(classes) <= NAMED else f"[{some}, ... {len(classes)} in all]"
