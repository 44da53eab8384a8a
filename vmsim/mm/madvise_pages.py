"""The walks over pages that advice asks for.   Follows mm/madvise.c: of v6.1 for FREE, v5.4 for COLD and PAGEOUT."""

from vmsim.hw.tlb import flush_range
from vmsim.mm.page_alloc import free_page
from vmsim.mm.pagecache import delete_from_page_cache
from vmsim.mm.pte import next_entry, set_pte, write_pte
from vmsim.mm.swap import isolate_lru_page, lru_add, lru_add_drain, lru_del, lruvec_of
from vmsim.mm.swap_cache import try_to_free_swap
from vmsim.mm.unmap import free_swap_and_cache, page_unmapped
from vmsim.mm.vmscan_batch import PLUGGED, must_pause, putback
from vmsim.mm.vmscan_page import PAGE_ACTIVATE, PAGE_FREED, give_up_swap_slot, reclaim_page
from vmsim.mm.vmscan_unmap import try_to_unmap_flush
from vmsim.struct.costs import C_PTE_CHANGE
from vmsim.struct.errno import EWAIT
from vmsim.struct.files import FI_KIND, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import (
    P_FLAGS,
    P_INDEX,
    P_MAPCOUNT,
    PG_ACTIVE,
    PG_ANON,
    PG_DIRTY,
    PG_LOCKED,
    PG_LRU,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
    PG_UPTODATE,
    PG_WRITEBACK,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_SWAP,
    PTE_YOUNG,
    PTE_ZERO,
)
from vmsim.struct.reclaim import N_SWAP_AREAS
from vmsim.struct.rules import R_LRU_GEN
from vmsim.struct.tasks import T_MM, T_STAGE, T_STAGE_ARG
from vmsim.struct.vmas import MM_SWAPENTS, V_FILE
from vmsim.struct.vmstat import PGACTIVATE, PGDEACTIVATE, PGLAZYFREE


@compiled
def _clean(k, pfn):
    """Forget what a page must be written for, its slot too; whether that is possible: others may need it."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_SWAPCACHE | PG_DIRTY) == 0:
        return True
    if flags & PG_LOCKED != 0 or k.frame[pfn, P_MAPCOUNT] != 1:
        return False
    if flags & PG_SWAPCACHE != 0 and not try_to_free_swap(k, pfn):
        return False
    k.frame[pfn, P_FLAGS] &= ~PG_DIRTY
    return True


@compiled
def mark_page_lazyfree(k, pfn):
    """A clean anonymous page moves to the inactive list of files, where reclaim drops it (lru_lazyfree_fn).

    Model: at once; the kernel's CPUs keep up to 14 (6.18: 30) such pages until there are more.
    """
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_LRU | PG_SWAPBACKED | PG_SWAPCACHE | PG_UNEVICTABLE) != PG_LRU | PG_SWAPBACKED:
        return
    lru_del(k, pfn)
    k.frame[pfn, P_FLAGS] &= ~(PG_ACTIVE | PG_REFERENCED | PG_SWAPBACKED)
    lru_add(k, pfn)
    k.vmstat[PGLAZYFREE] += 1


@compiled
def madvise_free(k, mm, v, start, end):
    """MADV_FREE: swapped pages go at once; entries of the others become clean and old, so that reclaim drops what isn't written again.

    Follows madvise_free_pte_range of v6.1.
    """
    changed = 0
    lru_add_drain(k)
    vpn, slot = next_entry(k, mm, start, 0, end)
    while vpn < end:
        entry = k.pt[slot]
        pfn = entry >> PTE_SHIFT
        if entry & PTE_SWAP != 0:
            set_pte(k, mm, vpn, slot, 0)
            k.mm[mm, MM_SWAPENTS] -= 1
            free_swap_and_cache(k, pfn)
        elif entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT and k.frame[pfn, P_FLAGS] & PG_ANON != 0 and _clean(k, pfn):
            write_pte(k, slot, entry & ~(PTE_DIRTY | PTE_YOUNG))
            mark_page_lazyfree(k, pfn)
            changed += 1
        vpn, slot = next_entry(k, mm, vpn + 1, slot + 1, end)
    if changed > 0:
        k.led[L_SYSCALL] += changed * k.cost[C_PTE_CHANGE]
        flush_range(k, k.sc[SC_CPU], mm, start, end)


@compiled
def deactivate_page(k, pfn):
    """Forget that a page was used, and move it from an active list to the inactive one (deactivate_page)."""
    flags = k.frame[pfn, P_FLAGS]
    if k.rule[R_LRU_GEN] != 0:
        flags |= PG_ACTIVE
    if flags & (PG_LRU | PG_ACTIVE | PG_UNEVICTABLE) != PG_LRU | PG_ACTIVE:
        k.frame[pfn, P_FLAGS] = flags & ~PG_REFERENCED
        return
    lru_del(k, pfn)
    k.frame[pfn, P_FLAGS] &= ~(PG_ACTIVE | PG_REFERENCED)
    lru_add(k, pfn)
    k.vmstat[PGDEACTIVATE] += 1


@compiled
def _is_own_page(k, entry):
    """Whether an entry maps a page that nothing else maps: pages of others are left alone."""
    return entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT and k.frame[entry >> PTE_SHIFT, P_MAPCOUNT] == 1


@compiled
def madvise_cold(k, mm, v, start, end):
    """MADV_COLD: pages become old and inactive, so that reclaim takes them before others (madvise_cold_page_range)."""
    changed = 0
    vpn, slot = next_entry(k, mm, start, 0, end)
    while vpn < end:
        if _is_own_page(k, k.pt[slot]):
            write_pte(k, slot, k.pt[slot] & ~PTE_YOUNG)
            deactivate_page(k, k.pt[slot] >> PTE_SHIFT)
            changed += 1
        vpn, slot = next_entry(k, mm, vpn + 1, slot + 1, end)
    if changed > 0:
        k.led[L_SYSCALL] += changed * k.cost[C_PTE_CHANGE]
        flush_range(k, k.sc[SC_CPU], mm, start, end)


@compiled
def _pageout_page(k, mm, v, vpn, slot):
    """Reclaim one mapped page if it is a clean page of a file; whether that was possible."""
    entry = k.pt[slot]
    pfn = entry >> PTE_SHIFT
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_ANON | PG_DIRTY | PG_LOCKED | PG_WRITEBACK | PG_UPTODATE | PG_UNEVICTABLE) != PG_UPTODATE or entry & PTE_DIRTY != 0:
        write_pte(k, slot, entry & ~PTE_YOUNG)
        return 0
    pgoff = k.frame[pfn, P_INDEX]
    set_pte(k, mm, vpn, slot, 0)
    page_unmapped(k, mm, v, vpn, entry & ~PTE_YOUNG)
    delete_from_page_cache(k, k.vma[v, V_FILE], pgoff)
    return 1


@compiled
def _swap_out_page(k, tid, pfn):
    """Reclaim one anonymous or memory-file page, used or not (reclaim_pages).

    It is unmapped and written to swap; then it stays in the swap cache, at the end of its list, as the next to be freed.
    """
    if not isolate_lru_page(k, pfn):
        return
    k.frame[pfn, P_FLAGS] &= ~(PG_ACTIVE | PG_REFERENCED)
    outcome = reclaim_page(k, k.scan[tid], lruvec_of(k, pfn), pfn)
    try_to_unmap_flush(k, k.scan[tid], 0)
    if outcome == PAGE_FREED:
        free_page(k, pfn)
        return
    if outcome == PAGE_ACTIVATE:
        give_up_swap_slot(k, pfn, 0)
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        k.vmstat[PGACTIVATE] += 1
    putback(k, pfn)


@compiled
def _swap_out(k, tid, mm, start, end):
    """Reclaim the pages of a range that swap backs: 0, or -EWAIT where the device has enough to do.

    T_STAGE_ARG is the page to go on with after a wait.
    """
    lru_add_drain(k)
    vpn, slot = next_entry(k, mm, max(start, k.task[tid, T_STAGE_ARG]) if k.task[tid, T_STAGE] != 0 else start, 0, end)
    while vpn < end:
        if _is_own_page(k, k.pt[slot]) and k.frame[k.pt[slot] >> PTE_SHIFT, P_FLAGS] & (PG_LOCKED | PG_WRITEBACK | PG_UNEVICTABLE) == 0:
            if must_pause(k, tid, PLUGGED):
                flush_range(k, k.sc[SC_CPU], mm, start, end)
                k.task[tid, T_STAGE] = 1
                k.task[tid, T_STAGE_ARG] = vpn
                return -EWAIT
            write_pte(k, slot, k.pt[slot] & ~PTE_YOUNG)
            _swap_out_page(k, tid, k.pt[slot] >> PTE_SHIFT)
        vpn, slot = next_entry(k, mm, vpn + 1, slot + 1, end)
    flush_range(k, k.sc[SC_CPU], mm, start, end)
    return 0


@compiled
def madvise_pageout(k, tid, v, start, end):
    """MADV_PAGEOUT: reclaim the range's pages at once (madvise_pageout_page_range): 0, or -EWAIT: call again.

    Clean file pages go, those that swap backs are written there. Model: without swap these only become old.
    """
    mm = k.task[tid, T_MM]
    file = k.vma[v, V_FILE]
    if file == 0 or k.file[file, FI_KIND] != FILE_REGULAR:
        if k.node[N_SWAP_AREAS] > 0:
            return _swap_out(k, tid, mm, start, end)
        madvise_cold(k, mm, v, start, end)
        return 0
    taken = 0
    vpn, slot = next_entry(k, mm, start, 0, end)
    while vpn < end:
        if _is_own_page(k, k.pt[slot]):
            taken += _pageout_page(k, mm, v, vpn, slot)
        vpn, slot = next_entry(k, mm, vpn + 1, slot + 1, end)
    if taken > 0:
        flush_range(k, k.sc[SC_CPU], mm, start, end)
    return 0
