"""Writing page-table entries, and finding the tables that are there.   Follows arch/x86/include/asm/pgtable.h of v4.4."""

from vmsim.hw.lookahead import set_ready
from vmsim.hw.walk import NODE_COUNT, NODE_ENTRIES, leaf_pages, leaf_slot, table_index
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_SHIFT
from vmsim.struct.vmas import MM_PGD

NODE_PFN = 0


@compiled
def write_pte(k, slot, entry):
    """Write a leaf entry; what was known of the one before is forgotten."""
    k.pt[slot] = entry
    set_ready(k, slot, 0)


@compiled
def set_pte(k, mm, vpn, slot, entry):
    """Write the entry of a page and keep its table's count of used entries."""
    if (k.pt[slot] == 0) != (entry == 0):
        node = slot - NODE_ENTRIES - (vpn & (leaf_pages(k) - 1))
        k.pt[node + NODE_COUNT] += 1 if entry != 0 else -1
    write_pte(k, slot, entry)


@compiled
def next_table(k, mm, vpn):
    """The first page >= `vpn` that lies in a last-level table that is present, found by skipping absent tables whole.

    Gives a page beyond every table when there is none.
    """
    return next_table_of(k, mm, k.geo[G_LEVELS] - 1, vpn)


@compiled
def next_table_of(k, mm, last, vpn):
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
def next_entry(k, mm, vpn, slot, end):
    """The first page of [vpn, end) whose entry isn't empty, and its slot; or `end`.  `slot` is that of `vpn`, where it follows an entry
    found before, or 0.
    """
    per_table = leaf_pages(k)
    while vpn < end:
        if slot == 0 or vpn & (per_table - 1) == 0:
            vpn = next_table(k, mm, vpn)
            if vpn >= end:
                break
            slot = leaf_slot(k, mm, vpn)
        last = min(end, (vpn | (per_table - 1)) + 1)
        while vpn < last:
            if k.pt[slot] != 0:
                return vpn, slot
            vpn += 1
            slot += 1
        slot = 0
    return end, 0
