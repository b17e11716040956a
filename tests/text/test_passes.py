"""What every pass over the files has in common."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from outcore.errors import OptionError
from outcore.progress import UNKNOWN
from outcore.text import passes
from outcore.text.counting import Counting
from outcore.text.passes import complete_plan, first_plan, go_through, refuse_rereading
from outcore.text.places import BEGINNING, Place
from outcore.text.request import Request
from outcore.text.room import make_room
from outcore.text.sources import find
from outcore.text.wishes import Wishes
from tests.text.runs import write


def test_text_that_is_not_ascii_is_u_only_where_the_target_can_hold_it(tmp_path: Path) -> None:
    files = find(write(tmp_path / "x.csv", "a,b\né,1\n"))
    request, room = Request(Wishes(), progress=False), make_room("64MB", 1)
    plan = first_plan(files, request)
    for unicode, dtype in ((True, "U1"), (False, "S2")):
        found = complete_plan(plan, files, request, room, "x", unicode=unicode)
        assert found.schema.columns[0].dtype == np.dtype(dtype)


def test_a_plan_without_open_questions_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "go_through", lambda *_, **__: pytest.fail("files were read"))
    files = find(write(tmp_path / "x.csv", "a,b\n1,2\n"))
    request = Request(Wishes())
    plan = first_plan(files, request)
    assert complete_plan(plan, files, request, make_room("64MB", 1), "x") == plan


def test_what_can_be_read_once_is_refused_with_the_reason(tmp_path: Path) -> None:
    refuse_rereading(find(write(tmp_path / "x.csv", "1\n")), "so it is")
    with find(io.BytesIO(b"1\n")) as once, pytest.raises(OptionError, match=r"only once, and so it is\."):
        refuse_rereading(once, "so it is")


@pytest.mark.parametrize("start", [0, 1, 2])
def test_a_pass_begins_where_it_is_told_to(tmp_path: Path, start: int) -> None:
    for i in range(3):
        write(tmp_path / f"p{i}.csv", "a\n" + "1\n" * (i + 1))
    files = find(tmp_path / "p*.csv")
    heard: list[tuple[int, int]] = []
    request = Request(Wishes("i4"), progress=lambda done, total: heard.append((done, total)))
    counting = Counting(first_plan(files, request))
    go_through(
        files, counting._plan, counting, make_room("64MB", 2), request, what="count", start=Place(start, 0, 1)
    )
    assert counting.n_done == sum(range(start + 1, 4))
    assert heard[-1] == (4 + 6 + 8, 4 + 6 + 8)


def test_the_total_is_unknown_where_a_source_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "1,2\n" * 10)
    with find([path, io.BytesIO(b"1,2\n")]) as files:
        assert passes._done_and_total(files, BEGINNING, 0) == (0, UNKNOWN)
    packed = write(tmp_path / "x.csv.gz", gzip.compress(b"1,2\n" * 10))
    with find([path, path, packed]) as files:
        total = 80 + packed.stat().st_size
        assert passes._done_and_total(files, Place(1, 8, 3), 0) == (48, total)
        assert passes._done_and_total(files, Place(2, 8, 3), 0) == (80, total)  # of a text, not of its file
        assert passes._done_and_total(files, Place(2, 0, 1), 1) == (40, total - 40)
