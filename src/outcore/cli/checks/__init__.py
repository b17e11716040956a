"""What ``outcore doctor`` looks at.

    finding       what a check tells, and what becomes of a check that fails
    memory        limits and free bytes, /dev/shm, huge pages
    processes     descriptors, start method, how shared arrays travel between processes
    computing     cores, BLAS and its threads
    files         HDF5 and its locks, the file system of the current folder
    installed     versions, optional packages

Guarantees
- A check only looks: nothing is changed, written or started.
- Each check imports what it needs itself, so one that cannot run does not keep the others from running.
"""
