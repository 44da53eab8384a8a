"""Accesses of a trace on their way to a program: a bounded buffer, which the machine fills between slices (SLICE_REFILL).

Tasks that carry out the same trace step at the same time share its accesses, in the order in which they come for more.
"""

from vmsim.struct.jit import compiled
from vmsim.struct.streams import ST_LENGTH, ST_POS, ST_STATE, ST_USERS, STREAM_AGAIN, STREAM_ENDED
from vmsim.struct.tasks import T_BUF_LEN, T_BUF_POS

MUST_REFILL = -1


@compiled
def begin_trace(k, stream):
    """A task begins a trace: from its start, unless another is in it."""
    s = k.stream[stream]
    if s[ST_USERS] == 0 and s[ST_STATE] == STREAM_ENDED:
        s[ST_STATE] = STREAM_AGAIN
    s[ST_USERS] += 1


@compiled
def take_accesses(k, tid, stream, base, count):
    """Move at most `count` accesses into the task's buffer, as if page 0 of the trace lay at page `base`.

    How many; 0 if the trace has ended, and the task is no longer in it; MUST_REFILL if the machine has to read on first.
    """
    s = k.stream[stream]
    first = s[ST_POS]
    taken = min(count, s[ST_LENGTH] - first)
    if taken == 0:
        if s[ST_STATE] != STREAM_ENDED:
            return MUST_REFILL
        s[ST_USERS] -= 1
        return 0
    given = k.stream_buffer[stream]
    out = k.abuf[tid]
    for i in range(taken):
        out[i] = given[first + i] + (base << 1)
    s[ST_POS] = first + taken
    k.task[tid, T_BUF_POS] = 0
    k.task[tid, T_BUF_LEN] = taken
    return taken
