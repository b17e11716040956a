"""Files that appear whole or not at all.

Hands to   : array.creating

Guarantees
- Until `commit`, the rows stand in ``.NAME.ID.partial`` in the folder of the target; the target is untouched.
- `commit` brings the data to the device, gives the file its name in one step, and brings the folder
  to the device. A crash at any moment leaves the old target, or the new one, whole.
- A second writer of the same target is refused while the first one lives; a partial file whose
  writer was killed is removed by the next writer of that target.
- Without ``overwrite`` a target that appeared in the meantime is not replaced either.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
import weakref

from outcore.errors import ExistsError, NotFoundError, WriterConflictError
from outcore.storage.file import full

try:
    import fcntl
except ImportError:  # Windows: an open file cannot be removed there, which serves as the lock
    fcntl = None  # type: ignore[assignment]  # a module elsewhere


class Partial:
    """A file under construction.

    Parameters
    ----------
    target : str
        The final name; its folder must exist.
    overwrite : bool
        Whether an existing target may be replaced.
    resume : str, optional
        Path of a partial file that was kept, or whose writer was killed: it is taken over as it is.

    Raises
    ------
    ExistsError
        The target is there and `overwrite` is False.
    NotFoundError
        The folder is missing.
    WriterConflictError
        Another process, or another array of this one, is writing the same target.
    """

    def __init__(self, target: str, *, overwrite: bool, resume: str | None = None) -> None:
        self.target = os.path.abspath(target)
        self.overwrite = overwrite
        self._owner = os.getpid()
        self._refuse_existing()
        if os.path.islink(self.target):  # a link stays a link: the file that it leads to is replaced
            self.target = os.path.realpath(self.target)
        folder, name = os.path.split(self.target)
        check_folder(self.target)
        if os.path.isdir(self.target):
            raise ExistsError(
                f"{self.target} is a folder; a file cannot take its name.\nChoose another name."
            )
        self.path = resume or os.path.join(folder, f".{name}.{secrets.token_hex(6)}.partial")
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            self._lock_fd: int | None = os.open(
                self.path, flags if resume else flags | os.O_CREAT | os.O_EXCL, 0o666
            )
        except FileNotFoundError as error:
            raise self._conflict(f"{self.path} has just gone") from error
        locked = _try_lock(self._lock_fd)
        if resume and not locked:  # it is another's: it must not be removed
            os.close(self._lock_fd)
            raise self._conflict(f"{self.path} is locked")
        # Nobody may be surprised by a file that was never closed: it goes with its owner, but never
        # with a forked child that merely inherited it.
        self._finalizer = weakref.finalize(self, _remove, self.path, self._lock_fd, os.getpid())
        try:
            if not locked or not os.path.exists(self.path):
                # Somebody else came between the two lines above and took this file for a dead writer's.
                raise self._conflict("who began at the same moment")
            self._clear_others()
        except BaseException:
            self.discard()
            raise

    def _refuse_existing(self) -> None:
        if not self.overwrite and os.path.lexists(self.target):
            raise ExistsError(
                f"{self.target} exists ({os.lstat(self.target).st_size} bytes) and overwrite is False.\n"
                "Use overwrite=True to replace it, or another name."
            )

    def _clear_others(self) -> None:
        for other in _partials(self.target):
            if other == self.path:
                continue
            try:
                fd = os.open(other, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
                try:
                    if not _try_lock(fd):
                        raise self._conflict(f"{other} is locked")
                    if fcntl is not None:
                        os.unlink(other)  # its writer is dead; it is removed before the lock is let go
                finally:
                    os.close(fd)
                if fcntl is None:
                    os.unlink(other)  # Windows removes no open file
            except FileNotFoundError:
                continue  # its writer has just finished, or a third one removed it
            except PermissionError as error:  # Windows: still open somewhere; elsewhere: another user's
                raise self._conflict(f"{other} cannot be removed") from error

    def _conflict(self, sign: str) -> WriterConflictError:
        return WriterConflictError(
            f"{self.target} is being written by somebody else ({sign}).\n"
            "Wait until that is finished, or choose another name."
        )

    def begin_with(self, path: str) -> None:
        """Begin with a copy of another file.

        Raises
        ------
        DiskFullError
            It does not fit.
        """
        try:
            shutil.copyfile(path, self.path)
        except OSError as error:
            raise full(self.path, os.path.getsize(path), error) from error

    @property
    def owned(self) -> bool:
        """Whether this process made the file; a forked child that inherited it may not finish it."""
        return os.getpid() == self._owner

    def commit(self) -> None:
        """Give the finished file its name.

        Raises
        ------
        ExistsError
            The target appeared while this file was written and `overwrite` is False; the partial
            file is removed.
        """
        fd = os.open(self.path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        if self.overwrite:
            os.replace(self.path, self.target)
        else:
            self._rename_without_replacing()
        self._finalizer.detach()
        self._unlock()
        sync_folder(os.path.dirname(self.target))

    def _rename_without_replacing(self) -> None:
        # A hard link fails if the name is taken, which rename does not.
        try:
            os.link(self.path, self.target)
        except FileExistsError as error:
            self.discard()
            raise ExistsError(
                f"{self.target} appeared while it was being written here; it was left as it is.\n"
                "Use overwrite=True to replace it, or another name."
            ) from error
        except OSError:
            # No hard links on this file system: the check and the rename are two steps there.
            self._refuse_existing()
            os.rename(self.path, self.target)
        else:
            with contextlib.suppress(FileNotFoundError):  # somebody who found both names removed this one
                os.unlink(self.path)

    def discard(self) -> None:
        """Remove the partial file; the target stays as it was."""
        self._finalizer()
        self._lock_fd = None

    def keep(self) -> None:
        """Leave the partial file where it is, for another one to take over by `resume`."""
        self._finalizer.detach()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            if fcntl is not None:
                # Not only closed: children that were forked meanwhile hold the same lock, and would lock the
                # finished file for as long as they live.
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
            os.close(self._lock_fd)
            self._lock_fd = None


def drop_second_names(target: str) -> None:
    """Remove the partial names of a finished file, which a writer leaves that is killed while it renames."""
    path = os.path.realpath(target)
    for other in _partials(path):
        with contextlib.suppress(FileNotFoundError):
            if os.path.samefile(other, path):
                os.unlink(other)


def _partials(path: str) -> list[str]:
    folder, name = os.path.split(path)
    return glob.glob(os.path.join(glob.escape(folder), f".{glob.escape(name)}.{'[0-9a-f]' * 12}.partial"))


def check_folder(path: str) -> None:
    """Check that a file can be made in the folder of `path`, an absolute one.

    Raises
    ------
    NotFoundError
        The folder is missing.
    """
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise NotFoundError(
            f"the folder {folder} does not exist; {name} cannot be written there.\n"
            f"Create it first: os.makedirs({folder!r})."
        )


def _try_lock(fd: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: str, lock_fd: int, owner: int) -> None:
    os.close(lock_fd)
    if os.getpid() == owner:
        with contextlib.suppress(FileNotFoundError):  # a next writer of the target may have removed it
            os.unlink(path)


def sync_folder(folder: str) -> None:
    """Bring the names in a folder to the device."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open folders, and journals renames itself
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
