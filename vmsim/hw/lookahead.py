"""Looking ahead of the access loop: where the leaf entries of the accesses to come stand, asked of the host's cache before they are used.

What is asked for is the bits that `ready` has for an entry.  The entry itself, which is needed where that says nothing, comes later.
Where even these are too many for the host's caches, the entries are asked for, and the bits left alone.
"""

from __future__ import annotations

from vmsim.hw.walk import NODE_COUNT, NODE_ENTRIES, TABLE_HUGE
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_SHIFT
from vmsim.struct.pages import READY_BITS, READY_LOW, READY_MASK, READY_SHIFT
from vmsim.struct.ways import inlined, prefetch

FETCHED = 64  # leaf slots that are noted, in a ring


@inlined
def ready_of(k, slot):
    """What is known of the entry at `slot` (READY_*), in the lowest bits; those above are other entries'."""
    return k.ready[slot >> READY_SHIFT] >> (slot & READY_LOW) * READY_BITS


@inlined
def set_ready(k, slot, known):
    """Note what is known of the entry at `slot`, one of READY_*, or 0 for nothing."""
    shift = (slot & READY_LOW) * READY_BITS
    byte = int(k.ready[slot >> READY_SHIFT]) & ~(READY_MASK << shift) | known << shift
    k.ready[slot >> READY_SHIFT] = (byte + 128 & 255) - 128  # a signed byte


@inlined
def look_at(k, slots, first, last):
    """Ask for the entries of the accesses first..last - 1 of which nothing is known yet."""
    for i in range(first, last):
        slot = max(slots[i & (FETCHED - 1)], -slots[i & (FETCHED - 1)])
        if ready_of(k, slot) & READY_MASK == 0:
            prefetch(k.pt, slot)


def lookahead_for(geo, huge):
    """The parts of the access loop that look ahead, for the geometry that `geo(k, column)` gives; `huge`: with huge pages as well.

    `is_beyond` says whether a page is out of reach of all tables, `below` gives the table under another, `find` and `fetch` note slots.
    """

    @inlined
    def entry_slot(k, node, level, vpn):
        """Where the entry for `vpn` stands of `node`, a table of `level`."""
        return node + NODE_ENTRIES + ((vpn >> geo(k, G_SHIFT + level)) & ((1 << geo(k, G_BITS + level)) - 1))

    @inlined
    def below(k, node, level, vpn):
        """The table below `node`, a table of `level`, that covers `vpn`; 0 (the table of nothing) if there is none."""
        return k.pt[entry_slot(k, node, level, vpn)]

    @inlined
    def is_beyond(k, vpn):
        """Whether a page lies outside what the page tables can map."""
        return vpn >> (geo(k, G_SHIFT) + geo(k, G_BITS)) != 0

    @inlined
    def keep(k, slots, i, node, slot):
        """Note the leaf slot of access i, in the table `node`; that of the entry for a huge page is negative."""
        slots[i & (FETCHED - 1)] = slot
        if huge and k.pt[node + NODE_COUNT] & TABLE_HUGE != 0:
            slots[i & (FETCHED - 1)] = -(node + NODE_ENTRIES)

    @inlined
    def find(k, pgd, buffer, slots, first, last, levels):
        """Find the slots of the entries at level `levels` of the walks of the accesses first..last - 1, and ask the
        host's cache for these entries.

        Where there is no table, the slot is one of the table of nothing.  Returns `last`, or the first access to a page
        beyond all page tables.
        """
        top_shift = geo(k, G_SHIFT)
        top, second = -1, pgd
        for i in range(first, last):
            vpn = buffer[i] >> 1
            if vpn >> top_shift != top:
                if is_beyond(k, vpn):
                    return i
                top = vpn >> top_shift
                if levels > 0:
                    second = below(k, pgd, 0, vpn)
            node = second
            for level in range(1, levels):
                node = below(k, node, level, vpn)
            slot = entry_slot(k, node, levels, vpn)
            if levels == geo(k, G_LEVELS) - 1:
                keep(k, slots, i, node, slot)
                prefetch(k.ready, slot >> READY_SHIFT + 3)
            else:
                slots[i & (FETCHED - 1)] = slot
                prefetch(k.pt, slot)
        return last

    @inlined
    def fetch(k, buffer, slots, first, last):
        """Go on from the entries that `find` found one level above to the leaf entries of the accesses first..last - 1."""
        leaf = geo(k, G_LEVELS) - 1
        for i in range(first, last):
            node = k.pt[slots[i & (FETCHED - 1)]]
            slot = entry_slot(k, node, leaf, buffer[i] >> 1)
            keep(k, slots, i, node, slot)
            prefetch(k.pt, slot)
        return last

    return is_beyond, below, find, fetch
