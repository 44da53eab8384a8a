"""msync(2).   Follows mm/msync.c of v4.4 (section A.11 of the behaviour notes)."""

from vmsim.mm.range import aligned_pages, beyond, is_aligned, page_of
from vmsim.mm.sync import vfs_fsync_range
from vmsim.mm.vma import find_vma_charged
from vmsim.struct.errno import EBUSY, EINVAL, ENOMEM, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.tasks import T_MM, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2, T_SYNC
from vmsim.struct.vmas import V_END, V_FILE, V_FLAGS, V_NEXT, V_PGOFF, V_START, VM_LOCKED, VM_SHARED

MS_ASYNC = 1
MS_INVALIDATE = 2
MS_SYNC = 4


@compiled
def sys_msync(k, tid, start, length, flags):
    """msync(2): MS_SYNC writes what is dirty of shared file mappings and waits; MS_ASYNC does nothing.

    A hole makes it fail in the end, MS_INVALIDATE of locked memory at once.
    """
    if flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0 or not is_aligned(k, start):
        return -EINVAL
    if flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC:
        return -EINVAL
    pages = aligned_pages(k, length)
    at = page_of(k, start)
    end = at + pages
    if beyond(k, end):
        return -ENOMEM
    if pages == 0:
        return 0
    vma = k.vma
    task = k.task[tid]
    result = 0
    if task[T_STAGE] != 0:
        at = task[T_STAGE_ARG]
        result = task[T_STAGE_ARG2]
    else:
        task[T_SYNC] = 0
    v = find_vma_charged(k, task[T_MM], at)
    while True:
        if v == 0:
            return -ENOMEM
        if at < vma[v, V_START]:
            result = -ENOMEM
            at = vma[v, V_START]
            if at >= end:
                return result
        if flags & MS_INVALIDATE != 0 and vma[v, V_FLAGS] & VM_LOCKED != 0:
            return -EBUSY
        if flags & MS_SYNC != 0 and vma[v, V_FLAGS] & VM_SHARED != 0 and vma[v, V_FILE] != 0:
            pgoff = vma[v, V_PGOFF] + at - vma[v, V_START]
            error = vfs_fsync_range(k, tid, vma[v, V_FILE], pgoff, pgoff + min(end, vma[v, V_END]) - at)
            if error == -EWAIT:
                task[T_STAGE] = 1
                task[T_STAGE_ARG] = at
                task[T_STAGE_ARG2] = result
            if error != 0:
                return error
        at = vma[v, V_END]
        if at >= end:
            return result
        v = vma[v, V_NEXT]
