"""Batches for frameworks; each module imports its framework, and is imported when a loader is asked for it.

- `protocol`: what an adapter asks for; `outcore.Loader` gives it
- `missing`: imports an adapter, or says which package to install
- `torch_dataset`: datasets for PyTorch's DataLoader; `torch_epochs`: which epoch its workers serve;
  `torch_tensors`: arrays into tensors
"""
