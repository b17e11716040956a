"""What PyTorch leaves in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_words_at_the_end() -> Iterator[None]:
    """Forget the tensors that workers sent: at the end of the interpreter torch complains of each of them."""
    yield
    reductions = sys.modules.get("torch.multiprocessing.reductions")
    if reductions is not None:
        reductions.shared_cache.clear()
