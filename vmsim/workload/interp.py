"""Running a program: one compiled call carries out instructions until something must wait or the slice's time is used."""

from vmsim.hw.burst import ACCESS_BUDGET, ACCESS_FAULT
from vmsim.hw.mmu import access_burst
from vmsim.mm.balance import balance_dirty_pages_ratelimited
from vmsim.mm.exit import do_exit
from vmsim.mm.fault import FAULT_GOES_ON, FAULT_WAS_MAJOR, do_page_fault, note_error
from vmsim.mm.fs_writeback import wb_workfn_step
from vmsim.mm.kswapd import kswapd
from vmsim.mm.resched import elapsed_ns
from vmsim.mm.vma import find_vma
from vmsim.struct.costs import C_SIGNAL_DELIVER, C_SIGRETURN
from vmsim.struct.errno import EWAIT, SIGKILL, SIGSEGV, X86_PF_INSTR, X86_PF_USER
from vmsim.struct.files import PAT_TYPE, PATTERN_UNIFORM
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import (
    G_PAGE_SHIFT,
    SC_CPU,
    SC_DEADLINE,
    SC_FAULT_VPN,
    SC_FAULT_WRITE,
    SC_NOW,
    SC_NR_KILLED,
    SC_NR_NEW_BIOS,
    SC_PHASE_MARK,
    SC_TASK,
    SC_WAKE,
)
from vmsim.struct.ledger import L_SIGNAL, L_USER, NR_CPU_WORK
from vmsim.struct.reclaim import DAEMON_KSWAPD
from vmsim.struct.syscalls import SYS_MMAP, SYS_MPROTECT, SYS_MREMAP, SYS_MUNMAP
from vmsim.struct.tasks import (
    ACCESS_BUFFER,
    ACCESS_BURST,
    EXIT_DONE,
    EXIT_SIGNAL,
    KIND_MAJOR,
    KIND_MINOR,
    SLICE_BLOCKED,
    SLICE_BUDGET,
    SLICE_EXIT,
    SLICE_IO,
    SLICE_PHASE,
    SLICE_REFILL,
    T_ACC_BEGAN,
    T_ACC_KIND,
    T_ACC_LEFT,
    T_BUF_LEN,
    T_BUF_POS,
    T_BUS_PC,
    T_BUS_REG,
    T_DIRTIED_FILE,
    T_KILLED,
    T_MM,
    T_NSIGNALS,
    T_PAT_SHIFT,
    T_PC,
    T_SAVED_BEGAN,
    T_SAVED_KIND,
    T_SAVED_LEFT,
    T_SAVED_LEN,
    T_SAVED_PC,
    T_SAVED_POS,
    T_SEGV_PC,
    T_SEGV_REG,
    T_SI_ADDR,
    T_SI_ERROR,
    T_STAGE,
    T_STAGE_ARG,
    T_THROTTLED,
    T_WAIT,
    T_WAIT_ARG,
    WAIT_NONE,
    WAIT_TIMER,
)
from vmsim.struct.vmas import MM_TEXT, V_FLAGS, V_START, VM_EXEC
from vmsim.struct.writeback import DAEMON_FLUSHER
from vmsim.workload.calls import do_syscall
from vmsim.workload.control import call_ends_task, op_control, operand
from vmsim.workload.instructions import (
    CODE_ARG,
    CODE_DEST,
    CODE_OP,
    GO_ON,
    OP_ACCESS,
    OP_ALU,
    OP_CALLS,
    OP_COMPUTE,
    OP_COUNT_DOWN,
    OP_DAEMON,
    OP_DRAW,
    OP_FORK,
    OP_HANDLER,
    OP_JUMP,
    OP_JUMP_ZERO,
    OP_PHASE,
    OP_SIGRETURN,
    OP_SLEEP,
    OP_SYSCALL,
    OP_TOUCH,
    OP_TRACE,
    OP_WAIT_FOR,
)
from vmsim.workload.logged import op_calls
from vmsim.workload.patterns import draw_accesses
from vmsim.workload.processes import op_process
from vmsim.workload.scout import scout_uniform
from vmsim.workload.streaming import MUST_REFILL, begin_trace, take_accesses

_TOUCH_SLOT = ACCESS_BUFFER - 8
_TOUCH_BEGUN = -2  # in T_ACC_LEFT


@compiled
def deliver_signal(k, tid, signal):
    """Start the program's handler, or end the task if it has none or is in one already."""
    target = k.task[tid, T_SEGV_PC if signal == SIGSEGV else T_BUS_PC]
    if target < 0 or k.task[tid, T_SAVED_PC] >= 0:
        note_error(k, tid)
        do_exit(k, tid, EXIT_SIGNAL, signal)
        return SLICE_EXIT
    task = k.task[tid]
    k.led[L_SIGNAL] += k.cost[C_SIGNAL_DELIVER]
    task[T_NSIGNALS] += 1
    task[T_SAVED_PC] = task[T_PC]
    task[T_SAVED_POS] = task[T_BUF_POS]
    task[T_SAVED_LEN] = task[T_BUF_LEN]
    task[T_SAVED_KIND] = task[T_ACC_KIND]
    task[T_SAVED_BEGAN] = task[T_ACC_BEGAN]
    task[T_SAVED_LEFT] = task[T_ACC_LEFT]
    task[T_ACC_KIND] = 0
    task[T_ACC_LEFT] = -1
    k.reg[tid, task[T_SEGV_REG if signal == SIGSEGV else T_BUS_REG]] = task[T_SI_ADDR]
    task[T_PC] = target
    return GO_ON


@compiled
def _sigreturn(k, tid):
    task = k.task[tid]
    k.led[L_SIGNAL] += k.cost[C_SIGRETURN]
    task[T_PC] = task[T_SAVED_PC]
    task[T_BUF_POS] = task[T_SAVED_POS]
    task[T_BUF_LEN] = task[T_SAVED_LEN]
    task[T_ACC_KIND] = task[T_SAVED_KIND]
    task[T_ACC_BEGAN] = task[T_SAVED_BEGAN]
    task[T_ACC_LEFT] = task[T_SAVED_LEFT]
    task[T_SAVED_PC] = -1


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
    return _after_kernel(k)


@compiled
def _after_kernel(k):
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
def _op_access(k, tid, pc):
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
def _op_trace(k, tid, pc):
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
def _op_touch(k, tid, pc):
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
def _op_draw(k, tid, pc):
    shift = k.geo[G_PAGE_SHIFT]
    base = (operand(k, tid, pc, 1) >> shift) & ((1 << (64 - shift)) - 1)
    pat = k.code[pc, CODE_ARG] + k.task[tid, T_PAT_SHIFT]
    if k.pattern[pat, PAT_TYPE] == PATTERN_UNIFORM:
        scout_uniform(k, k.task[tid, T_MM], pat, base)
    draw_accesses(k, pat, base, k.abuf[tid], _TOUCH_SLOT + 1, 1)
    k.reg[tid, k.code[pc, CODE_DEST]] = k.abuf[tid, _TOUCH_SLOT + 1] >> 1 << shift
    k.task[tid, T_PC] = pc + 1


@compiled
def _text_gone(k, tid):
    """Whether the program's instructions can no longer be fetched: mprotect or munmap reached its own code."""
    mm = k.task[tid, T_MM]
    text = k.mm[mm, MM_TEXT]
    if text == 0:
        return False
    v = find_vma(k, mm, text)
    return v == 0 or k.vma[v, V_START] > text or k.vma[v, V_FLAGS] & VM_EXEC == 0


@compiled
def _op_syscall(k, tid, pc):
    task = k.task[tid]
    nr = k.code[pc, CODE_ARG]
    a0 = operand(k, tid, pc, 1)
    a1 = operand(k, tid, pc, 2)
    result = do_syscall(
        k, tid, nr, a0, a1, operand(k, tid, pc, 3), operand(k, tid, pc, 4), operand(k, tid, pc, 5), operand(k, tid, pc, 6)
    )
    if result == -EWAIT:
        if task[T_WAIT] != WAIT_NONE:
            return SLICE_BLOCKED
        return SLICE_IO if k.sc[SC_NR_NEW_BIOS] > 0 else SLICE_BUDGET
    if call_ends_task(k, tid, pc, nr, result) != 0:
        return SLICE_EXIT
    if nr == SYS_MPROTECT or nr == SYS_MUNMAP or nr == SYS_MREMAP or nr == SYS_MMAP:
        text = k.mm[task[T_MM], MM_TEXT] << k.geo[G_PAGE_SHIFT]
        if (nr != SYS_MPROTECT and nr != SYS_MUNMAP or a0 <= text < a0 + a1) and _text_gone(k, tid):
            task[T_SI_ERROR] = X86_PF_USER | X86_PF_INSTR
            do_exit(k, tid, EXIT_SIGNAL, SIGSEGV)
            return SLICE_EXIT
    task[T_PC] = pc + 1
    return _after_kernel(k)


@compiled
def _op_compute(k, tid, pc):
    """User work of a given length, cut where the slice ends."""
    task = k.task[tid]
    left = task[T_STAGE_ARG] if task[T_STAGE] == 1 else operand(k, tid, pc, 0)
    now = min(left, max(0, k.sc[SC_DEADLINE] - elapsed_ns(k)))
    k.led[L_USER] += now
    if now < left:
        task[T_STAGE] = 1
        task[T_STAGE_ARG] = left - now
        return SLICE_BUDGET
    task[T_STAGE] = 0
    task[T_PC] = pc + 1
    return GO_ON


@compiled
def _op_sleep(k, tid, pc):
    k.task[tid, T_PC] = pc + 1
    k.task[tid, T_WAIT] = WAIT_TIMER
    k.task[tid, T_WAIT_ARG] = max(0, operand(k, tid, pc, 0))
    return SLICE_BLOCKED


@compiled
def _daemon(k, tid, kind):
    """A kernel thread's slice; why it ends."""
    if kind == DAEMON_KSWAPD:
        return kswapd(k, tid)
    return wb_workfn_step(k, tid, kind - DAEMON_FLUSHER)


@compiled
def _run_program(k, tid):
    """Carry out instructions until the slice must end; why it did."""
    deadline = k.sc[SC_DEADLINE]
    if k.task[tid, T_KILLED] != 0:
        k.sc[SC_NR_KILLED] -= 1
        do_exit(k, tid, EXIT_SIGNAL, SIGKILL)
        return SLICE_EXIT
    while True:
        pc = k.task[tid, T_PC]
        op = k.code[pc, CODE_OP]
        reason = GO_ON
        if op == OP_ACCESS:
            reason = _op_access(k, tid, pc)
        elif op == OP_SYSCALL:
            reason = _op_syscall(k, tid, pc)
        elif op == OP_TOUCH:
            reason = _op_touch(k, tid, pc)
        elif op == OP_DRAW:
            _op_draw(k, tid, pc)
            continue
        elif op == OP_COMPUTE:
            reason = _op_compute(k, tid, pc)
        elif op == OP_TRACE:
            reason = _op_trace(k, tid, pc)
        elif OP_FORK <= op <= OP_WAIT_FOR:
            reason = op_process(k, tid, pc, op)
        elif op == OP_CALLS:
            reason = op_calls(k, tid, pc)
            if reason == GO_ON:
                reason = _after_kernel(k)
        elif op == OP_SLEEP:
            return _op_sleep(k, tid, pc)
        elif op == OP_DAEMON:
            return _daemon(k, tid, k.code[pc, CODE_ARG])
        elif op == OP_SIGRETURN:
            _sigreturn(k, tid)
        elif op == OP_PHASE:
            k.sc[SC_PHASE_MARK] = k.code[pc, CODE_ARG]
            k.task[tid, T_PC] = pc + 1
            return SLICE_PHASE
        elif op == OP_ALU or op == OP_JUMP or op == OP_JUMP_ZERO or op == OP_COUNT_DOWN or op == OP_HANDLER:
            op_control(k, tid, pc, op)
            continue
        else:
            do_exit(k, tid, EXIT_DONE, 0)
            return SLICE_EXIT
        if reason != GO_ON:
            return reason
        if elapsed_ns(k) >= deadline:
            return SLICE_BUDGET


@compiled
def run_slice(k, cpu, tid, now, budget):
    """Run a task on a CPU from time `now` for at most about `budget` ns: elapsed ns << 8 | SLICE_* reason."""
    sc = k.sc
    sc[SC_CPU] = cpu
    sc[SC_TASK] = tid
    sc[SC_NOW] = now
    sc[SC_DEADLINE] = budget
    led = k.led
    for column in range(NR_CPU_WORK):
        led[column] = 0
    reason = _run_program(k, tid)
    total = 0
    for column in range(NR_CPU_WORK):
        ns = led[column]
        total += ns
        k.cpu_led[cpu, column] += ns
        k.task_led[tid, column] += ns
        led[column] = 0
    return total << 8 | reason
