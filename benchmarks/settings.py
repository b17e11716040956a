"""What a run was asked for, and a folder for its files.

Hands to : every benchmark
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Skip

#: Ignored by git, removed by `make clean`, and on a disk; the folder for temporary files often is not.
DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
#: Stays free: a file system that is full to the last block is slow.
SPARE_BYTES = 2 << 30


@dataclass(frozen=True)
class Settings:
    """Options of the command line."""

    quick: bool = False
    folder: Path = DEFAULT_FOLDER
    keep: bool = False
    turns: int | None = None

    @property
    def repeats(self) -> int:
        """Turns of each contender, where a turn takes a second or more."""
        return self.turns or (3 if self.quick else 5)

    @property
    def many_repeats(self) -> int:
        """The same, where a turn takes less."""
        return self.turns or (5 if self.quick else 15)

    @property
    def cold_limit_bytes(self) -> int:
        """Memory limit of loaders that read cold arrays, which are four times as large."""
        return (256 << 20) if self.quick else (2 << 30)

    @property
    def loader_budget(self) -> int | None:
        """Budget of those loaders: None, their own default, where the limit has room for it."""
        return self.cold_limit_bytes // 3 if self.quick else None

    def free_bytes(self) -> int:
        """Space left on the disk of the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free - SPARE_BYTES

    @contextlib.contextmanager
    def workspace(self, needed_bytes: int) -> Iterator[Path]:
        """Make a folder for one benchmark; it is removed with all that is in it, unless ``--keep``.

        Raises
        ------
        Skip
            The disk has no room for `needed_bytes`.
        """
        free = self.free_bytes()
        if free < needed_bytes:
            raise Skip(
                f"needs {needed_bytes / 1e9:.1f} GB in {self.folder}, which has {free / 1e9:.1f} GB to spare;"
                " use --dir or --quick"
            )
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.folder))
        try:
            yield folder
        finally:
            if not self.keep:
                shutil.rmtree(folder)
