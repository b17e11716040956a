"""The state of a fit on disk, so that a fit which was killed goes on where it was.

Reads from : mixture.iterating (what there is to keep), mixture.identity
Hands to   : mixture.gaussian

Guarantees
- The file appears whole or stays as it was: a fit may be killed at any moment.
- A fit that goes on ends with the same numbers, to the last bit, as one that was never interrupted.
- A checkpoint of other data or other parameters is refused, and what differs is named; nothing is written
  then.
- Writing takes at most about a tenth of the time, but for the first and the last time.

The file is what `numpy.savez` writes: one entry ``about`` with JSON text, and an array for each parameter.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from typing import Any

import numpy as np

from outcore.errors import CheckpointError, OptionError
from outcore.estimation.sampling import Random
from outcore.mixture.iterating import Reached, Trial
from outcore.storage.file import full
from outcore.storage.publish import Partial, check_folder

#: Stands in the file; files with another one are not read.
VERSION = 1
#: At least so long between two files, and so many times as long as writing one took.
EVERY_S = 5.0
SHARE = 10.0

#: Of a trial; its whitening is computed from these, to the same bits.
_ARRAYS = ("weights", "means", "covariances")


class Checkpoint:
    """The file of one fit.

    Parameters
    ----------
    path : str or path
    identity : dict
        What data and parameters the fit has: plain values, see `mixture.identity`.
    rng : RandomState or Generator
        Whose state is kept with the rest.

    Raises
    ------
    OptionError
        `path` is no path.
    NotFoundError
        Its folder does not exist.
    """

    def __init__(self, path: Any, identity: dict[str, Any], rng: Random) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise OptionError(
                f'checkpoint={path!r} is no path.\nUse the name of a file, checkpoint="fit.npz", or None.'
            )
        self.path = os.path.abspath(path)
        check_folder(self.path)
        self._identity = identity
        self._rng = rng
        self._next_s = time.monotonic() + EVERY_S

    def load(self) -> Reached:
        """Return how far the fit has come; the beginning if there is no file.

        Raises
        ------
        CheckpointError
            The file is of another fit, or no checkpoint.
        """
        if not os.path.exists(self.path):
            return Reached()
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as entries:
                about = json.loads(bytes(entries["about"]))
                version = about["version"]
                if version == VERSION:
                    identity, state = about["identity"], about["rng"]
                    reached = Reached(
                        about["init"],
                        _read_trial(entries, "current", about["current"]),
                        _read_trial(entries, "best", about["best"]),
                    )
        except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.path} is no checkpoint of a fit, or damaged: {error}.\n"
                "Remove it to begin anew, or give another name as checkpoint=."
            ) from error
        if version != VERSION:
            raise CheckpointError(
                f"{self.path} has version {version}; this outcore reads version {VERSION}.\n"
                "Remove it to begin anew, or go on with the outcore that wrote it."
            )
        self._compare(identity, reached)
        _set_state(self._rng, state)
        return reached

    def keep(self, reached: Reached, done: bool) -> None:
        """Write the file if it is time; surely where the fit is `done`."""
        if not done and time.monotonic() < self._next_s:
            return
        began = time.monotonic()
        self._write(reached)
        now = time.monotonic()
        self._next_s = now + max(EVERY_S, SHARE * (now - began))

    def _write(self, reached: Reached) -> None:
        about = {
            "version": VERSION,
            "identity": self._identity,
            "rng": _state(self._rng),
            "init": reached.init,
            "current": _facts(reached.current),
            "best": _facts(reached.best),
        }
        entries: dict[str, Any] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
        for name, trial in (("current", reached.current), ("best", reached.best)):
            if trial is not None:
                entries |= {f"{name}_{array}": getattr(trial, array) for array in _ARRAYS}
        partial = Partial(self.path, overwrite=True)
        try:
            with open(partial.path, "wb") as file:
                np.savez(file, **entries)
            partial.commit()
        except OSError as error:
            partial.discard()
            raise full(self.path, sum(entry.nbytes for entry in entries.values()), error) from error
        except BaseException:
            partial.discard()
            raise

    def _compare(self, found: dict[str, Any], reached: Reached) -> None:
        ours = self._identity
        differing = [
            f"  {name}: {found.get(name)} in the checkpoint, {ours.get(name)} now"
            for name in {**found, **ours}
            if found.get(name) != ours.get(name) and not self._may_differ(name, reached)
        ]
        if differing:
            raise CheckpointError(
                f"{self.path} was written by a fit of other data or with other parameters:\n"
                + "\n".join(differing)
                + "\nGive what it was written with, another name as checkpoint=, or remove it to begin anew."
            )

    def _may_differ(self, name: str, reached: Reached) -> bool:
        """Whether a fit from the beginning with this parameter would have passed the same state."""
        if name != "max_iter" or self._identity["n_init"] != 1:
            return False
        trial = reached.current or reached.best
        return trial is None or len(trial.lower_bounds) <= self._identity["max_iter"]


def _facts(trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {"lower_bounds": trial.lower_bounds, "converged": trial.converged}


def _read_trial(entries: Any, name: str, facts: dict[str, Any] | None) -> Trial | None:
    if facts is None:
        return None
    weights, means, covariances = (entries[f"{name}_{array}"] for array in _ARRAYS)
    bounds = [float(bound) for bound in facts["lower_bounds"]]
    return Trial(weights, means, None, covariances, bounds, bool(facts["converged"]))


def _state(rng: Random) -> dict[str, Any]:
    """Return the state of a source of random numbers as plain values."""
    state = rng.get_state(legacy=False) if isinstance(rng, np.random.RandomState) else rng.bit_generator.state
    plain: dict[str, Any] = json.loads(json.dumps(state, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    # Arrays and integers of NumPy; states hold nothing else besides plain values.
    return (
        {"array": value.tolist(), "dtype": str(value.dtype)} if isinstance(value, np.ndarray) else int(value)
    )


def _set_state(rng: Random, state: dict[str, Any]) -> None:
    made = _arrays(state)
    if isinstance(rng, np.random.RandomState):
        rng.set_state(made)
    else:
        rng.bit_generator.state = made


def _arrays(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if set(value) == {"array", "dtype"}:
        return np.array(value["array"], value["dtype"])
    return {name: _arrays(item) for name, item in value.items()}
