"""brk(2).   Follows mm/mmap.c (brk, do_brk) of v4.4 (section A.6 of the behaviour notes)."""

from vmsim.mm.accounting import account_vm, lock_allowed, may_expand_vm
from vmsim.mm.gup import mm_populate
from vmsim.mm.mmap import do_munmap
from vmsim.mm.overcommit import charge_commit
from vmsim.mm.place import MAP_FIXED, get_unmapped_area, vm_start_gap
from vmsim.mm.vma import charge_vma_link, find_vma, find_vma_charged, vma_alloc, vma_before, vma_link, vma_merge
from vmsim.struct.errno import ENOMEM, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SYS_MAX_MAP_COUNT
from vmsim.struct.rules import R_BRK_KEEPS_STACK_GAP
from vmsim.struct.tasks import RLIM_INFINITY, RLIMIT_DATA, T_MM, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2, T_TGID
from vmsim.struct.vmas import (
    MM_BRK,
    MM_DEF_FLAGS,
    MM_END_DATA,
    MM_LOCKED_VM,
    MM_MAP_COUNT,
    MM_START_BRK,
    MM_START_DATA,
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
def _within_rlimit(k, tid, address):
    """Whether RLIMIT_DATA allows the heap to end at an address (check_data_rlimit)."""
    row = k.mm[k.task[tid, T_MM]]
    limit = k.rlim[k.task[tid, T_TGID], 2 * RLIMIT_DATA]
    return limit == RLIM_INFINITY or address - row[MM_START_BRK] + row[MM_END_DATA] - row[MM_START_DATA] <= limit


@compiled
def _room_above(k, mm, old, new):
    """Whether the heap may grow from page `old` to page `new`: one page, and the gap below a stack, stay free above it."""
    after = find_vma_charged(k, mm, old)
    if after == 0:
        return True
    start = vm_start_gap(k, after) if k.rule[R_BRK_KEEPS_STACK_GAP] != 0 else k.vma[after, V_START]
    return start >= new + 1


@compiled
def sys_brk(k, tid, address):
    """brk(2): the resulting break in bytes, which is the old one if it can't be moved."""
    mm = k.task[tid, T_MM]
    row = k.mm[mm]
    shift = k.geo[G_PAGE_SHIFT]
    if k.task[tid, T_STAGE] == 0:
        if address < row[MM_START_BRK] or not _within_rlimit(k, tid, address):
            return row[MM_BRK]
        old = (row[MM_BRK] + (1 << shift) - 1) >> shift
        new = (address + (1 << shift) - 1) >> shift
        if new < old and do_munmap(k, tid, new, old - new) != 0:
            return row[MM_BRK]
        if new > old and (not _room_above(k, mm, old, new) or do_brk(k, tid, old, new - old) != 0):
            return row[MM_BRK]
        row[MM_BRK] = address
        if new <= old or k.vma[find_vma(k, mm, old), V_FLAGS] & VM_LOCKED == 0:
            return address
        k.task[tid, T_STAGE] = 1
        k.task[tid, T_STAGE_ARG] = old
        k.task[tid, T_STAGE_ARG2] = address
    end = k.task[tid, T_STAGE_ARG2]
    if mm_populate(k, tid, mm, k.task[tid, T_STAGE_ARG], (end + (1 << shift) - 1) >> shift, 1) == -EWAIT:
        return -EWAIT
    return end
