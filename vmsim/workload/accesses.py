"""Instructions that access memory: bursts of a pattern or a trace, single touches and draws, and the faults that they meet."""

from vmsim.hw.burst import ACCESS_BUDGET, ACCESS_FAULT
from vmsim.hw.mmu import access_burst
from vmsim.mm.balance import balance_dirty_pages_ratelimited
from vmsim.mm.fault import FAULT_GOES_ON, FAULT_WAS_MAJOR, do_page_fault
from vmsim.mm.resched import elapsed_ns
from vmsim.struct.errno import EWAIT
from vmsim.struct.files import PAT_TYPE, PATTERN_UNIFORM
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_CPU, SC_DEADLINE, SC_FAULT_VPN, SC_FAULT_WRITE, SC_NR_NEW_BIOS, SC_WAKE
from vmsim.struct.tasks import (
    ACCESS_BUFFER,
    ACCESS_BURST,
    KIND_MAJOR,
    KIND_MINOR,
    SLICE_BLOCKED,
    SLICE_BUDGET,
    SLICE_EXIT,
    SLICE_IO,
    SLICE_REFILL,
    T_ACC_KIND,
    T_ACC_LEFT,
    T_BUF_LEN,
    T_BUF_POS,
    T_DIRTIED_FILE,
    T_MM,
    T_PAT_SHIFT,
    T_PC,
    T_THROTTLED,
    T_WAIT_ARG,
)
from vmsim.workload.control import operand
from vmsim.workload.instructions import CODE_ARG, CODE_DEST, GO_ON
from vmsim.workload.patterns import draw_accesses
from vmsim.workload.scout import scout_uniform
from vmsim.workload.signals import deliver_signal
from vmsim.workload.streaming import MUST_REFILL, begin_trace, take_accesses

_TOUCH_SLOT = ACCESS_BUFFER - 8
_TOUCH_BEGUN = -2  # in T_ACC_LEFT


@compiled
def _pauses(k, tid):
    """Whether the fault that is over dirtied a page of a file, and the task must wait for its device now (do_shared_fault)."""
    file = k.task[tid, T_DIRTIED_FILE]
    if file == 0:
        return False
    k.task[tid, T_DIRTIED_FILE] = 0
    pauses = balance_dirty_pages_ratelimited(k, tid, file)
    k.task[tid, T_THROTTLED] = 0
    return pauses


@compiled
def _fault(k, tid):
    """Handle the fault that stopped a burst: GO_ON (try the access again) or why the slice ends."""
    task = k.task[tid]
    if task[T_ACC_KIND] == 0:
        task[T_ACC_KIND] = KIND_MINOR
    result = do_page_fault(k, tid, k.sc[SC_FAULT_VPN], k.sc[SC_FAULT_WRITE])
    if result == -EWAIT:
        return SLICE_BLOCKED
    if result == FAULT_GOES_ON:
        return SLICE_IO if k.sc[SC_NR_NEW_BIOS] > 0 else SLICE_BUDGET
    if result == FAULT_WAS_MAJOR:
        task[T_ACC_KIND] = KIND_MAJOR
    elif result > 0:
        return deliver_signal(k, tid, result)
    if _pauses(k, tid):
        return SLICE_BLOCKED
    return after_kernel(k)


@compiled
def after_kernel(k):
    """Whether the slice ends after work of the kernel's: requests are to be started, or a daemon is to be woken. Else GO_ON."""
    if k.sc[SC_NR_NEW_BIOS] > 0:
        return SLICE_IO
    return SLICE_BUDGET if k.sc[SC_WAKE] != 0 else GO_ON


@compiled
def _run_burst(k, tid, work_ns):
    """Run the accesses in the buffer, with their faults: GO_ON when all are done (or a handler begins), else why the slice ends."""
    pc = k.task[tid, T_PC]
    while True:
        outcome = access_burst(k, k.sc[SC_CPU], tid, work_ns)
        if outcome == ACCESS_FAULT:
            reason = _fault(k, tid)
            if reason != GO_ON or k.task[tid, T_PC] != pc:
                return reason
            if elapsed_ns(k) >= k.sc[SC_DEADLINE]:
                return SLICE_BUDGET
        elif outcome == ACCESS_BUDGET:
            return SLICE_BUDGET
        else:
            return GO_ON


@compiled
def op_access(k, tid, pc):
    task = k.task[tid]
    shift = k.geo[G_PAGE_SHIFT]
    if task[T_ACC_LEFT] < 0:
        task[T_ACC_LEFT] = operand(k, tid, pc, 2)
        task[T_BUF_POS] = 0
        task[T_BUF_LEN] = 0
    work_ns = operand(k, tid, pc, 3)
    while True:
        if task[T_BUF_POS] < task[T_BUF_LEN]:
            reason = _run_burst(k, tid, work_ns)
            if reason != GO_ON or task[T_PC] != pc:
                return reason
        if task[T_ACC_LEFT] == 0:
            task[T_ACC_LEFT] = -1
            task[T_PC] = pc + 1
            return GO_ON
        count = min(task[T_ACC_LEFT], ACCESS_BURST)
        base = (operand(k, tid, pc, 1) >> shift) & ((1 << (64 - shift)) - 1)
        draw_accesses(k, k.code[pc, CODE_ARG] + task[T_PAT_SHIFT], base, k.abuf[tid], 0, count)
        task[T_ACC_LEFT] -= count
        task[T_BUF_POS] = 0
        task[T_BUF_LEN] = count


@compiled
def op_trace(k, tid, pc):
    task = k.task[tid]
    stream = k.code[pc, CODE_ARG]
    if task[T_ACC_LEFT] < 0:
        begin_trace(k, stream)
        task[T_ACC_LEFT] = 0
        task[T_BUF_POS] = 0
        task[T_BUF_LEN] = 0
    while True:
        if task[T_BUF_POS] < task[T_BUF_LEN]:
            reason = _run_burst(k, tid, operand(k, tid, pc, 2))
            if reason != GO_ON or task[T_PC] != pc:
                return reason
        taken = take_accesses(k, tid, stream, operand(k, tid, pc, 1) >> k.geo[G_PAGE_SHIFT], ACCESS_BURST)
        if taken == MUST_REFILL:
            task[T_WAIT_ARG] = stream
            return SLICE_REFILL
        if taken == 0:
            task[T_ACC_LEFT] = -1
            task[T_PC] = pc + 1
            return GO_ON


@compiled
def op_touch(k, tid, pc):
    task = k.task[tid]
    if task[T_ACC_LEFT] != _TOUCH_BEGUN:
        shift = k.geo[G_PAGE_SHIFT]
        vpn = (operand(k, tid, pc, 0) >> shift) & ((1 << (64 - shift)) - 1)
        k.abuf[tid, _TOUCH_SLOT] = vpn << 1 | operand(k, tid, pc, 1)
        task[T_BUF_POS] = _TOUCH_SLOT
        task[T_BUF_LEN] = _TOUCH_SLOT + 1
    reason = _run_burst(k, tid, operand(k, tid, pc, 2))
    if task[T_PC] != pc:
        return reason
    task[T_ACC_LEFT] = -1
    if reason == GO_ON:
        task[T_PC] = pc + 1
    elif reason != SLICE_EXIT:
        task[T_ACC_LEFT] = _TOUCH_BEGUN
    return reason


@compiled
def op_draw(k, tid, pc):
    shift = k.geo[G_PAGE_SHIFT]
    base = (operand(k, tid, pc, 1) >> shift) & ((1 << (64 - shift)) - 1)
    pat = k.code[pc, CODE_ARG] + k.task[tid, T_PAT_SHIFT]
    if k.pattern[pat, PAT_TYPE] == PATTERN_UNIFORM:
        scout_uniform(k, k.task[tid, T_MM], pat, base)
    draw_accesses(k, pat, base, k.abuf[tid], _TOUCH_SLOT + 1, 1)
    k.reg[tid, k.code[pc, CODE_DEST]] = k.abuf[tid, _TOUCH_SLOT + 1] >> 1 << shift
    k.task[tid, T_PC] = pc + 1
