from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outcore.errors import CheckpointError, NotFoundError, OptionError
from outcore.mixture import checkpoint as module
from outcore.mixture.checkpoint import Checkpoint
from outcore.mixture.iterating import Reached, Trial

IDENTITY = {"n_components": 2, "n_init": 1, "max_iter": 5, "X.shape": [4, 3]}


def trial(seed: int = 0, *, complete: bool = True) -> Trial:
    rng = np.random.default_rng(seed)
    arrays = (
        rng.normal(size=(2,)),
        rng.normal(size=(2, 3)),
        rng.normal(size=(2, 3, 3)),
        rng.normal(size=(2, 3, 3)),
    )
    return Trial(*arrays, lower_bounds=[-1.1, -np.pi], converged=complete)


def checkpoint(folder: Path, rng: Any = None, **identity: Any) -> Checkpoint:
    return Checkpoint(folder / "fit.npz", {**IDENTITY, **identity}, rng or np.random.RandomState(0))


def test_the_beginning_where_there_is_no_file(tmp_path: Path) -> None:
    assert checkpoint(tmp_path).load() == Reached()


def test_all_bits_come_back(tmp_path: Path) -> None:
    checkpoint(tmp_path, n_init=3)._write(Reached(2, trial(0, complete=False), trial(1)))
    found = checkpoint(tmp_path, n_init=3).load()
    assert found.init == 2
    assert found.current is not None
    assert found.best is not None
    for name in ("weights", "means", "covariances"):
        assert np.array_equal(getattr(found.current, name), getattr(trial(0), name))
        assert np.array_equal(getattr(found.best, name), getattr(trial(1), name))
    assert found.current.lower_bounds == [-1.1, -np.pi]
    assert not found.current.converged
    assert found.best.converged
    assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: np.random.RandomState(seed),
        lambda seed: np.random.default_rng(seed),
        lambda seed: np.random.Generator(np.random.MT19937(seed)),
        lambda seed: np.random.Generator(np.random.Philox(seed)),
        lambda seed: np.random.Generator(np.random.SFC64(seed)),
    ],
)
def test_random_numbers_go_on(tmp_path: Path, make: Any) -> None:
    rng = make(0)
    rng.normal(size=3)  # leaves RandomState with a number to spare
    checkpoint(tmp_path, rng)._write(Reached(0, trial()))
    other = make(1)
    checkpoint(tmp_path, other).load()
    assert np.array_equal(other.normal(size=5), rng.normal(size=5))


def test_a_file_of_another_fit_is_refused_and_stays(tmp_path: Path) -> None:
    checkpoint(tmp_path)._write(Reached(0, trial()))
    before = (tmp_path / "fit.npz").read_bytes()
    with pytest.raises(CheckpointError) as error:
        checkpoint(tmp_path, n_components=3, **{"X.shape": [5, 3]}).load()
    assert "  n_components: 2 in the checkpoint, 3 now\n" in str(error.value)
    assert "  X.shape: [4, 3] in the checkpoint, [5, 3] now\n" in str(error.value)
    assert "max_iter" not in str(error.value)
    assert (tmp_path / "fit.npz").read_bytes() == before


def test_iterations_may_be_added_to_one_start(tmp_path: Path) -> None:
    checkpoint(tmp_path)._write(Reached(1, None, trial(complete=False)))
    assert checkpoint(tmp_path, max_iter=50).load().best is not None
    assert checkpoint(tmp_path, max_iter=2).load().best is not None
    with pytest.raises(CheckpointError, match="max_iter: 5 in the checkpoint, 1 now"):
        checkpoint(tmp_path, max_iter=1).load()


def test_but_not_to_several(tmp_path: Path) -> None:
    checkpoint(tmp_path, n_init=2)._write(Reached(1, None, trial()))
    with pytest.raises(CheckpointError, match="max_iter"):
        checkpoint(tmp_path, n_init=2, max_iter=50).load()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.99])
def test_a_damaged_file_says_so(tmp_path: Path, share: float) -> None:
    checkpoint(tmp_path)._write(Reached(0, trial()))
    path = tmp_path / "fit.npz"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match=r"fit.npz is no checkpoint of a fit, or damaged"):
        checkpoint(tmp_path).load()


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    checkpoint(tmp_path)._write(Reached(0, trial()))
    path = tmp_path / "fit.npz"
    data = bytearray(path.read_bytes())
    at = data.find(trial().covariances.tobytes()) + 5
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint(tmp_path).load()


def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(CheckpointError):
        checkpoint(tmp_path).load()
    np.save(tmp_path / "x.npy", np.zeros(3))
    path.write_bytes((tmp_path / "x.npy").read_bytes())
    with pytest.raises(CheckpointError):
        checkpoint(tmp_path).load()
    np.save(tmp_path / "x.npy", np.array([None]), allow_pickle=True)
    path.write_bytes((tmp_path / "x.npy").read_bytes())
    with pytest.raises(CheckpointError):
        checkpoint(tmp_path).load()
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError):
        checkpoint(tmp_path).load()


def test_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "VERSION", 99)
        checkpoint(tmp_path)._write(Reached(0, trial()))
    with pytest.raises(CheckpointError, match="has version 99; this outcore reads version 1"):
        checkpoint(tmp_path).load()


def test_written_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    kept = checkpoint(tmp_path)
    path = tmp_path / "fit.npz"
    now += module.EVERY_S - 0.1
    kept.keep(Reached(0, trial()), False)
    assert not path.exists()
    now += 0.2
    kept.keep(Reached(0, trial()), False)
    assert path.exists()
    path.unlink()
    now += module.EVERY_S - 0.1
    kept.keep(Reached(0, trial()), False)
    assert not path.exists()
    kept.keep(Reached(1, None, trial()), True)
    assert path.exists()


def test_a_write_that_fails_leaves_the_last_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = checkpoint(tmp_path)
    kept._write(Reached(0, trial()))
    before = (tmp_path / "fit.npz").read_bytes()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(KeyboardInterrupt):
        kept._write(Reached(0, trial(1)))
    assert (tmp_path / "fit.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]


def test_no_folder_and_no_path(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        checkpoint(tmp_path / "missing")
    with pytest.raises(OptionError, match="checkpoint=7 is no path"):
        Checkpoint(7, IDENTITY, np.random.RandomState(0))
