"""The main jobs end to end, on real files: what ``outcore demo`` and ``make demo`` do.

    jobs (conduct) ──▶ texts ──▶ ingesting ──▶ windows ──▶ describing ──▶ mixing ──▶ sharing ──▶
         training ──▶ report    each job a module; commands run as children (children), under a limit (groups)

To add a job, write a module with ``disk_bytes(size)`` and ``work(demo)`` (see `outcore.demo.stage`) and enter
it in `outcore.demo.conduct.JOBS`.
"""

from outcore.demo.conduct import run as run

__all__ = ["run"]
