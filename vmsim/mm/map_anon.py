"""Mapping new anonymous pages, single and huge.   Follows mm/memory.c and mm/huge_memory.c of v4.4."""

from vmsim.hw.walk import NODE_COUNT, NODE_ENTRIES, TABLE_HUGE, leaf_pages
from vmsim.mm.pte import set_pte, write_pte
from vmsim.mm.rmap import page_add_rmap
from vmsim.mm.swap import lru_cache_add_active_or_unevictable
from vmsim.struct.costs import C_MAP_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import (
    P_FLAGS,
    P_INDEX,
    P_MAPPING,
    PG_ANON,
    PG_EXCLUSIVE,
    PG_SWAPBACKED,
    PG_UPTODATE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_YOUNG,
)
from vmsim.struct.vmas import MM_ANONPAGES, V_ANON, V_FLAGS, V_PGOFF, V_START


@compiled
def _to_vma(k, v, vpn, pfn):
    """A new frame becomes the anonymous page `vpn` of a VMA."""
    frame = k.frame
    frame[pfn, P_FLAGS] |= PG_ANON | PG_EXCLUSIVE | PG_SWAPBACKED | PG_UPTODATE
    frame[pfn, P_MAPPING] = k.vma[v, V_ANON] >> 1
    frame[pfn, P_INDEX] = k.vma[v, V_PGOFF] + vpn - k.vma[v, V_START]


@compiled
def map_anon_page(k, mm, v, vpn, slot, pfn, protection):
    """Map a new anonymous frame writable or not, dirty and young, and put it on its LRU list."""
    _to_vma(k, v, vpn, pfn)
    set_pte(k, mm, vpn, slot, pfn << PTE_SHIFT | PTE_PRESENT | PTE_YOUNG | PTE_DIRTY | protection)
    page_add_rmap(k, pfn, mm, vpn)
    k.mm[mm, MM_ANONPAGES] += 1
    k.led[L_FAULT] += k.cost[C_MAP_PAGE]
    lru_cache_add_active_or_unevictable(k, pfn, k.vma[v, V_FLAGS])


@compiled
def fill_huge_table(k, node, entry):
    """Let a last-level table stand for one entry above it that maps a huge page, whose first frame is `entry`'s."""
    for i in range(leaf_pages(k)):
        write_pte(k, node + NODE_ENTRIES + i, entry + (i << PTE_SHIFT))
    k.pt[node + NODE_COUNT] = leaf_pages(k) | TABLE_HUGE


@compiled
def map_huge_anon_page(k, mm, v, vpn, node, head, protection):
    """`map_anon_page` of a huge page at its first page `vpn`; `node` is the table in whose place it is mapped."""
    _to_vma(k, v, vpn, head)
    fill_huge_table(k, node, head << PTE_SHIFT | PTE_PRESENT | PTE_YOUNG | PTE_DIRTY | protection)
    page_add_rmap(k, head, mm, vpn)
    k.mm[mm, MM_ANONPAGES] += leaf_pages(k)
    k.led[L_FAULT] += k.cost[C_MAP_PAGE]
    lru_cache_add_active_or_unevictable(k, head, k.vma[v, V_FLAGS])
