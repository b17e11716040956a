"""Arrays in memory that several processes share: `share`, `shared_empty`, `attach`, `SharedArray`.

    sharedarray     the ndarray subclass, and how it pickles
      resolving     from a handle to its segment, in four ways
        mailbox     what dead workers have left for their parent, in the kernel
        travel      handles that were sent and not received yet
          sent      what this process has sent; board: the page on which receivers tick it off
          outbox    descriptors on their way to the parent, which can be taken back
      segment       memory without a name, described by its first page
        mapping · memfd (Linux) · named (elsewhere)
    ring            `SharedRing`, a stream of arrays through a fixed number of slots
      ring_claims   getting a slot, and giving it back whatever happens
        ring_seat   one process at a ring: its lock (ring_locks), and the sign that it is alive
        ring_state  which slot is whose, in which order; futex lets processes sleep on its words
    census          who holds what: `segments`
      looking       what a segment says about itself
      holders       which processes have one, as /proc tells it
    family          what is set up when outcore is imported, and again in a forked child

Nothing here has a name that somebody must remember to delete, nothing runs beside the program, and no
process keeps books about another one: the kernel counts who uses a segment.
"""
