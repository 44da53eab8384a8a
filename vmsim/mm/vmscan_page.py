"""What reclaim does with one page from the tail of an inactive list.   Follows mm/vmscan.c of v4.4 (shrink_page_list, pageout; C.9)."""

from vmsim.mm.bio_page import submit_page
from vmsim.mm.page_writeback import pageout_file, set_page_writeback
from vmsim.mm.pagecache import delete_from_page_cache_reclaimed
from vmsim.mm.shmem_swap import shmem_writepage
from vmsim.mm.swap_cache import delete_from_swap_cache, try_to_free_swap
from vmsim.mm.swap_slots import add_to_swap
from vmsim.mm.swapfile import swap_area, vm_swap_full
from vmsim.mm.vma import AV_MM
from vmsim.mm.vmscan_unmap import (
    REFERENCED,
    SEEN_EXEC,
    SEEN_LOCKED,
    SWAP_FAIL,
    SWAP_MLOCK,
    page_referenced,
    try_to_unmap,
    try_to_unmap_flush,
)
from vmsim.mm.workingset import workingset_eviction
from vmsim.struct.costs import C_RECLAIM_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_FILE_ROWS, SC_MM_ROWS, SC_TASK
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import (
    P_FLAGS,
    P_MAPCOUNT,
    P_MAPPING,
    P_PRIVATE,
    PG_ANON,
    PG_DIRTY,
    PG_LOCKED,
    PG_MLOCKED,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_WRITEBACK,
    Z_FLAGS,
    ZONE_DIRTY,
    ZONE_WRITEBACK,
)
from vmsim.struct.reclaim import S_IMMEDIATE, S_IS_KSWAPD, S_PAGEOUT, S_SCANNED, S_UNQUEUED_DIRTY, S_WRITEBACK
from vmsim.struct.rules import R_ANON_REFAULTS, R_ANON_SECOND_CHANCE, R_LRU_GEN, R_SCANNED_ONCE, R_WRITEBACK_ACTIVATES
from vmsim.struct.swaps import SW_BASE, SW_BLOCK, SW_DEVICE
from vmsim.struct.vmstat import NR_VMSCAN_IMMEDIATE, NR_VMSCAN_WRITE, PGLAZYFREED, PSWPOUT

PAGE_FREED = 0
PAGE_KEEP = 1
PAGE_ACTIVATE = 2
PAGE_CULL = 3
PAGE_CLEAN_ONLY = 4  # of _check_references: reclaim it, but only if nothing must be written


@compiled
def _check_references(k, pfn):
    """Whether a page was used: PAGE_ACTIVATE, PAGE_KEEP, PAGE_CLEAN_ONLY, or PAGE_FREED if it can go (page_check_references)."""
    seen = page_referenced(k, pfn)
    flags = k.frame[pfn, P_FLAGS]
    k.frame[pfn, P_FLAGS] = flags & ~PG_REFERENCED
    if seen & SEEN_LOCKED != 0:
        return PAGE_FREED
    references = seen & REFERENCED
    if references > 0:
        if flags & PG_SWAPBACKED != 0 and k.rule[R_ANON_SECOND_CHANCE] == 0:
            return PAGE_ACTIVATE
        k.frame[pfn, P_FLAGS] |= PG_REFERENCED
        if flags & PG_REFERENCED != 0 or references > 1:
            return PAGE_ACTIVATE
        if seen & SEEN_EXEC != 0 and flags & PG_SWAPBACKED == 0:
            return PAGE_ACTIVATE
        return PAGE_KEEP
    if flags & PG_REFERENCED != 0 and flags & PG_SWAPBACKED == 0:
        return PAGE_CLEAN_ONLY
    return PAGE_FREED


@compiled
def swap_writepage(k, pfn):
    """Write a page of the swap cache to its slot, or give the slot up if nobody refers to it; whether a write was started."""
    if try_to_free_swap(k, pfn):
        return False
    swp = k.frame[pfn, P_PRIVATE]
    area = swap_area(k, swp)
    set_page_writeback(k, pfn)
    k.vmstat[PSWPOUT] += 1
    submit_page(k, k.swap[area, SW_DEVICE], 1, k.swap[area, SW_BLOCK] + swp - k.swap[area, SW_BASE], pfn, 0)
    return True


@compiled
def _pageout(k, s, pfn):
    """Start writing a dirty page of the swap cache, or one of a memory file, to swap; PAGE_KEEP until that is done, PAGE_FREED: go on."""
    if k.frame[pfn, P_FLAGS] & PG_SWAPCACHE == 0 and not shmem_writepage(k, pfn):
        return PAGE_ACTIVATE
    k.frame[pfn, P_FLAGS] = k.frame[pfn, P_FLAGS] & ~PG_DIRTY | PG_RECLAIM
    if swap_writepage(k, pfn):
        k.vmstat[NR_VMSCAN_WRITE] += 1
        s[S_PAGEOUT] += 1
        return PAGE_KEEP
    k.frame[pfn, P_FLAGS] &= ~PG_RECLAIM
    return PAGE_KEEP if k.frame[pfn, P_FLAGS] & PG_DIRTY != 0 else PAGE_FREED


@compiled
def _dirty_file_page(k, s, zone, pfn):
    """A dirty file page: only kswapd writes it, and only once it has met many of them; else it goes when its writeback has ended."""
    k.frame[pfn, P_FLAGS] |= PG_RECLAIM
    if s[S_IS_KSWAPD] == 0 or k.zone[zone, Z_FLAGS] & ZONE_DIRTY == 0:
        k.vmstat[NR_VMSCAN_IMMEDIATE] += 1
        return PAGE_KEEP if k.rule[R_WRITEBACK_ACTIVATES] == 0 else PAGE_ACTIVATE
    try_to_unmap_flush(k, s, 1)
    if pageout_file(k, pfn):
        k.vmstat[NR_VMSCAN_WRITE] += 1
        s[S_PAGEOUT] += 1
        return PAGE_KEEP
    return PAGE_KEEP if k.rule[R_WRITEBACK_ACTIVATES] == 0 else PAGE_ACTIVATE


@compiled
def _remove_mapping(k, pfn):
    """Take a clean page that nobody maps out of its cache, leaving a shadow (__remove_mapping); what MADV_FREE gave up is in none."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & PG_SWAPCACHE != 0:
        shadow = workingset_eviction(k, pfn) if k.rule[R_ANON_REFAULTS] != 0 else 0
        delete_from_swap_cache(k, pfn, shadow)
    elif k.frame[pfn, P_MAPPING] < 0:
        delete_from_page_cache_reclaimed(k, pfn, workingset_eviction(k, pfn))
    else:
        k.vmstat[PGLAZYFREED] += 1


@compiled
def _count_reclaimed(k, pfn):
    """Whose page it is that the running task frees: the file's, the address space's that mapped it last, or 0: nobody's yet."""
    mapping = k.frame[pfn, P_MAPPING]
    owner = k.sc[SC_MM_ROWS] - mapping - 1 if mapping < 0 else k.anon_vma[mapping, AV_MM] if mapping > 0 else 0
    k.reclaimed[k.sc[SC_TASK] * (k.sc[SC_MM_ROWS] + k.sc[SC_FILE_ROWS]) + owner] += 1


@compiled
def reclaim_page(k, s, zone, pfn):
    """Decide about one isolated page and do it: PAGE_FREED (its frame can be given back), PAGE_KEEP, PAGE_ACTIVATE or PAGE_CULL."""
    frame = k.frame
    flags = frame[pfn, P_FLAGS]
    k.led[L_RECLAIM] += k.cost[C_RECLAIM_PAGE]
    if flags & PG_LOCKED != 0:
        return PAGE_KEEP
    s[S_SCANNED] += 1
    if flags & PG_MLOCKED != 0:
        return PAGE_CULL
    if k.rule[R_LRU_GEN] != 0 and frame[pfn, P_MAPCOUNT] > 0 and flags & PG_REFERENCED != 0:
        return PAGE_KEEP
    if k.rule[R_SCANNED_ONCE] == 0 and (frame[pfn, P_MAPCOUNT] > 0 or flags & PG_SWAPCACHE != 0):
        s[S_SCANNED] += 1
    if flags & PG_DIRTY != 0 and flags & (PG_ANON | PG_SWAPBACKED | PG_WRITEBACK) == 0:
        s[S_UNQUEUED_DIRTY] += 1
    if flags & PG_WRITEBACK != 0:
        if s[S_IS_KSWAPD] != 0 and flags & PG_RECLAIM != 0 and k.zone[zone, Z_FLAGS] & ZONE_WRITEBACK != 0:
            s[S_IMMEDIATE] += 1
        else:
            frame[pfn, P_FLAGS] |= PG_RECLAIM
            s[S_WRITEBACK] += 1
        return PAGE_KEEP if k.rule[R_WRITEBACK_ACTIVATES] == 0 else PAGE_ACTIVATE
    references = _check_references(k, pfn)
    if references == PAGE_ACTIVATE or references == PAGE_KEEP:
        return references
    if flags & (PG_ANON | PG_SWAPBACKED | PG_SWAPCACHE) == PG_ANON | PG_SWAPBACKED and not add_to_swap(k, pfn):
        return PAGE_ACTIVATE
    if frame[pfn, P_MAPCOUNT] > 0:
        unmapped = try_to_unmap(k, s, pfn)
        if unmapped == SWAP_FAIL:
            return PAGE_ACTIVATE
        if unmapped == SWAP_MLOCK:
            return PAGE_CULL
    if frame[pfn, P_FLAGS] & PG_DIRTY != 0:
        if references == PAGE_CLEAN_ONLY:
            return PAGE_KEEP
        if flags & PG_SWAPBACKED == 0:
            return _dirty_file_page(k, s, zone, pfn)
        try_to_unmap_flush(k, s, 1)
        written = _pageout(k, s, pfn)
        if written != PAGE_FREED:
            return written
    _count_reclaimed(k, pfn)
    _remove_mapping(k, pfn)
    return PAGE_FREED


@compiled
def give_up_swap_slot(k, pfn, always):
    """A page that stays in memory gives its slot back where slots are short (activate_locked), or `always` (cull_mlocked)."""
    if k.frame[pfn, P_FLAGS] & PG_SWAPCACHE != 0 and (always != 0 or vm_swap_full(k)):
        try_to_free_swap(k, pfn)
