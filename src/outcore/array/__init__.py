"""The handle: a reference to rows on disk or in memory, and the ways to make one."""
