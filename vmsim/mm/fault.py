"""The page-fault front end: finding the VMA, checking rights, growing the stack, signals.   Follows arch/x86/mm/fault.c of v4.4 (B.1)."""

from vmsim.hw.walk import marks_slot
from vmsim.mm.filemap import EVENT_MAJOR, EVENT_OOM, EVENT_SEGV, EVENT_SIGBUS, EVENT_SUBMITTED, EVENT_WAIT
from vmsim.mm.memory import handle_mm_fault
from vmsim.mm.stack import expand_stack
from vmsim.mm.vma import find_vma_charged
from vmsim.struct.costs import C_TRAP
from vmsim.struct.errno import (
    BUS_ADRERR,
    EWAIT,
    SEGV_ACCERR,
    SEGV_MAPERR,
    SIGBUS,
    SIGSEGV,
    X86_PF_PROT,
    X86_PF_USER,
    X86_PF_WRITE,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, G_TASK_PAGES, SC_FAULT_VPN, SC_FAULT_WRITE, SC_USER_FAULT
from vmsim.struct.ledger import L_IO, L_TRAP
from vmsim.struct.pages import PTE_PRESENT, PTE_PROTNONE
from vmsim.struct.rules import R_RETRY_IS_MAJOR
from vmsim.struct.tasks import (
    FAULT_LOCKING,
    FAULT_SUBMITTED,
    T_FAULT_MAJOR,
    T_FAULT_TRIED,
    T_MAJ_FLT,
    T_MEM_RETRY,
    T_MIN_FLT,
    T_MM,
    T_SI_ADDR,
    T_SI_CODE,
    T_SI_ERROR,
    T_SUBMIT_NS,
)
from vmsim.struct.vmas import V_FLAGS, V_START, VM_ACCESS, VM_GROWSDOWN, VM_WRITE

FAULT_WAS_MAJOR = -1
FAULT_GOES_ON = -2


@compiled
def _signal(k, tid, vpn, signal, code):
    k.task[tid, T_SI_ADDR] = vpn << k.geo[G_PAGE_SHIFT]
    k.task[tid, T_SI_CODE] = code
    k.task[tid, T_FAULT_TRIED] = 0
    k.task[tid, T_FAULT_MAJOR] = 0
    return signal


@compiled
def note_error(k, tid):
    """Remember what the CPU said of the fault that ends a task: its error code on x86."""
    vpn = k.sc[SC_FAULT_VPN]
    error = X86_PF_USER | (X86_PF_WRITE if k.sc[SC_FAULT_WRITE] != 0 else 0)
    if 0 <= vpn < k.geo[G_TASK_PAGES]:
        slot = marks_slot(k, k.task[tid, T_MM], vpn)
        if slot != 0 and k.pt[slot] & (PTE_PRESENT | PTE_PROTNONE) == PTE_PRESENT:
            error |= X86_PF_PROT
    k.task[tid, T_SI_ERROR] = error


@compiled
def do_page_fault(k, tid, vpn, write):
    """An access that the MMU could not complete: 0 or FAULT_WAS_MAJOR (try it again), -EWAIT (sleep first), the signal to deliver, or
    FAULT_GOES_ON: end the slice so that time passes, then come back with the same access."""
    mm = k.task[tid, T_MM]
    if k.task[tid, T_FAULT_TRIED] == 0 and k.task[tid, T_MEM_RETRY] == 0:
        k.led[L_TRAP] += k.cost[C_TRAP]
    elif k.task[tid, T_FAULT_TRIED] == FAULT_SUBMITTED:
        k.led[L_IO] += k.task[tid, T_SUBMIT_NS]
        k.task[tid, T_FAULT_TRIED] = FAULT_LOCKING
        return FAULT_GOES_ON
    v = find_vma_charged(k, mm, vpn)
    if v == 0:
        return _signal(k, tid, vpn, SIGSEGV, SEGV_MAPERR)
    if k.vma[v, V_START] > vpn:
        if k.vma[v, V_FLAGS] & VM_GROWSDOWN == 0 or expand_stack(k, tid, v, vpn) != 0:
            return _signal(k, tid, vpn, SIGSEGV, SEGV_MAPERR)
    flags = k.vma[v, V_FLAGS]
    if write != 0:
        if flags & VM_WRITE == 0:
            return _signal(k, tid, vpn, SIGSEGV, SEGV_ACCERR)
    elif flags & VM_ACCESS == 0:  # a read of a page that is merely old comes here on machines that set no accessed bit
        return _signal(k, tid, vpn, SIGSEGV, SEGV_ACCERR)
    k.sc[SC_USER_FAULT] = 1
    event = handle_mm_fault(k, tid, mm, v, vpn, write)
    k.sc[SC_USER_FAULT] = 0
    if event & EVENT_SUBMITTED != 0:
        return FAULT_GOES_ON
    if event & EVENT_WAIT != 0:
        if k.task[tid, T_FAULT_TRIED] == 0:
            k.task[tid, T_FAULT_TRIED] = 1
        return -EWAIT
    if event & EVENT_OOM != 0:
        return -EWAIT
    if event & EVENT_SIGBUS != 0:
        return _signal(k, tid, vpn, SIGBUS, BUS_ADRERR)
    if event & EVENT_SEGV != 0:
        return _signal(k, tid, vpn, SIGSEGV, SEGV_MAPERR)
    tried = k.task[tid, T_FAULT_TRIED]
    waited = tried != 0 and tried != FAULT_LOCKING and k.rule[R_RETRY_IS_MAJOR] != 0
    major = event & EVENT_MAJOR != 0 or k.task[tid, T_FAULT_MAJOR] != 0 or waited
    k.task[tid, T_MAJ_FLT if major else T_MIN_FLT] += 1
    k.task[tid, T_FAULT_TRIED] = 0
    k.task[tid, T_FAULT_MAJOR] = 0
    return FAULT_WAS_MAJOR if major else 0
