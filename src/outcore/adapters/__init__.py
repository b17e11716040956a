"""Batches for frameworks; each module imports its framework, and is imported when a loader is asked for it.

- `protocol`: what an adapter asks for; `outcore.Loader` gives it
"""
