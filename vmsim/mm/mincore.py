"""mincore(2).   Follows mm/mincore.c of v4.4 (section A.10 of the behaviour notes)."""

from vmsim.hw.walk import leaf_slot
from vmsim.mm.filemap import page_cached
from vmsim.mm.range import aligned_pages, is_aligned, page_of
from vmsim.mm.vma import find_vma, find_vma_charged
from vmsim.struct.errno import EINVAL, ENOMEM
from vmsim.struct.jit import compiled
from vmsim.struct.pages import P_FLAGS, PG_UPTODATE, PTE_PRESENT, PTE_SHIFT, PTE_SWAP
from vmsim.struct.tasks import T_MM
from vmsim.struct.vmas import MM_TASK_SIZE, V_END, V_FILE, V_NEXT, V_PGOFF, V_START


@compiled
def page_resident(k, mm, v, vpn):
    """The byte that mincore writes for a page: mapped, or in the page cache of its VMA's file."""
    slot = leaf_slot(k, mm, vpn)
    if slot != 0 and k.pt[slot] & PTE_PRESENT != 0:
        return 1
    if slot != 0 and k.pt[slot] & PTE_SWAP != 0:
        pfn = k.swap_cache[k.pt[slot] >> PTE_SHIFT]
        return 1 if pfn > 0 and k.frame[pfn, P_FLAGS] & PG_UPTODATE != 0 else 0
    file = k.vma[v, V_FILE]
    return 1 if file != 0 and page_cached(k, file, k.vma[v, V_PGOFF] + vpn - k.vma[v, V_START]) else 0


@compiled
def mapped_run(k, mm, start, end):
    """How many pages from `start` on are mapped without a hole, up to `end`: the bytes that mincore writes."""
    v = find_vma_charged(k, mm, start)
    vpn = start
    while vpn < end and v != 0 and k.vma[v, V_START] <= vpn:
        vpn = min(end, k.vma[v, V_END])
        v = k.vma[v, V_NEXT]
    return vpn - start


@compiled
def sys_mincore(k, tid, start, length):
    """mincore(2): 0, or -ENOMEM at a hole.  The bytes themselves are given by `page_resident`, as far as `mapped_run` goes."""
    if not is_aligned(k, start):
        return -EINVAL
    mm = k.task[tid, T_MM]
    pages = aligned_pages(k, length)
    size = k.mm[mm, MM_TASK_SIZE]
    first = page_of(k, start)
    if first > size or (pages == 0 and length != 0) or pages > size - first:
        return -ENOMEM
    return 0 if mapped_run(k, mm, first, first + pages) == pages else -ENOMEM


@compiled
def mincore_byte(k, mm, vpn):
    """`page_resident` of any mapped page."""
    return page_resident(k, mm, find_vma(k, mm, vpn), vpn)
