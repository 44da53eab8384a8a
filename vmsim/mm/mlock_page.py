"""Marking single resident pages mlocked.   Follows mm/mlock.c of v4.4 (mlock_vma_page) and of v6.1
(mlock_pte_range).
"""

from vmsim.hw.walk import leaf_pages, leaf_slot
from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.pte import next_table
from vmsim.mm.swap import add_page_to_unevictable_list, isolate_lru_page
from vmsim.struct.costs import C_MLOCK_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import P_FLAGS, PG_MLOCKED, PTE_PRESENT, PTE_SHIFT, PTE_ZERO
from vmsim.struct.rules import R_MLOCK_IS_PAGE_CACHE
from vmsim.struct.vmas import VM_LOCKED, VM_SPECIAL
from vmsim.struct.vmstat import NR_MLOCK, UNEVICTABLE_PGCULLED, UNEVICTABLE_PGMLOCKED


@compiled
def mlock_vma_page(k, pfn):
    """Mark a resident page of a locked VMA mlocked and move it to the unevictable list."""
    if k.frame[pfn, P_FLAGS] & PG_MLOCKED != 0:
        return
    k.led[L_FAULT] += k.cost[C_MLOCK_PAGE]
    k.vmstat[NR_MLOCK] += hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
    k.vmstat[UNEVICTABLE_PGMLOCKED] += 1
    k.frame[pfn, P_FLAGS] |= PG_MLOCKED
    if isolate_lru_page(k, pfn):
        add_page_to_unevictable_list(k, pfn)
        k.vmstat[UNEVICTABLE_PGCULLED] += 1


@compiled
def mlock_mapped_page(k, flags, pfn):
    """A file page was mapped into a VMA with these flags: if that is locked, so is the page, from 5.18 on; before,
    reclaim finds out.
    """
    if flags & (VM_LOCKED | VM_SPECIAL) == VM_LOCKED and k.rule[R_MLOCK_IS_PAGE_CACHE] != 0:
        mlock_vma_page(k, pfn)


@compiled
def mlock_vma_pages_range(k, mm, start, end):
    """From 5.18 on locking a VMA mlocks all that is present in [start, end), before anything is populated."""
    if k.rule[R_MLOCK_IS_PAGE_CACHE] == 0:
        return
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
                mlock_vma_page(k, entry >> PTE_SHIFT)
            vpn += 1
            slot += 1
