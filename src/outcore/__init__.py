"""NumPy arrays that do not fit in memory, from as many processes as you like.

An `Array` is a reference to rows, on disk or in memory: it costs nothing to open, a few hundred
bytes to pickle, and is safe to hand to any process. Everything else is a way to ask it for rows
within a memory budget.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from outcore.shared.family import join

if TYPE_CHECKING:
    from outcore import errors as errors
    from outcore import transforms as transforms
    from outcore.array.creating import create as create
    from outcore.array.handle import Array as Array
    from outcore.array.opening import asarray as asarray
    from outcore.array.opening import open_array as open
    from outcore.blocks.mapping import map_rows as map_rows
    from outcore.blocks.planning import plan as plan
    from outcore.blocks.reducing import reduce_rows as reduce_rows
    from outcore.blocks.statistic import Statistic as Statistic
    from outcore.cluster.kmeans import KMeans as KMeans
    from outcore.combination.combining import combine as combine
    from outcore.conversion import convert as convert
    from outcore.decomposition.pca import PCA as PCA
    from outcore.linalg.covariance import cov as cov
    from outcore.linalg.forms import quadratic_form as quadratic_form
    from outcore.linalg.grams import gram as gram
    from outcore.linalg.matrices import matmul as matmul
    from outcore.loader.loading import Loader as Loader
    from outcore.loader.splitting import split as split
    from outcore.loader.window import Window as Window
    from outcore.mixture.gaussian import GaussianMixture as GaussianMixture
    from outcore.settings import options as options
    from outcore.shared.census import segments as segments
    from outcore.shared.ring import SharedRing as SharedRing
    from outcore.shared.sharedarray import SharedArray as SharedArray
    from outcore.shared.sharing import attach as attach
    from outcore.shared.sharing import share as share
    from outcore.shared.sharing import shared_empty as shared_empty
    from outcore.statistics import describe as describe
    from outcore.text.ingesting import ingest as ingest

__all__ = [  # noqa: RUF022 - sorted as Python sorts, which a test can tell
    "Array",
    "GaussianMixture",
    "KMeans",
    "Loader",
    "PCA",
    "SharedArray",
    "SharedRing",
    "Statistic",
    "Window",
    "asarray",
    "attach",
    "combine",
    "convert",
    "cov",
    "create",
    "describe",
    "errors",
    "gram",
    "ingest",
    "map_rows",
    "matmul",
    "open",
    "options",
    "plan",
    "quadratic_form",
    "reduce_rows",
    "segments",
    "share",
    "shared_empty",
    "split",
    "transforms",
]

#: Public name -> (module, name there). Loaded when first used, so that ``import outcore`` costs nothing.
_WHERE = {
    "Array": ("outcore.array.handle", "Array"),
    "GaussianMixture": ("outcore.mixture.gaussian", "GaussianMixture"),
    "KMeans": ("outcore.cluster.kmeans", "KMeans"),
    "Loader": ("outcore.loader.loading", "Loader"),
    "PCA": ("outcore.decomposition.pca", "PCA"),
    "SharedArray": ("outcore.shared.sharedarray", "SharedArray"),
    "SharedRing": ("outcore.shared.ring", "SharedRing"),
    "Statistic": ("outcore.blocks.statistic", "Statistic"),
    "Window": ("outcore.loader.window", "Window"),
    "asarray": ("outcore.array.opening", "asarray"),
    "attach": ("outcore.shared.sharing", "attach"),
    "combine": ("outcore.combination.combining", "combine"),
    "convert": ("outcore.conversion", "convert"),
    "cov": ("outcore.linalg.covariance", "cov"),
    "create": ("outcore.array.creating", "create"),
    "describe": ("outcore.statistics", "describe"),
    "errors": ("outcore.errors", ""),
    "gram": ("outcore.linalg.grams", "gram"),
    "ingest": ("outcore.text.ingesting", "ingest"),
    "map_rows": ("outcore.blocks.mapping", "map_rows"),
    "matmul": ("outcore.linalg.matrices", "matmul"),
    "open": ("outcore.array.opening", "open_array"),
    "options": ("outcore.settings", "options"),
    "plan": ("outcore.blocks.planning", "plan"),
    "quadratic_form": ("outcore.linalg.forms", "quadratic_form"),
    "reduce_rows": ("outcore.blocks.reducing", "reduce_rows"),
    "segments": ("outcore.shared.census", "segments"),
    "share": ("outcore.shared.sharing", "share"),
    "shared_empty": ("outcore.shared.sharing", "shared_empty"),
    "split": ("outcore.loader.splitting", "split"),
    "transforms": ("outcore.transforms", ""),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("outcore")
    if name not in _WHERE:
        raise AttributeError(f"module 'outcore' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    found = import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


join()
