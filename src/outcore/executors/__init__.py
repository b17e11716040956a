"""Where tasks run: threads, worker processes, any `concurrent.futures.Executor`, a Dask cluster.

- `protocol`: what a runner must be able to do
- `choosing`: from ``executor=`` and ``workers=`` to a runner
- `threads`, `processes`, `foreign`: the runners
- `parcel`: objects with large arrays on their way between processes of one machine
- `blas_threads`: one BLAS thread for each task
"""
