"""Taking pages out of an address space.   Follows mm/memory.c (zap_pte_range, unmap_region) and rmap.c of v4.4."""

from vmsim.hw.tlb import flush_range
from vmsim.hw.walk import NODE_COUNT, NODE_ENTRIES, huge_table, leaf_pages, leaf_slot
from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.huge_split import split_huge_page_pmd
from vmsim.mm.page_dirty import set_page_dirty
from vmsim.mm.pgtable import free_table_at
from vmsim.mm.pte import next_table, set_pte, write_pte
from vmsim.mm.rmap import page_remove_rmap
from vmsim.mm.swap import free_page_and_lru, lru_add, lru_add_drain, lru_del, mark_page_accessed
from vmsim.mm.swap_cache import can_drop_cached, delete_from_swap_cache, try_to_free_swap
from vmsim.mm.swapfile import swap_free, swap_references
from vmsim.struct.costs import C_MUNLOCK_PAGE, C_UNMAP_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_LEVELS, SC_CPU, SC_HUGE_ZERO_USERS
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import (
    P_FLAGS,
    P_MAPCOUNT,
    PG_ANON,
    PG_DIRTY,
    PG_LOCKED,
    PG_LRU,
    PG_MLOCKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_SWAP,
    PTE_YOUNG,
    PTE_ZERO,
)
from vmsim.struct.vmas import MM_ANONPAGES, MM_FILEPAGES, MM_SWAPENTS, V_FLAGS, VM_SEQ_READ
from vmsim.struct.vmstat import NR_MLOCK, UNEVICTABLE_PGCLEARED, UNEVICTABLE_PGRESCUED


@compiled
def munlock_page(k, pfn, counter):
    """Clear PG_mlocked and move the page back to an evictable list; `counter` says why (munlock or last unmap)."""
    if k.frame[pfn, P_FLAGS] & PG_MLOCKED == 0:
        return
    k.led[L_SYSCALL] += k.cost[C_MUNLOCK_PAGE]
    k.vmstat[NR_MLOCK] -= hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
    k.vmstat[counter] += 1
    if k.frame[pfn, P_FLAGS] & PG_LRU != 0 and k.frame[pfn, P_FLAGS] & PG_UNEVICTABLE != 0:
        lru_del(k, pfn)
        k.frame[pfn, P_FLAGS] &= ~(PG_MLOCKED | PG_UNEVICTABLE)
        lru_add(k, pfn)
        k.vmstat[UNEVICTABLE_PGRESCUED] += 1
    else:
        k.frame[pfn, P_FLAGS] &= ~PG_MLOCKED


@compiled
def page_unmapped(k, mm, v, vpn, entry):
    """A present entry was taken out: hand its bits to the page, and free an anonymous page that nobody maps any more."""
    pfn = entry >> PTE_SHIFT
    k.led[L_SYSCALL] += k.cost[C_UNMAP_PAGE]
    flags = k.frame[pfn, P_FLAGS]
    if flags & PG_ANON != 0:
        k.mm[mm, MM_ANONPAGES] -= 1
    else:
        k.mm[mm, MM_FILEPAGES] -= 1
        if entry & PTE_DIRTY != 0:
            set_page_dirty(k, pfn)
        if entry & PTE_YOUNG != 0 and k.vma[v, V_FLAGS] & VM_SEQ_READ == 0:
            mark_page_accessed(k, pfn)
    if page_remove_rmap(k, pfn, mm, vpn) == 0:
        munlock_page(k, pfn, UNEVICTABLE_PGCLEARED)
        if k.frame[pfn, P_FLAGS] & (PG_SWAPCACHE | PG_LOCKED) == PG_SWAPCACHE:
            try_to_free_swap(k, pfn)
        if k.frame[pfn, P_FLAGS] & (PG_ANON | PG_SWAPCACHE) == PG_ANON:
            free_page_and_lru(k, pfn)


@compiled
def zap_huge_pmd(k, mm, vpn, node):
    """Take out the entry that maps a huge page at its first page `vpn`, with the table kept in reserve; with the last one it is freed."""
    entry = k.pt[node + NODE_ENTRIES]
    for i in range(leaf_pages(k)):
        write_pte(k, node + NODE_ENTRIES + i, 0)
    k.pt[node + NODE_COUNT] = 0
    k.led[L_SYSCALL] += k.cost[C_UNMAP_PAGE]
    if entry & PTE_ZERO != 0:
        k.sc[SC_HUGE_ZERO_USERS] -= 1
    else:
        head = entry >> PTE_SHIFT
        k.mm[mm, MM_ANONPAGES] -= leaf_pages(k)
        if page_remove_rmap(k, head, mm, vpn) == 0:
            munlock_page(k, head, UNEVICTABLE_PGCLEARED)
            free_page_and_lru(k, head)
    free_table_at(k, mm, k.geo[G_LEVELS] - 1, vpn)


@compiled
def free_swap_and_cache(k, swp):
    """An entry that referred to a slot is gone; the slot's cached page goes with the last one, if it can."""
    swap_free(k, swp)
    pfn = k.swap_cache[swp]
    if pfn > 0 and swap_references(k, swp) == 0 and can_drop_cached(k, pfn):
        delete_from_swap_cache(k, pfn, 0)
        k.frame[pfn, P_FLAGS] |= PG_DIRTY
        if k.frame[pfn, P_MAPCOUNT] == 0:
            free_page_and_lru(k, pfn)


@compiled
def zap_range(k, mm, v, start, end):
    """Empty all entries of [start, end) inside one VMA and flush them (zap_page_range)."""
    lru_add_drain(k)
    vpn = start
    per_table = leaf_pages(k)
    touched = 0
    while vpn < end:
        vpn = next_table(k, mm, vpn)
        if vpn >= end:
            break
        last = min(end, (vpn | (per_table - 1)) + 1)
        node = huge_table(k, mm, vpn)
        if node != 0 and last - vpn == per_table:
            zap_huge_pmd(k, mm, vpn, node)
            touched += 1
            vpn = last
            continue
        if node != 0:
            split_huge_page_pmd(k, mm, vpn, L_SYSCALL)
        slot = leaf_slot(k, mm, vpn)
        while vpn < last:
            entry = k.pt[slot]
            if entry != 0:
                set_pte(k, mm, vpn, slot, 0)
                if entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT:
                    page_unmapped(k, mm, v, vpn, entry)
                elif entry & PTE_SWAP != 0:
                    k.mm[mm, MM_SWAPENTS] -= 1
                    free_swap_and_cache(k, entry >> PTE_SHIFT)
                touched += 1
            vpn += 1
            slot += 1
    if touched > 0:
        flush_range(k, k.sc[SC_CPU], mm, start, end)
    return touched
