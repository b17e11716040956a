"""Rows in pieces: one pass over the data, on any executor, under the memory budget.

- `streaming`: blocks of rows, one after the other, in this process
- `statistic`: what a computation over rows must be able to do: the manual for writing one
- `partition`: which rows are worked on together; depends on the data alone
- `planning`: how many workers, how much memory; `outcore.plan`
- `source`, `targets`, `overlap`: rows on their way to workers, values on their way back
- `work`, `passing`: what tasks do; the pass itself
- `heap`: freed memory, given back to the system
- `reducing`, `mapping`: `outcore.reduce_rows` and `outcore.map_rows`
"""
