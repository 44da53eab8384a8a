"""Running a program: one compiled call carries out instructions until something must wait or the slice's time is used."""

from vmsim.hw.tlb import TS_INTERRUPTED_NS
from vmsim.mm.bio_page import blk_flush_plug
from vmsim.mm.exit import do_exit
from vmsim.mm.fs_writeback import wb_workfn_step
from vmsim.mm.kswapd import kswapd
from vmsim.mm.page_alloc_slow import reclaim_goes_on
from vmsim.mm.resched import elapsed_ns
from vmsim.mm.vma import find_vma
from vmsim.struct.errno import EWAIT, SIGKILL, SIGSEGV, X86_PF_INSTR, X86_PF_USER
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_CPU, SC_DEADLINE, SC_NOW, SC_NR_KILLED, SC_NR_NEW_BIOS, SC_PHASE_MARK, SC_TASK
from vmsim.struct.ledger import L_IPI, L_USER, NR_CPU_WORK
from vmsim.struct.reclaim import DAEMON_KSWAPD, N_KSWAPD_TID, S_BATCH_TAKEN, S_PLUGGED
from vmsim.struct.syscalls import SYS_MMAP, SYS_MPROTECT, SYS_MREMAP, SYS_MUNMAP
from vmsim.struct.tasks import (
    EXIT_DONE,
    EXIT_SIGNAL,
    SLICE_BLOCKED,
    SLICE_BUDGET,
    SLICE_EXIT,
    SLICE_IO,
    SLICE_PHASE,
    T_KILLED,
    T_MM,
    T_PC,
    T_RECLAIMING,
    T_SI_ERROR,
    T_STAGE,
    T_STAGE_ARG,
    T_WAIT,
    T_WAIT_ARG,
    WAIT_NONE,
    WAIT_TIMER,
)
from vmsim.struct.vmas import MM_TEXT, V_FLAGS, V_START, VM_EXEC
from vmsim.struct.writeback import DAEMON_FLUSHER
from vmsim.workload.accesses import after_kernel, op_access, op_draw, op_touch, op_trace
from vmsim.workload.calls import do_syscall
from vmsim.workload.control import call_ends_task, op_control, operand
from vmsim.workload.instructions import (
    CODE_ARG,
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
from vmsim.workload.processes import op_process
from vmsim.workload.signals import sigreturn


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
    return after_kernel(k)


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
    if k.task[tid, T_RECLAIMING] != 0 and k.scan[tid, S_BATCH_TAKEN] > 0 and reclaim_goes_on(k, tid):
        return SLICE_BLOCKED
    if k.task[tid, T_KILLED] != 0:
        k.sc[SC_NR_KILLED] -= 1
        do_exit(k, tid, EXIT_SIGNAL, SIGKILL)
        return SLICE_EXIT
    while True:
        pc = k.task[tid, T_PC]
        op = k.code[pc, CODE_OP]
        reason = GO_ON
        if op == OP_ACCESS:
            reason = op_access(k, tid, pc)
        elif op == OP_SYSCALL:
            reason = _op_syscall(k, tid, pc)
        elif op == OP_TOUCH:
            reason = op_touch(k, tid, pc)
        elif op == OP_DRAW:
            op_draw(k, tid, pc)
            continue
        elif op == OP_COMPUTE:
            reason = _op_compute(k, tid, pc)
        elif op == OP_TRACE:
            reason = op_trace(k, tid, pc)
        elif OP_FORK <= op <= OP_WAIT_FOR:
            reason = op_process(k, tid, pc, op)
        elif op == OP_CALLS:
            reason = op_calls(k, tid, pc)
            if reason == GO_ON:
                reason = after_kernel(k)
        elif op == OP_SLEEP:
            return _op_sleep(k, tid, pc)
        elif op == OP_DAEMON:
            return _daemon(k, tid, k.code[pc, CODE_ARG])
        elif op == OP_SIGRETURN:
            sigreturn(k, tid)
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
    led[L_IPI] = k.tlb_stat[cpu, TS_INTERRUPTED_NS]
    k.tlb_stat[cpu, TS_INTERRUPTED_NS] = 0
    reason = _run_program(k, tid)
    if k.scan[tid, S_PLUGGED] > 0 and k.scan[tid, S_BATCH_TAKEN] == 0 and tid != k.node[N_KSWAPD_TID]:
        blk_flush_plug(k, tid)
    total = 0
    for column in range(NR_CPU_WORK):
        ns = led[column]
        total += ns
        k.cpu_led[cpu, column] += ns
        k.task_led[tid, column] += ns
        led[column] = 0
    return total << 8 | reason
