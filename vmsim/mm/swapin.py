"""Faults on swapped pages.   Follows mm/memory.c of v4.4 (do_swap_page; section B.7)."""

from vmsim.mm.filemap import EVENT_MAJOR, EVENT_OOM, EVENT_SIGBUS, EVENT_WAIT, wait_for_page
from vmsim.mm.page_alloc_slow import page_to_read_into
from vmsim.mm.pte import set_pte
from vmsim.mm.rmap import page_add_rmap
from vmsim.mm.swap_cache import reuse_swap_page, try_to_free_swap
from vmsim.mm.swap_state import read_swap_cache_async
from vmsim.mm.swap_vma import lookup_swap_cache_of, swapin_readahead_of
from vmsim.mm.swapfile import swap_free, swap_references, vm_swap_full
from vmsim.struct.costs import C_MAP_PAGE, C_PAGE_CACHE_LOOKUP
from vmsim.struct.jit import compiled
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import (
    P_FLAGS,
    P_INDEX,
    P_MAPCOUNT,
    P_MAPPING,
    PG_ANON,
    PG_EXCLUSIVE,
    PG_LOCKED,
    PG_MLOCKED,
    PG_SWAPCACHE,
    PG_UPTODATE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_WRITE,
    PTE_YOUNG,
)
from vmsim.struct.reclaim import FOR_COPY, N_ALLOC_FOR
from vmsim.struct.rules import R_EXCLUSIVE_REUSE
from vmsim.struct.tasks import T_FAULT_MAJOR
from vmsim.struct.vmas import MM_ANONPAGES, MM_SWAPENTS, V_ANON, V_FLAGS, V_PGOFF, V_START, VM_LOCKED, VM_WRITE
from vmsim.struct.vmstat import PGMAJFAULT


@compiled
def _swap_page(k, tid, mm, v, vpn, swp):
    """The frame of a swapped page, up to date and unlocked, or minus an EVENT_*."""
    k.led[L_FAULT] += k.cost[C_PAGE_CACHE_LOOKUP]
    pfn = lookup_swap_cache_of(k, v, vpn, swp)
    if pfn == 0:
        pfn = swapin_readahead_of(k, mm, v, vpn, swp)
        if pfn == 0:
            if not page_to_read_into(k):
                k.node[N_ALLOC_FOR] = FOR_COPY
                return -EVENT_OOM
            pfn = read_swap_cache_async(k, swp, 1)
        k.vmstat[PGMAJFAULT] += 1
        k.task[tid, T_FAULT_MAJOR] = 1
    flags = k.frame[pfn, P_FLAGS]
    if flags & PG_LOCKED != 0:
        wait_for_page(k, tid, pfn)
        return -EVENT_WAIT
    return pfn if flags & PG_UPTODATE != 0 else -EVENT_SIGBUS


@compiled
def do_swap_page(k, tid, mm, v, vpn, slot, write):
    """Bring a swapped page back: from the swap cache, or from the device with read-ahead. EVENT_* bits.

    A writer that has the page to itself takes it out of the swap cache at once; a reader maps it read-only.
    """
    swp = k.pt[slot] >> PTE_SHIFT
    pfn = _swap_page(k, tid, mm, v, vpn, swp)
    if pfn < 0:
        return -pfn
    frame = k.frame
    protection = 0
    if k.rule[R_EXCLUSIVE_REUSE] != 0 and frame[pfn, P_MAPCOUNT] == 0 and swap_references(k, swp) == 1:
        frame[pfn, P_FLAGS] |= PG_EXCLUSIVE
    if frame[pfn, P_FLAGS] & PG_ANON == 0:
        frame[pfn, P_FLAGS] |= PG_ANON
        frame[pfn, P_MAPPING] = k.vma[v, V_ANON] >> 1
        frame[pfn, P_INDEX] = k.vma[v, V_PGOFF] + vpn - k.vma[v, V_START]
    if write != 0 and reuse_swap_page(k, pfn):
        protection = PTE_DIRTY | (PTE_WRITE if k.vma[v, V_FLAGS] & VM_WRITE != 0 else 0)
        frame[pfn, P_FLAGS] |= PG_EXCLUSIVE
    set_pte(k, mm, vpn, slot, pfn << PTE_SHIFT | PTE_PRESENT | PTE_YOUNG | protection)
    page_add_rmap(k, pfn, mm, vpn)
    k.mm[mm, MM_ANONPAGES] += 1
    k.mm[mm, MM_SWAPENTS] -= 1
    k.led[L_FAULT] += k.cost[C_MAP_PAGE]
    swap_free(k, swp)
    if frame[pfn, P_FLAGS] & PG_SWAPCACHE != 0:
        if vm_swap_full(k) or k.vma[v, V_FLAGS] & VM_LOCKED != 0 or frame[pfn, P_FLAGS] & PG_MLOCKED != 0:
            try_to_free_swap(k, pfn)
    return EVENT_MAJOR if k.task[tid, T_FAULT_MAJOR] != 0 else 0
