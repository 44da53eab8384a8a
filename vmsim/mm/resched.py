"""The CPU time of a slice; long system calls give the CPU back between two pages, so that time passes and devices get their requests."""

from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_DEADLINE, SC_NOW, SC_NR_NEW_BIOS
from vmsim.struct.ledger import L_FAULT, L_RECLAIM, NR_CPU_WORK
from vmsim.struct.tasks import T_WAIT, WAIT_NONE


@compiled
def elapsed_ns(k):
    """CPU time of the current slice so far."""
    total = 0
    for column in range(NR_CPU_WORK):
        total += k.led[column]
    return total


@compiled
def now_ns(k):
    """Simulated time within the current slice."""
    return k.sc[SC_NOW] + elapsed_ns(k)


@compiled
def charge_as_reclaim(k, before):
    """What was charged as fault handling since `before`, an earlier value of that column, was done for reclaim."""
    k.led[L_RECLAIM] += k.led[L_FAULT] - before
    k.led[L_FAULT] = before


@compiled
def cond_resched(k, tid):
    """Whether a call must return -EWAIT to be taken up again at once: its slice is used, or requests wait to be started."""
    if k.sc[SC_NR_NEW_BIOS] == 0 and elapsed_ns(k) < k.sc[SC_DEADLINE]:
        return False
    k.task[tid, T_WAIT] = WAIT_NONE
    return True
