"""Batches for training, as a pure function of (seed, epoch, position).

- `keys`, `permutation`, `order`: which sample stands at which position of an epoch
- `runs`, `window`, `indices`, `samples`: which rows a sample is
- `sizes`, `quality`: how large blocks and buffers are, and what that does to the shuffle
- `sources`, `structure`, `reading`: from samples to arrays
- `grid`, `making`, `stream`: from positions to batches, made ahead of whoever trains
- `offloading`: transforms in processes of their own
- `state`, `loading`: `outcore.Loader`
- `splitting`, `grouping`: `outcore.split`
"""
