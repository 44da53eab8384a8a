"""Totals of an address space and the limits on them.   Follows mm/mmap.c and mm/mlock.c of v4.4."""

from vmsim.struct.errno import EAGAIN
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.rules import R_RLIMIT_DATA_PRIVATE
from vmsim.struct.tasks import CAP_IPC_LOCK, RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, T_CAPS, T_MM, T_TGID
from vmsim.struct.vmas import (
    MM_ANONPAGES,
    MM_DATA_VM,
    MM_EXEC_VM,
    MM_FILEPAGES,
    MM_HIWATER_RSS,
    MM_HIWATER_VM,
    MM_LOCKED_VM,
    MM_SHARED_VM,
    MM_SHMEMPAGES,
    MM_STACK_VM,
    MM_TOTAL_VM,
    VM_EXEC,
    VM_GROWSDOWN,
    VM_LOCKED,
    VM_SHARED,
    VM_WRITE,
)


@compiled
def memlock_limit(k, tid):
    """RLIMIT_MEMLOCK in pages, rounded down; RLIM_INFINITY if there is none."""
    limit = k.rlim[k.task[tid, T_TGID], 2 * RLIMIT_MEMLOCK]
    return limit if limit == RLIM_INFINITY else limit >> k.geo[G_PAGE_SHIFT]


@compiled
def can_do_mlock(k, tid):
    """Whether the task may lock memory at all."""
    return k.task[tid, T_CAPS] & CAP_IPC_LOCK != 0 or k.rlim[k.task[tid, T_TGID], 2 * RLIMIT_MEMLOCK] != 0


@compiled
def is_data_mapping(flags):
    """Whether a VMA with these flags is private writable memory other than a stack."""
    return flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN) == VM_WRITE


@compiled
def account_vm(k, mm, flags, file, pages):
    """Add pages (or take them away) in the address space's totals (vm_stat_account)."""
    k.mm[mm, MM_TOTAL_VM] += pages
    if file != 0:
        k.mm[mm, MM_SHARED_VM] += pages
        if flags & (VM_EXEC | VM_WRITE) == VM_EXEC:
            k.mm[mm, MM_EXEC_VM] += pages
    elif flags & VM_GROWSDOWN != 0:
        k.mm[mm, MM_STACK_VM] += pages
    if is_data_mapping(flags):
        k.mm[mm, MM_DATA_VM] += pages
    k.mm[mm, MM_HIWATER_VM] = max(k.mm[mm, MM_HIWATER_VM], k.mm[mm, MM_TOTAL_VM])


@compiled
def mm_rss(k, mm):
    """Resident pages of an address space (get_mm_rss)."""
    return k.mm[mm, MM_FILEPAGES] + k.mm[mm, MM_ANONPAGES] + k.mm[mm, MM_SHMEMPAGES]


@compiled
def update_hiwater_rss(k, mm):
    """Memory is about to be unmapped: remember how much there was."""
    k.mm[mm, MM_HIWATER_RSS] = max(k.mm[mm, MM_HIWATER_RSS], mm_rss(k, mm))


@compiled
def may_expand_vm(k, tid, flags, pages):
    """Whether RLIMIT_AS, and from 4.6 on RLIMIT_DATA, allow so many pages more in a VMA with these flags."""
    row = k.task[tid, T_TGID]
    mm = k.task[tid, T_MM]
    shift = k.geo[G_PAGE_SHIFT]
    limit = k.rlim[row, 2 * RLIMIT_AS]
    if limit != RLIM_INFINITY and k.mm[mm, MM_TOTAL_VM] + pages > limit >> shift:
        return False
    if k.rule[R_RLIMIT_DATA_PRIVATE] == 0 or not is_data_mapping(flags):
        return True
    limit = k.rlim[row, 2 * RLIMIT_DATA]
    return limit == RLIM_INFINITY or k.mm[mm, MM_DATA_VM] + pages <= limit >> shift


@compiled
def lock_allowed(k, tid, vm_flags, pages):
    """mlock_future_check: 0 or -EAGAIN."""
    if vm_flags & VM_LOCKED == 0 or k.task[tid, T_CAPS] & CAP_IPC_LOCK != 0:
        return 0
    return -EAGAIN if pages + k.mm[k.task[tid, T_MM], MM_LOCKED_VM] > memlock_limit(k, tid) else 0
