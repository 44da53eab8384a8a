"""msync(2).   Follows mm/msync.c of v4.4 (section A.11 of the behaviour notes)."""

from vmsim.mm.range import aligned_pages, beyond, is_aligned, page_of
from vmsim.mm.vma import find_vma_charged
from vmsim.struct.errno import EBUSY, EINVAL, ENOMEM
from vmsim.struct.jit import compiled
from vmsim.struct.tasks import T_MM
from vmsim.struct.vmas import V_END, V_FLAGS, V_NEXT, V_START, VM_LOCKED

MS_ASYNC = 1
MS_INVALIDATE = 2
MS_SYNC = 4


@compiled
def sys_msync(k, tid, start, length, flags):
    """msync(2): checks the range; a hole makes it fail in the end, MS_INVALIDATE of locked memory at once.

    Model: dirty pages are written by the flushers alone, so MS_SYNC doesn't wait.
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
    v = find_vma_charged(k, k.task[tid, T_MM], at)
    result = 0
    while True:
        if v == 0:
            return -ENOMEM
        if at < vma[v, V_START]:
            result = -ENOMEM
            if vma[v, V_START] >= end:
                return result
        if flags & MS_INVALIDATE != 0 and vma[v, V_FLAGS] & VM_LOCKED != 0:
            return -EBUSY
        at = vma[v, V_END]
        if at >= end:
            return result
        v = vma[v, V_NEXT]
