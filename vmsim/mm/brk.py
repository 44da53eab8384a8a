"""brk(2).   Follows mm/mmap.c (brk, do_brk) of v4.4 (section A.6 of the behaviour notes)."""

from vmsim.mm.accounting import account_vm, lock_allowed, may_expand_vm
from vmsim.mm.gup import mm_populate
from vmsim.mm.mmap import MAP_FIXED, do_munmap, get_unmapped_area
from vmsim.mm.overcommit import charge_commit
from vmsim.mm.range import page_limit
from vmsim.mm.vma import charge_vma_link, find_vma, find_vma_charged, vma_alloc, vma_before, vma_link, vma_merge
from vmsim.struct.errno import ENOMEM, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SYS_MAX_MAP_COUNT
from vmsim.struct.tasks import RLIM_INFINITY, RLIMIT_DATA, T_MM, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2, T_TGID
from vmsim.struct.vmas import (
    MM_BRK,
    MM_DEF_FLAGS,
    MM_LOCKED_VM,
    MM_MAP_COUNT,
    MM_START_BRK,
    V_END,
    V_FLAGS,
    V_PGOFF,
    V_START,
    VM_ACCOUNT,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYWRITE,
    VM_READ,
    VM_WRITE,
)


@compiled
def do_brk(k, tid, start, pages):
    """Map [start, start + pages) as heap: 0 or -errno."""
    mm = k.task[tid, T_MM]
    flags = VM_READ | VM_WRITE | VM_ACCOUNT | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | k.mm[mm, MM_DEF_FLAGS]
    shift = k.geo[G_PAGE_SHIFT]
    placed = get_unmapped_area(k, tid, start << shift, pages, MAP_FIXED)
    if placed < 0:
        return placed
    error = lock_allowed(k, tid, flags, pages)
    if error != 0:
        return error
    if not may_expand_vm(k, tid, flags, pages) or k.mm[mm, MM_MAP_COUNT] > k.sysctl[SYS_MAX_MAP_COUNT]:
        return -ENOMEM
    if charge_commit(k, tid, pages) != 0:
        return -ENOMEM
    if vma_merge(k, mm, vma_before(k, mm, start), start, start + pages, flags, 0, 0, start) == 0:
        v = vma_alloc(k)
        k.vma[v, V_START] = start
        k.vma[v, V_END] = start + pages
        k.vma[v, V_FLAGS] = flags
        k.vma[v, V_PGOFF] = start
        vma_link(k, mm, v)
        charge_vma_link(k, mm, v)
    account_vm(k, mm, flags, 0, pages)
    if flags & VM_LOCKED != 0:
        k.mm[mm, MM_LOCKED_VM] += pages
    return 0


@compiled
def _within_rlimit(k, tid, pages):
    limit = k.rlim[k.task[tid, T_TGID], 2 * RLIMIT_DATA]
    return limit == RLIM_INFINITY or pages <= limit >> k.geo[G_PAGE_SHIFT]


@compiled
def sys_brk(k, tid, address):
    """brk(2): the resulting break in bytes, which is the old one if it can't be moved.  MM_BRK keeps it in pages.

    Model: the break is kept in whole pages, so a call that moves it within a page reports the page's end.
    """
    mm = k.task[tid, T_MM]
    row = k.mm[mm]
    shift = k.geo[G_PAGE_SHIFT]
    if k.task[tid, T_STAGE] == 0:
        old = row[MM_BRK]
        new = ((address + (1 << shift) - 1) >> shift) & (page_limit(k) - 1)
        if new < row[MM_START_BRK] or not _within_rlimit(k, tid, new - row[MM_START_BRK]):
            return old << shift
        if new <= old:
            if new < old and do_munmap(k, tid, new, old - new) == 0:
                row[MM_BRK] = new
            return row[MM_BRK] << shift
        after = find_vma_charged(k, mm, old)
        if after != 0 and k.vma[after, V_START] < new + 1:  # one page is kept free above the heap
            return old << shift
        if do_brk(k, tid, old, new - old) != 0:
            return old << shift
        row[MM_BRK] = new
        if k.vma[find_vma(k, mm, old), V_FLAGS] & VM_LOCKED == 0:
            return new << shift
        k.task[tid, T_STAGE] = 1
        k.task[tid, T_STAGE_ARG] = old
        k.task[tid, T_STAGE_ARG2] = new
    end = k.task[tid, T_STAGE_ARG2]
    if mm_populate(k, tid, mm, k.task[tid, T_STAGE_ARG], end, 1) == -EWAIT:
        return -EWAIT
    return end << shift
