"""Arrays in memory that several processes share: `share`, `shared_empty`, `attach`, `SharedArray`.

    sharedarray     the ndarray subclass, and how it pickles
      resolving     from a handle to its segment, in four ways
        mailbox     descriptors that wait in the kernel for a parent
        travel      handles that were sent and not received yet
      segment       memory without a name, described by its first page
        mapping · memfd (Linux) · named (elsewhere)
    family          what is set up when outcore is imported, and again in a forked child

Nothing here has a name that somebody must remember to delete, nothing runs beside the program, and no
process keeps books about another one: the kernel counts who uses a segment.
"""
