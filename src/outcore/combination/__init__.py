"""Many arrays into one HDF5 file.

`combining` is what users call; `parts` understands what they give; `copying` moves the values.
"""

from outcore.combination.combining import combine as combine

__all__ = ["combine"]
