"""Finding the leaf entry of a virtual page:

the walk over page tables of any geometry, without its cost (that is `mmu`'s).
"""

from __future__ import annotations

from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_SHIFT, MAX_INDEX_BITS, SC_HUGE_BITS
from vmsim.struct.vmas import MM_PGD

# A table's entries follow its frame number and its count.  Offset 0 is the table of nothing: its entries are empty for
# ever, so a walk may go on through an absent table and ends at an empty entry.
NODE_ENTRIES = 2
END_OF_NOTHING = NODE_ENTRIES + (1 << MAX_INDEX_BITS)
NODE_COUNT = 1

# In a last-level table's count: the entry above it maps a huge page (or the huge zero page) in its place.  The table is the one that the
# kernel keeps ready for the day when the huge page is split (pgtable_trans_huge_deposit): its entries say where each page lies, and the
# first holds the bits of the one entry above, which the MMU reads and writes.
TABLE_HUGE = 1 << 32


@compiled
def table_index(k, level, vpn):
    """Index of the page `vpn` in the table of `level` (0: the top) that covers it."""
    return (vpn >> k.geo[G_SHIFT + level]) & ((1 << k.geo[G_BITS + level]) - 1)


@compiled
def leaf_table(k, mm, vpn):
    """Offset in `pt` of the last-level table that covers the page `vpn`; 0 if it, or a table above it, is absent.

    A table covers ``leaf_pages(k)`` pages, so a loop over consecutive pages asks again only where
    ``vpn & (leaf_pages(k) - 1)`` is 0.
    """
    pt, geo = k.pt, k.geo
    node = k.mm[mm, MM_PGD]
    level = 0
    last = geo[G_LEVELS] - 1
    while level < last and node != 0:
        node = pt[node + NODE_ENTRIES + ((vpn >> geo[G_SHIFT + level]) & ((1 << geo[G_BITS + level]) - 1))]
        level += 1
    return node


@compiled
def leaf_pages(k):
    """Pages that one last-level table covers, a power of two."""
    return 1 << k.geo[G_BITS + k.geo[G_LEVELS] - 1]


@compiled
def leaf_slot(k, mm, vpn):
    """Offset in `pt` of the leaf entry of the page `vpn`; 0 if some table on the way is absent (the entry itself may
    be empty).
    """
    node = leaf_table(k, mm, vpn)
    if node == 0:
        return 0
    return node + NODE_ENTRIES + (vpn & (leaf_pages(k) - 1))


@compiled
def huge_table(k, mm, vpn):
    """The last-level table that covers the page `vpn` if a huge page is mapped in its place, else 0 (pmd_trans_huge)."""
    if k.sc[SC_HUGE_BITS] == 0:
        return 0
    node = leaf_table(k, mm, vpn)
    return node if node != 0 and k.pt[node + NODE_COUNT] & TABLE_HUGE != 0 else 0


@compiled
def marks_slot(k, mm, vpn):
    """`leaf_slot`, but of the entry that holds the rights and marks: for a page of a huge page, the one of all of it."""
    node = huge_table(k, mm, vpn)
    return node + NODE_ENTRIES if node != 0 else leaf_slot(k, mm, vpn)
