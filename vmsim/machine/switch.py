"""The kernel as the machine calls it, compiled: one call switches a CPU to a task, runs a slice and reports on it.

Python hands over the address of `k`: a number crosses the border in a tenth of the time that an object takes.
"""

from __future__ import annotations

from typing import Any

from vmsim.hw.tlb import TS_INTERRUPTED_NS, TS_LAZY, switch_mm
from vmsim.machine.slices import GOES_ON, account, report
from vmsim.machine.tables import Entries, KernelTables
from vmsim.mm.page_io import complete_bio
from vmsim.mm.vmscan import writes_too_much
from vmsim.struct.costs import C_CONTEXT_SWITCH
from vmsim.struct.jit import JIT, entry, without_dispatcher
from vmsim.struct.kernel import SC_BIO_NEXT, State
from vmsim.struct.tasks import SLICE_BLOCKED, SLICE_EXIT, T_MM
from vmsim.workload.interp import run_slice

if JIT:
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def _state_at(typingctx, address):
        def codegen(context, builder, signature, args):
            return builder.inttoptr(args[0], cgutils.voidptr_t)

        return State._numba_type_(types.int64), codegen

    _state: Any = _state_at  # `k`, from what `_handle` gave Python

    def _handle(kernel: KernelTables) -> Any:
        return kernel.k.address

else:

    def _state(k):
        return k

    def _handle(kernel: KernelTables) -> Any:
        return kernel.k


@entry
def run_task(handle, cpu, tid, since, ready, column, begin, budget):
    """Let a task use at most `budget` ns of a CPU from `begin` on, the switch to it included, if it does not `GOES_ON`.

    `since`, `ready` and `column` as in `account`; the result is that of `report`. A kernel thread (no address space)
    runs on the one that is loaded.
    """
    k = _state(handle)
    switch_ns = 0
    if column != GOES_ON:
        switch_ns = k.cost[C_CONTEXT_SWITCH]
        mm = k.task[tid, T_MM]
        k.tlb_stat[cpu, TS_INTERRUPTED_NS] = 0  # it idled when it was interrupted
        if mm != 0:
            switch_ns += switch_mm(k, cpu, mm)
    k.tlb_stat[cpu, TS_LAZY] = 1 if k.task[tid, T_MM] == 0 else 0
    row = k.sc[SC_BIO_NEXT]
    start = account(k, cpu, tid, since, ready, column, begin, switch_ns)
    packed = run_slice(k, cpu, tid, start, max(budget - switch_ns, 1))
    if packed & 255 == SLICE_BLOCKED or packed & 255 == SLICE_EXIT:
        k.tlb_stat[cpu, TS_LAZY] = 1
    return report(k, tid, start, packed, row)


@entry
def finish_bio(handle, bio, error):
    """Complete a request that a device has finished (`error` 1: that has failed); the CPU time of it in ns."""
    return complete_bio(_state(handle), bio, error)


@entry
def still_writes_too_much(handle):
    """1 if those that wait for less writeback would find as they look again that they must wait on."""
    return 1 if writes_too_much(_state(handle)) else 0


def compiled_entries() -> Entries:
    """The kernel's functions that the machine calls, compiled."""
    slices, bios, writes = without_dispatcher(run_task, 8), without_dispatcher(finish_bio, 3), without_dispatcher(still_writes_too_much, 1)
    return Entries(slices, bios, _handle, writes)
