"""Populating a range: faulting pages in ahead of use and mlocking what is present.   Follows mm/gup.c of v4.4 (A.7)."""

from vmsim.hw.walk import huge_table, leaf_pages, marks_slot
from vmsim.mm.filemap import EVENT_MAJOR, EVENT_OOM, EVENT_SEGV, EVENT_SIGBUS, EVENT_WAIT
from vmsim.mm.memory import handle_mm_fault
from vmsim.mm.mlock_page import mlock_vma_page
from vmsim.mm.pte import next_table
from vmsim.mm.stack import is_stack_guard_page
from vmsim.mm.swap import mark_page_accessed
from vmsim.mm.vma import find_vma_charged
from vmsim.struct.costs import C_POPULATE_PAGE, C_POPULATE_SKIP
from vmsim.struct.errno import EFAULT, EINVAL, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import (
    P_FLAGS,
    PG_DIRTY,
    PG_LOCKED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_WRITE,
    PTE_ZERO,
)
from vmsim.struct.rules import R_ONFAULT_WALKS_PAGES, R_RETRY_IS_MAJOR
from vmsim.struct.tasks import T_FAULT_MAJOR, T_FAULT_TRIED, T_MAJ_FLT, T_MIN_FLT, T_STAGE_ARG
from vmsim.struct.vmas import (
    V_END,
    V_FLAGS,
    V_NEXT,
    V_START,
    VM_ACCESS,
    VM_GROWSDOWN,
    VM_IO,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_PFNMAP,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)


@compiled
def count_fault(k, tid, event, retried):
    """Count a handle_mm_fault call that did not fail in the task's rusage."""
    major = event & EVENT_MAJOR != 0 or (retried != 0 and k.rule[R_RETRY_IS_MAJOR] != 0)
    k.task[tid, T_MAJ_FLT if major else T_MIN_FLT] += 1


@compiled
def populate_vma_range(k, tid, mm, v, start, end):
    """Fault in and mlock the pages of [start, end) in one VMA: 0, -EWAIT (T_STAGE_ARG says where to go on) or -errno."""
    flags = k.vma[v, V_FLAGS]
    fault_in = flags & VM_LOCKONFAULT == 0
    if not fault_in and k.rule[R_ONFAULT_WALKS_PAGES] == 0:
        return 0
    if flags & VM_ACCESS == 0:
        return -EFAULT
    write = 1 if flags & (VM_WRITE | VM_SHARED) == VM_WRITE else 0
    return _populate_pages(k, tid, mm, v, start, end, write, fault_in)


@compiled
def faultin_page_range(k, tid, mm, v, start, end, write):
    """Fault [start, end) of one VMA in for reading or writing, as MADV_POPULATE_* asks: 0, -EWAIT or -errno (faultin_page_range)."""
    flags = k.vma[v, V_FLAGS]
    if flags & (VM_IO | VM_PFNMAP) != 0 or flags & (VM_WRITE if write != 0 else VM_READ) == 0:
        return -EINVAL
    return _populate_pages(k, tid, mm, v, start, end, write, True)


@compiled
def _populate_pages(k, tid, mm, v, start, end, write, fault_in):
    """The pages of a range one by one; see populate_vma_range."""
    flags = k.vma[v, V_FLAGS]
    locked = flags & VM_LOCKED != 0
    vpn = start
    while vpn < end:
        slot = marks_slot(k, mm, vpn)
        entry = k.pt[slot] if slot != 0 else 0
        if entry & PTE_PRESENT == 0 or (write != 0 and entry & PTE_WRITE == 0):
            if not fault_in:
                following = vpn + 1 if slot != 0 else min(next_table(k, mm, vpn), end)
                k.led[L_SYSCALL] += (following - vpn) * k.cost[C_POPULATE_SKIP]
                vpn = following
                continue
            if flags & VM_GROWSDOWN != 0 and is_stack_guard_page(k, v, vpn):
                vpn += 1
                continue
            error = _faultin_page(k, tid, mm, v, vpn, write)
            if error != 0:
                k.task[tid, T_STAGE_ARG] = vpn
                return error
            continue
        k.led[L_SYSCALL] += k.cost[C_POPULATE_PAGE]
        if huge_table(k, mm, vpn) != 0:  # one look at all of it (follow_trans_huge_pmd)
            if locked and entry & PTE_ZERO == 0:
                mlock_vma_page(k, entry >> PTE_SHIFT)
            vpn = (vpn | (leaf_pages(k) - 1)) + 1
            continue
        if entry & PTE_ZERO == 0:
            _touch_page(k, slot, entry, write, locked)
        vpn += 1
    return 0


@compiled
def _touch_page(k, slot, entry, write, locked):
    """follow_page with FOLL_TOUCH, and FOLL_MLOCK in a locked VMA."""
    pfn = entry >> PTE_SHIFT
    if write != 0 and entry & PTE_DIRTY == 0:
        k.frame[pfn, P_FLAGS] |= PG_DIRTY
    mark_page_accessed(k, pfn)
    if locked and k.frame[pfn, P_FLAGS] & PG_LOCKED == 0:
        mlock_vma_page(k, pfn)


@compiled
def _faultin_page(k, tid, mm, v, vpn, write):
    """One fault on behalf of the task; counted in rusage even when it has to be tried again after a wait."""
    retried = k.task[tid, T_FAULT_TRIED]
    event = handle_mm_fault(k, tid, mm, v, vpn, write)
    if event & EVENT_OOM != 0:
        return -EWAIT
    if event & (EVENT_SIGBUS | EVENT_SEGV) != 0:
        k.task[tid, T_FAULT_TRIED] = 0
        return -EFAULT
    if event & EVENT_WAIT != 0:
        if retried == 0:
            major = k.task[tid, T_FAULT_MAJOR]
            if k.rule[R_RETRY_IS_MAJOR] == 0:
                count_fault(k, tid, EVENT_MAJOR if major != 0 else 0, 0)
            k.task[tid, T_FAULT_TRIED] = 1
        return -EWAIT
    k.task[tid, T_FAULT_TRIED] = 0
    k.task[tid, T_FAULT_MAJOR] = 0
    count_fault(k, tid, event, 0)
    return 0


@compiled
def mm_populate(k, tid, mm, start, end, ignore_errors):
    """Populate what is mapped of [start, end): holes are skipped; 0, -EWAIT or the error of the first VMA that fails.

    With `ignore_errors` a VMA that fails is left and the walk goes on behind it. After -EWAIT call again with
    `start` = T_STAGE_ARG.
    """
    vpn = start
    v = find_vma_charged(k, mm, vpn)
    while v != 0 and k.vma[v, V_START] < end:
        last = min(end, k.vma[v, V_END])
        vpn = max(vpn, k.vma[v, V_START])
        if k.vma[v, V_FLAGS] & (VM_IO | VM_PFNMAP) == 0:
            error = populate_vma_range(k, tid, mm, v, vpn, last)
            if error == -EWAIT or (error != 0 and ignore_errors == 0):
                return error
        if last == end:
            return 0
        vpn = last
        v = k.vma[v, V_NEXT]
    return 0
