"""Rows in pieces: one pass over the data, on any executor, under the memory budget.

- `streaming`: blocks of rows, one after the other, in this process
- `statistic`: what a computation over rows must be able to do: the manual for writing one
- `partition`: which rows are worked on together; depends on the data alone
- `planning`: how many workers, how much memory; `outcore.plan`
- `passing`: the pass itself
- `reducing`, `mapping`: `outcore.reduce_rows` and `outcore.map_rows`
"""
