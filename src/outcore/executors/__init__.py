"""Where tasks run: threads, worker processes, any `concurrent.futures.Executor`, a Dask cluster.

protocol          what a runner must be able to do
choosing          from ``executor=`` and ``workers=`` to a runner
threads           in this process
processes         in processes of our own
  member · worker one of them, from outside and from inside; exits: how it ended
foreign           on an executor of the user; dask_client: on a Dask cluster
  errand          what runs in workers there; recent: what they keep for the next task
parcel            objects on their way between processes; pickling
outcome           results and errors on their way back
blas_threads      one BLAS thread for each task
"""
