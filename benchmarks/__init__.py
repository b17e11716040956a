"""Ratios to the limit of the machine and to other libraries: ``python -m benchmarks``.

A benchmark is a module with a docstring (what, against what, the target, how to repeat it) and one
function ``run(settings) -> Report``. No time is asserted anywhere: a missed target is printed, not raised.

How figures come about
- Contenders take turns, in a drawn order each time, and a ratio is the median of the ratios within the
  turns: a machine that drifts by a third in an hour still gives the same ratios.
- Cold means: evicted from the page cache before each batch, and looked at to be sure (benchmarks.cold).
- A memory limit is a control group's, which counts the page cache too (benchmarks.limits).
- Starts differ by contender and by turn, so that nobody reads what somebody else has just brought in.
- What was read is compared with what was written, outside the time taken.
"""
