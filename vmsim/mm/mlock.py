"""mlock, mlock2, munlock, mlockall, munlockall.   Follows mm/mlock.c of v4.4 (section A.7 of the behaviour notes).

The entry points check their input and translate it to VMA flags; `apply_vma_lock_flags` does the work for all of them.
"""

from vmsim.hw.walk import huge_table, leaf_pages, leaf_slot
from vmsim.mm.accounting import can_do_mlock, memlock_limit
from vmsim.mm.gup import mm_populate
from vmsim.mm.mlock_page import mlock_vma_pages_range
from vmsim.mm.pte import next_table
from vmsim.mm.rmap import rmap_first, rmap_mapping, rmap_next
from vmsim.mm.swap import lru_add_drain_all
from vmsim.mm.unmap import munlock_page
from vmsim.mm.vma import find_vma, find_vma_charged, split_vma, vma_merge
from vmsim.struct.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, ENOSYS, EPERM, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, PG_MLOCKED, PTE_PRESENT, PTE_SHIFT, PTE_ZERO, RMAP_SHIFT
from vmsim.struct.rules import R_MLOCK2, R_MLOCK_OVERLAP_COUNTS, R_ONFAULT_ALONE, R_RELOCK_COUNTS_TWICE
from vmsim.struct.tasks import CAP_IPC_LOCK, T_CAPS, T_MM, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2
from vmsim.struct.vmas import (
    MM_DEF_FLAGS,
    MM_FIRST,
    MM_LOCKED_VM,
    MM_TASK_SIZE,
    MM_TOTAL_VM,
    V_ANON,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_PREV,
    V_START,
    VM_HUGETLB,
    VM_LOCK_MASK,
    VM_LOCKED,
    VM_LOCKONFAULT,
    VM_SPECIAL,
)
from vmsim.struct.vmstat import UNEVICTABLE_PGMUNLOCKED

MLOCK_ONFAULT = 1
MCL_CURRENT = 1
MCL_FUTURE = 2
MCL_ONFAULT = 4


@compiled
def page_range(k, start, length):
    """The pages that hold the bytes [start, start+length), as [first, last) of unsigned page numbers; a length that wraps is short."""
    shift = k.geo[G_PAGE_SHIFT]
    mask = (1 << shift) - 1
    unsigned = (1 << (64 - shift)) - 1
    first = (start >> shift) & unsigned
    return first, first + (((length + (start & mask) + mask) >> shift) & unsigned)


@compiled
def _other_vma_locks(k, mm, vpn, pfn):
    """Whether a locked VMA other than the one at (mm, vpn) maps the page (try_to_munlock)."""
    cursor = rmap_first(k, pfn)
    while cursor != 0:
        mapping = rmap_mapping(k, pfn, cursor)
        other_mm = mapping >> RMAP_SHIFT
        other = mapping & ((1 << RMAP_SHIFT) - 1)
        if other_mm != mm or other != vpn:
            v = find_vma(k, other_mm, other)
            if v != 0 and k.vma[v, V_START] <= other and k.vma[v, V_FLAGS] & VM_LOCKED != 0:
                return True
        cursor = rmap_next(k, cursor)
    return False


@compiled
def munlock_vma_pages_range(k, mm, v, start, end):
    """Clear the VMA's lock flags and munlock its resident pages in [start, end)."""
    k.vma[v, V_FLAGS] &= ~VM_LOCK_MASK
    vpn = start
    per_table = leaf_pages(k)
    while vpn < end:
        vpn = next_table(k, mm, vpn)
        if vpn >= end:
            return
        last = min(end, (vpn | (per_table - 1)) + 1)
        slot = leaf_slot(k, mm, vpn)
        while vpn < last:
            entry = k.pt[slot]
            if entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT:
                pfn = entry >> PTE_SHIFT
                if k.frame[pfn, P_FLAGS] & PG_MLOCKED != 0:
                    if k.frame[pfn, P_MAPCOUNT] <= 1 or not _other_vma_locks(k, mm, vpn, pfn):
                        munlock_page(k, pfn, UNEVICTABLE_PGMUNLOCKED)
            if huge_table(k, mm, vpn) != 0:
                vpn = last
                continue
            vpn += 1
            slot += 1


@compiled
def mlock_fixup(k, mm, v, prev, start, end, flags):
    """Give [start, end) of a VMA new lock flags, merging or splitting: the VMA that then holds it, or -ENOMEM."""
    vma = k.vma
    old = vma[v, V_FLAGS]
    if flags == old or old & (VM_SPECIAL | VM_HUGETLB) != 0:
        return v
    pgoff = vma[v, V_PGOFF] + start - vma[v, V_START]
    merged = vma_merge(k, mm, prev, start, end, flags, vma[v, V_ANON], vma[v, V_FILE], pgoff)
    if merged != 0:
        v = merged
    else:
        if start != vma[v, V_START]:
            v = split_vma(k, mm, v, start)
            if v < 0:
                return v
        if end != vma[v, V_END]:
            upper = split_vma(k, mm, v, end)
            if upper < 0:
                return upper
    pages = end - start
    if flags & VM_LOCKED == 0:
        k.mm[mm, MM_LOCKED_VM] -= pages
        munlock_vma_pages_range(k, mm, v, start, end)
        k.vma[v, V_FLAGS] = flags
        return v
    if old & VM_LOCKED == 0 or k.rule[R_RELOCK_COUNTS_TWICE] != 0:
        k.mm[mm, MM_LOCKED_VM] += pages
    vma[v, V_FLAGS] = flags
    if old & VM_LOCKED == 0:
        mlock_vma_pages_range(k, mm, start, end)
    return v


@compiled
def apply_vma_lock_flags(k, mm, start, end, lock_flags):
    """Set the lock flags of all VMAs in [start, end), in pages: 0, or -ENOMEM at a hole or the VMA limit, the part before it done."""
    vma = k.vma
    v = find_vma_charged(k, mm, start)
    if v == 0 or vma[v, V_START] > start:
        return -ENOMEM
    prev = v if start > vma[v, V_START] else vma[v, V_PREV]
    at = start
    while True:
        flags = vma[v, V_FLAGS] & ~VM_LOCK_MASK | lock_flags
        last = min(end, vma[v, V_END])
        prev = mlock_fixup(k, mm, v, prev, at, last, flags)
        if prev < 0:
            return prev
        at = max(last, vma[prev, V_END])
        if at >= end:
            return 0
        v = vma[prev, V_NEXT]
        if v == 0 or vma[v, V_START] != at:
            return -ENOMEM


@compiled
def _locked_pages_in(k, mm, start, end):
    """Pages of [start, end) in locked VMAs (count_mm_mlocked_page_nr)."""
    vma = k.vma
    count = 0
    v = find_vma(k, mm, start)
    while v != 0 and vma[v, V_START] < end:
        if vma[v, V_FLAGS] & VM_LOCKED != 0:
            count += min(end, vma[v, V_END]) - max(start, vma[v, V_START])
        v = vma[v, V_NEXT]
    return count


@compiled
def do_mlock(k, tid, start, length, flags):
    """The body of mlock and mlock2: check the limit, set the VMAs' flags, then populate. Restarts in the populate stage."""
    mm = k.task[tid, T_MM]
    shift = k.geo[G_PAGE_SHIFT]
    if k.task[tid, T_STAGE] == 0:
        if not can_do_mlock(k, tid):
            return -EPERM
        lru_add_drain_all(k)
        first, last = page_range(k, start, length)
        pages = last - first
        limit = memlock_limit(k, tid)
        locked = pages + k.mm[mm, MM_LOCKED_VM]
        if locked > limit and k.task[tid, T_CAPS] & CAP_IPC_LOCK == 0:
            if k.rule[R_MLOCK_OVERLAP_COUNTS] == 0:
                locked -= _locked_pages_in(k, mm, first, last)
            if locked > limit:
                return -ENOMEM
        if pages == 0:
            return 0
        if last >= 1 << (64 - shift):
            return -EINVAL
        error = apply_vma_lock_flags(k, mm, first, last, flags)
        if error != 0:
            return error
        k.task[tid, T_STAGE] = 1
        k.task[tid, T_STAGE_ARG] = first
        k.task[tid, T_STAGE_ARG2] = last
    error = mm_populate(k, tid, mm, k.task[tid, T_STAGE_ARG], k.task[tid, T_STAGE_ARG2], 0)
    if error == -EFAULT:
        return -ENOMEM
    if error == -ENOMEM:
        return -EAGAIN
    return error


@compiled
def sys_mlock(k, tid, start, length):
    """mlock(2): lock a range and fault all of it in."""
    return do_mlock(k, tid, start, length, VM_LOCKED)


@compiled
def sys_mlock2(k, tid, start, length, flags):
    """mlock2(2): lock a range; with MLOCK_ONFAULT leave absent pages absent."""
    if k.rule[R_MLOCK2] == 0:
        return -ENOSYS
    if flags & ~MLOCK_ONFAULT != 0:
        return -EINVAL
    vm_flags = VM_LOCKED
    if flags & MLOCK_ONFAULT != 0:
        vm_flags |= VM_LOCKONFAULT
    return do_mlock(k, tid, start, length, vm_flags)


@compiled
def sys_munlock(k, tid, start, length):
    """munlock(2): unlock a range, whoever locked it and how."""
    first, last = page_range(k, start, length)
    if first == last:
        return 0
    if last >= 1 << (64 - k.geo[G_PAGE_SHIFT]):
        return -EINVAL
    return apply_vma_lock_flags(k, k.task[tid, T_MM], first, last, 0)


@compiled
def apply_mlockall_flags(k, mm, flags):
    """Set the default flags for future mappings, and the lock flags of all VMAs; errors of single VMAs are ignored."""
    k.mm[mm, MM_DEF_FLAGS] &= ~VM_LOCK_MASK
    if flags & MCL_FUTURE != 0:
        k.mm[mm, MM_DEF_FLAGS] |= VM_LOCKED
        if flags & MCL_ONFAULT != 0:
            k.mm[mm, MM_DEF_FLAGS] |= VM_LOCKONFAULT
        if flags & MCL_CURRENT == 0:
            return
    to_add = 0
    if flags & MCL_CURRENT != 0:
        to_add = VM_LOCKED | (VM_LOCKONFAULT if flags & MCL_ONFAULT != 0 else 0)
    prev = 0
    v = k.mm[mm, MM_FIRST]
    while v != 0:
        new = k.vma[v, V_FLAGS] & ~VM_LOCK_MASK | to_add
        start = k.vma[v, V_START]
        fixed = mlock_fixup(k, mm, v, prev, start, k.vma[v, V_END], new)
        prev = fixed if fixed > 0 else v
        v = k.vma[prev, V_NEXT]


@compiled
def sys_mlockall(k, tid, flags):
    """mlockall(2): lock all mappings, present, future or both."""
    mm = k.task[tid, T_MM]
    if k.task[tid, T_STAGE] == 0:
        valid = MCL_CURRENT | MCL_FUTURE | (MCL_ONFAULT if k.rule[R_MLOCK2] != 0 else 0)
        if flags == 0 or flags & ~valid != 0 or (flags == MCL_ONFAULT and k.rule[R_ONFAULT_ALONE] == 0):
            return -EINVAL
        if not can_do_mlock(k, tid):
            return -EPERM
        if flags & MCL_CURRENT != 0:
            lru_add_drain_all(k)
            if k.task[tid, T_CAPS] & CAP_IPC_LOCK == 0 and k.mm[mm, MM_TOTAL_VM] > memlock_limit(k, tid):
                return -ENOMEM
        apply_mlockall_flags(k, mm, flags)
        if flags & MCL_CURRENT == 0:
            return 0
        k.task[tid, T_STAGE] = 1
        k.task[tid, T_STAGE_ARG] = 0
    if mm_populate(k, tid, mm, k.task[tid, T_STAGE_ARG], k.mm[mm, MM_TASK_SIZE], 1) == -EWAIT:
        return -EWAIT
    return 0


@compiled
def sys_munlockall(k, tid):
    """munlockall(2): unlock every mapping and lock no future one."""
    apply_mlockall_flags(k, k.task[tid, T_MM], 0)
    return 0
