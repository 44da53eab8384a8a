"""Allocating and freeing page tables, and entries in them.   Follows mm/memory.c (pte_alloc, free_pgtables) of v4.4."""

from vmsim.hw.walk import END_OF_NOTHING, NODE_COUNT, NODE_ENTRIES, table_index
from vmsim.mm.page_alloc import any_free_page, free_page
from vmsim.mm.page_alloc_slow import alloc_page
from vmsim.mm.pte import NODE_PFN, next_table, next_table_of
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_SHIFT, SC_PT_FREE, SC_PT_NEXT
from vmsim.struct.pages import P_FLAGS, PG_TABLE
from vmsim.struct.reclaim import FOR_TABLE, N_ALLOC_FOR
from vmsim.struct.vmas import MM_NR_PMDS, MM_NR_PTES, MM_PGD
from vmsim.struct.vmstat import NR_PAGETABLE


@compiled
def _table_alloc(k, level):
    """A zeroed table of `level`, backed by a frame; 0 when no frame is free."""
    pfn = alloc_page(k)
    if pfn == 0:
        k.node[N_ALLOC_FOR] = FOR_TABLE
        return 0
    return _table_in(k, level, pfn)


@compiled
def _table_in(k, level, pfn):
    """A zeroed table of `level` in a new frame."""
    k.frame[pfn, P_FLAGS] |= PG_TABLE
    k.vmstat[NR_PAGETABLE] += 1
    node = k.sc[SC_PT_FREE + level]
    if node != 0:
        k.sc[SC_PT_FREE + level] = k.pt[node + NODE_COUNT]
        k.pt[node + NODE_COUNT] = 0
    else:
        node = max(k.sc[SC_PT_NEXT], END_OF_NOTHING) + 8
        k.sc[SC_PT_NEXT] = node + NODE_ENTRIES + (1 << k.geo[G_BITS + level])
    k.pt[node + NODE_PFN] = pfn
    return node


@compiled
def _table_free(k, level, node):
    """Give an empty table back; its entries are all zero."""
    free_page(k, k.pt[node + NODE_PFN])
    k.vmstat[NR_PAGETABLE] -= 1
    k.pt[node + NODE_COUNT] = k.sc[SC_PT_FREE + level]
    k.sc[SC_PT_FREE + level] = node


@compiled
def pgd_alloc(k, mm):
    """The top table of a new address space; 0 when no frame is free."""
    k.mm[mm, MM_PGD] = _table_alloc(k, 0)
    return k.mm[mm, MM_PGD]


@compiled
def pgd_alloc_at_boot(k, mm):
    """The top table of an address space that a machine starts with; 0 when no frame is free. Nothing is reclaimed for it."""
    pfn = any_free_page(k)
    if pfn != 0:
        k.mm[mm, MM_PGD] = _table_in(k, 0, pfn)
    return k.mm[mm, MM_PGD]


@compiled
def pgd_free(k, mm):
    """The top table goes with its address space."""
    _table_free(k, 0, k.mm[mm, MM_PGD])
    k.mm[mm, MM_PGD] = 0


@compiled
def pte_alloc(k, mm, vpn):
    """The slot of a page's entry, with the tables down to it made as needed; 0 when no frame is free for one."""
    last = k.geo[G_LEVELS] - 1
    node = _table_alloc_down(k, mm, vpn, last)
    return node + NODE_ENTRIES + table_index(k, last, vpn) if node != 0 else 0


@compiled
def _table_alloc_down(k, mm, vpn, lowest):
    """The table of level `lowest` that covers a page, with those above it, made as needed; 0 when no frame is free for one."""
    last = k.geo[G_LEVELS] - 1
    node = k.mm[mm, MM_PGD]
    for level in range(lowest):
        index = node + NODE_ENTRIES + table_index(k, level, vpn)
        child = k.pt[index]
        if child == 0:
            child = _table_alloc(k, level + 1)
            if child == 0:
                return 0
            k.pt[index] = child
            k.pt[node + NODE_COUNT] += 1
            if level + 1 == last:
                k.mm[mm, MM_NR_PTES] += 1
            elif level + 2 == last:
                k.mm[mm, MM_NR_PMDS] += 1
        node = child
    return node


@compiled
def move_leaf_table(k, mm, vpn, to):
    """mremap moves the last-level table of page `vpn` to page `to`, where there is none; whether the tables above it could be made."""
    last = k.geo[G_LEVELS] - 1
    new = _table_alloc_down(k, mm, to, last - 1)
    if new == 0:
        return False
    old = k.mm[mm, MM_PGD]
    for level in range(last - 1):
        old = k.pt[old + NODE_ENTRIES + table_index(k, level, vpn)]
    index = old + NODE_ENTRIES + table_index(k, last - 1, vpn)
    k.pt[new + NODE_ENTRIES + table_index(k, last - 1, to)] = k.pt[index]
    k.pt[new + NODE_COUNT] += 1
    k.pt[index] = 0
    k.pt[old + NODE_COUNT] -= 1
    return True


@compiled
def free_pgtables(k, mm, start, end, floor, ceiling):
    """Free the tables of the unmapped range that lie wholly between its neighbours, [floor, ceiling)."""
    levels = k.geo[G_LEVELS]
    for level in range(levels - 1, 0, -1):
        span = 1 << (k.geo[G_SHIFT + level] + k.geo[G_BITS + level])
        vpn = start & ~(span - 1)
        while vpn < end:
            if level == levels - 1:
                vpn = max(vpn, next_table(k, mm, max(vpn, 0)) & ~(span - 1))
                if vpn >= end:
                    break
            if vpn >= floor and vpn + span <= ceiling:
                free_table_at(k, mm, level, vpn)
            vpn += span


@compiled
def free_all_pgtables(k, mm):
    """Free every table below the top one; all entries are empty.

    Level by level: an upper table may be empty already, when munmap freed what was below it or memory was out below it.
    """
    span_top = 1 << (k.geo[G_SHIFT] + k.geo[G_BITS])
    for level in range(k.geo[G_LEVELS] - 1, 0, -1):
        span = 1 << (k.geo[G_SHIFT + level] + k.geo[G_BITS + level])
        vpn = next_table_of(k, mm, level, 0)
        while vpn < span_top:
            free_table_at(k, mm, level, vpn)
            vpn = next_table_of(k, mm, level, (vpn | (span - 1)) + 1)


@compiled
def free_table_at(k, mm, level, vpn):
    """Free the table of `level` that covers `vpn`, if it is there and empty."""
    parent = k.mm[mm, MM_PGD]
    for above in range(level - 1):
        parent = k.pt[parent + NODE_ENTRIES + table_index(k, above, vpn)]
        if parent == 0:
            return
    index = parent + NODE_ENTRIES + table_index(k, level - 1, vpn)
    node = k.pt[index]
    if node == 0 or k.pt[node + NODE_COUNT] != 0:
        return
    k.pt[index] = 0
    k.pt[parent + NODE_COUNT] -= 1
    _table_free(k, level, node)
    last = k.geo[G_LEVELS] - 1
    if level == last:
        k.mm[mm, MM_NR_PTES] -= 1
    elif level + 1 == last:
        k.mm[mm, MM_NR_PMDS] -= 1
