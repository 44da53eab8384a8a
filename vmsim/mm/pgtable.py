"""Allocating and freeing page tables, and entries in them.   Follows mm/memory.c (pte_alloc, free_pgtables) of v4.4."""

from vmsim.hw.walk import NODE_ENTRIES, leaf_pages, table_index
from vmsim.mm.page_alloc import alloc_page, free_page
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_SHIFT, SC_PT_FREE, SC_PT_NEXT
from vmsim.struct.pages import P_FLAGS, PG_TABLE
from vmsim.struct.vmas import MM_NR_PMDS, MM_NR_PTES, MM_PGD
from vmsim.struct.vmstat import NR_PAGETABLE

NODE_PFN = 0
NODE_COUNT = 1


@compiled
def _table_alloc(k, level):
    """A zeroed table of `level`, backed by a frame; 0 when no frame is free."""
    pfn = alloc_page(k)
    if pfn == 0:
        return 0
    k.frame[pfn, P_FLAGS] |= PG_TABLE
    k.vmstat[NR_PAGETABLE] += 1
    node = k.sc[SC_PT_FREE + level]
    if node != 0:
        k.sc[SC_PT_FREE + level] = k.pt[node + NODE_COUNT]
        k.pt[node + NODE_COUNT] = 0
    else:
        node = k.sc[SC_PT_NEXT] + 8
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
def pgd_free(k, mm):
    """The top table goes with its address space."""
    _table_free(k, 0, k.mm[mm, MM_PGD])
    k.mm[mm, MM_PGD] = 0


@compiled
def pte_alloc(k, mm, vpn):
    """The slot of a page's entry, with the tables down to it made as needed; 0 when no frame is free for one."""
    last = k.geo[G_LEVELS] - 1
    node = k.mm[mm, MM_PGD]
    for level in range(last):
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
    return node + NODE_ENTRIES + table_index(k, last, vpn)


@compiled
def set_pte(k, mm, vpn, slot, entry):
    """Write the entry of a page and keep its table's count of used entries."""
    if (k.pt[slot] == 0) != (entry == 0):
        node = slot - NODE_ENTRIES - (vpn & (leaf_pages(k) - 1))
        k.pt[node + NODE_COUNT] += 1 if entry != 0 else -1
    k.pt[slot] = entry


@compiled
def next_table(k, mm, vpn):
    """The first page >= `vpn` that lies in a last-level table that is present, found by skipping absent tables whole.

    Gives a page beyond every table when there is none.
    """
    return _next_table_of(k, mm, k.geo[G_LEVELS] - 1, vpn)


@compiled
def _next_table_of(k, mm, last, vpn):
    """`next_table` for the tables of level `last`."""
    span_top = 1 << (k.geo[G_SHIFT] + k.geo[G_BITS])
    while vpn < span_top:
        node = k.mm[mm, MM_PGD]
        level = 0
        while level < last:
            node = k.pt[node + NODE_ENTRIES + table_index(k, level, vpn)]
            if node == 0:
                break
            level += 1
        if node != 0:
            return vpn
        span = 1 << k.geo[G_SHIFT + level]
        vpn = (vpn | (span - 1)) + 1
    return vpn


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
                _free_table_at(k, mm, level, vpn)
            vpn += span


@compiled
def free_all_pgtables(k, mm):
    """Free every table below the top one; all entries are empty.

    Level by level: an upper table may be empty already, when munmap freed what was below it or memory was out below it.
    """
    span_top = 1 << (k.geo[G_SHIFT] + k.geo[G_BITS])
    for level in range(k.geo[G_LEVELS] - 1, 0, -1):
        span = 1 << (k.geo[G_SHIFT + level] + k.geo[G_BITS + level])
        vpn = _next_table_of(k, mm, level, 0)
        while vpn < span_top:
            _free_table_at(k, mm, level, vpn)
            vpn = _next_table_of(k, mm, level, (vpn | (span - 1)) + 1)


@compiled
def _free_table_at(k, mm, level, vpn):
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
