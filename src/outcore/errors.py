"""Every exception that outcore raises on purpose.

    OutcoreError
    ├── AddressError         (ValueError)         an address that cannot be understood
    ├── OptionError          (ValueError)         a keyword with a value that makes no sense
    ├── NotFoundError        (FileNotFoundError)  no such file, or no such dataset inside it
    ├── ExistsError          (FileExistsError)    the target is there already
    ├── WriterConflictError  (OSError)            somebody else is writing the same target
    ├── DiskFullError        (OSError)            no space left; nothing stands under the final name
    ├── FormatError          (ValueError)         the file is not what its name says
    │   └── TruncatedError                        the file ends before the array does
    ├── StaleArrayError      (OSError)            the file was replaced or cut since it was opened
    ├── FilterError          (OSError)            an HDF5 filter that nobody here can decode
    ├── DTypeError           (TypeError)          a dtype that cannot live outside one process
    ├── ShapeError           (ValueError)         a shape, or an `out` array, that does not fit
    ├── RowIndexError        (IndexError)         a row or window outside the array
    ├── SelectionError       (IndexError)         an index that NumPy knows and outcore does not
    ├── FieldError           (ValueError)         no such field in a structured array
    ├── ReadOnlyError        (ValueError)         a write to an array that was opened to read
    ├── ClosedError          (ValueError)         the array was closed
    │   └── RingClosedError  (EOFError)           the ring was closed: no more items
    ├── RingTimeoutError     (TimeoutError)       no slot, or no item, of a ring within the time allowed
    ├── MemoryBudgetError    (MemoryError)        the work does not fit in the memory budget
    ├── SegmentGoneError     (LookupError)        shared memory whose last holder has ended
    ├── HandleLimitError     (OSError)            no file descriptor left for another shared array
    ├── PlatformError        (NotImplementedError) the operating system lacks what is needed
    ├── IngestError          (ValueError)         text that cannot become the array asked for
    ├── NonFiniteError       (ValueError)         NaN or infinity where arithmetic needs numbers
    ├── SingularCovarianceError (ValueError)      a covariance that is not positive definite
    ├── NotFittedError       (ValueError, AttributeError)  an estimator that is used before `fit`
    ├── CheckpointError      (ValueError)         a checkpoint of other data or other parameters
    ├── StateError           (ValueError)         a loader's state of other data, or of another version
    ├── TransformError       (RuntimeError)       a transform that failed, or returned what is no batch
    ├── MissingPackageError  (ImportError)        an optional package that is not installed
    ├── ExecutorError        (RuntimeError)       an executor that cannot take work
    └── WorkerDiedError      (RuntimeError)       a worker process ended in the middle of its work
    ConvergenceWarning       (UserWarning)        an iteration that stopped at its limit

Each class is also the built-in that a NumPy or h5py user would catch. The text of each says what
happened with both values, why, and what to type instead.
"""

from __future__ import annotations


class OutcoreError(Exception):
    """Root of every error that outcore raises on purpose."""


class AddressError(OutcoreError, ValueError):
    """An address that cannot be understood: no known suffix, or an empty part."""


class OptionError(OutcoreError, ValueError):
    """A keyword argument with a value that makes no sense."""


class NotFoundError(OutcoreError, FileNotFoundError):
    """No such file, or no such dataset inside an HDF5 file (the ones there are listed)."""


class ExistsError(OutcoreError, FileExistsError):
    """The target exists and ``overwrite=True`` was not given."""


class WriterConflictError(OutcoreError, OSError):
    """Another writer is at work on the same target."""


class DiskFullError(OutcoreError, OSError):
    """The disk is full; nothing stands under the final name."""


class FormatError(OutcoreError, ValueError):
    """A file is not what its name says, or its header is damaged."""


class TruncatedError(FormatError):
    """A file ends before the array that its header describes."""


class StaleArrayError(OutcoreError, OSError):
    """The file behind an array was replaced or cut since the array was opened."""


class FilterError(OutcoreError, OSError):
    """An HDF5 dataset uses a filter that nothing installed here can decode."""


class DTypeError(OutcoreError, TypeError):
    """A dtype whose values cannot live outside one process, such as object."""


class ShapeError(OutcoreError, ValueError):
    """A shape that does not fit, or an `out` array of the wrong shape, dtype or layout."""


class RowIndexError(OutcoreError, IndexError):
    """A row or a window lies outside the array."""


class SelectionError(OutcoreError, IndexError):
    """An index expression that is not supported on arrays outside memory."""


class FieldError(OutcoreError, ValueError):
    """No such field in a structured array (the ones there are listed)."""


class ReadOnlyError(OutcoreError, ValueError):
    """A write to an array that was opened for reading."""


class ClosedError(OutcoreError, ValueError):
    """An array that was closed is used again."""


class RingClosedError(ClosedError, EOFError):
    """A ring was closed: nothing can be written any more, and everything was read."""


class RingTimeoutError(OutcoreError, TimeoutError):
    """No slot of a ring became free, or no item complete, within the time allowed."""


class MemoryBudgetError(OutcoreError, MemoryError):
    """The work needs more memory than the budget allows; raised before it starts."""


class SegmentGoneError(OutcoreError, LookupError):
    """The shared memory that a handle names is gone, or out of reach."""


class HandleLimitError(OutcoreError, OSError):
    """No file descriptor is left in this process, and each shared array needs one."""


class PlatformError(OutcoreError, NotImplementedError):
    """The operating system lacks what is needed."""


class IngestError(OutcoreError, ValueError):
    """Text that cannot become the array that was asked for."""


class NonFiniteError(OutcoreError, ValueError):
    """NaN or infinity in rows or weights that are computed with; the first such row is named."""


class SingularCovarianceError(OutcoreError, ValueError):
    """The covariance of a component is not positive definite."""


class NotFittedError(OutcoreError, ValueError, AttributeError):
    """An estimator is used before it was fitted."""


class CheckpointError(OutcoreError, ValueError):
    """A checkpoint belongs to other data or to other parameters, or is damaged."""


class StateError(OutcoreError, ValueError):
    """A loader's state belongs to other data or another order, or is damaged."""


class TransformError(OutcoreError, RuntimeError):
    """A transform of a loader failed, or returned what is no batch; the batch and its rows are named."""


class MissingPackageError(OutcoreError, ImportError):
    """An optional package is not installed; the text says how to install it."""


class ExecutorError(OutcoreError, RuntimeError):
    """An executor cannot take work: it was shut down, or it is not one that is known here."""


class WorkerDiedError(OutcoreError, RuntimeError):
    """A worker process ended in the middle of its work, twice where it could be started again.

    Attributes
    ----------
    indices : tuple of int
        Numbers of the tasks that may have been the reason.
    deaths : tuple of str
        Which processes ended, and how, where that is known: "process 4711: SIGKILL".
    """

    indices: tuple[int, ...] = ()
    deaths: tuple[str, ...] = ()


class ConvergenceWarning(UserWarning):
    """An iteration reached its limit before it converged."""
