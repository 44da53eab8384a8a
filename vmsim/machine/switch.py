"""The kernel as the machine calls it, compiled: one call switches a CPU to a task, runs a slice and says what came of it."""

from __future__ import annotations

from vmsim.hw.tlb import switch_mm
from vmsim.machine.slices import GOES_ON, account, report
from vmsim.machine.tables import Entries
from vmsim.mm.page_io import complete_bio
from vmsim.struct.costs import C_CONTEXT_SWITCH
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_BIO_NEXT
from vmsim.struct.tasks import T_MM
from vmsim.workload.interp import run_slice


@entry
def run_task(k, cpu, tid, since, ready, column, begin, budget):
    """Let a task use at most `budget` ns of a CPU from `begin` on, the switch to it included, if it does not `GOES_ON`.

    `since`, `ready` and `column` as in `account`; the result is that of `report`. A kernel thread (no address space) runs on
    the one that is loaded.
    """
    switch_ns = 0
    if column != GOES_ON:
        switch_ns = k.cost[C_CONTEXT_SWITCH]
        mm = k.task[tid, T_MM]
        if mm != 0:
            switch_ns += switch_mm(k, cpu, mm)
    row = k.sc[SC_BIO_NEXT]
    start = account(k, cpu, tid, since, ready, column, begin, switch_ns)
    packed = run_slice(k, cpu, tid, start, max(budget - switch_ns, 1))
    return report(k, tid, start, packed, row)


ENTRIES = Entries(run_task, complete_bio)
