"""Results and errors, ready to travel."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np

from outcore.errors import ExecutorError, NonFiniteError
from outcore.executors.outcome import Failure, perform
from outcore.executors.parcel import Parcel
from tests.executors import tasks


def failure_of(kind: str) -> Failure:
    outcome = perform(tasks.fail, None, (kind,), share=False)
    assert isinstance(outcome, Failure)
    travelled: Failure = pickle.loads(pickle.dumps(outcome))
    return travelled


def test_a_result_is_a_parcel() -> None:
    outcome = perform(tasks.times, {"x": np.ones(3)}, (2.0,), share=False)
    assert isinstance(outcome, Parcel)
    assert outcome.open(writable=True)["product"].tolist() == [2.0, 2.0, 2.0]


def test_an_error_arrives_as_itself_with_the_traceback_of_the_worker() -> None:
    error = failure_of("value").error()
    assert type(error) is ValueError
    (noted,) = error.__notes__
    assert noted.startswith("Raised in process ")
    assert "tasks.py" in noted
    assert "three is too many" in noted


def test_notes_and_attributes_of_an_error_arrive() -> None:
    error = NonFiniteError("row 3")
    error.add_note("of x.npy")
    assert Failure.of(error).error().__notes__[0] == "of x.npy"


def test_an_error_that_pickles_badly_arrives_as_its_text() -> None:
    for kind, said in [("pickles badly", "TwoPartError: here: because"), ("does not pickle", "holds a lock")]:
        error = failure_of(kind).error()
        assert type(error) is ExecutorError
        assert said in str(error)


def test_an_error_whose_class_is_not_known_here_arrives_as_its_text() -> None:
    known = failure_of("value")
    assert known.data is not None
    strange = replace(known, data=known.data.replace(b"ValueError", b"ValuedItem"))
    assert type(strange.error()) is ExecutorError


def test_the_end_of_the_program_is_an_error_of_the_task() -> None:
    error = failure_of("exit").error()
    assert isinstance(error, SystemExit)
    assert error.args == (7,)
