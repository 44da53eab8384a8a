"""Booting: zones, LRU lists and scalars.   Follows mm/page_alloc.c (free_area_init_nodes, mem_init) of v4.4."""

from vmsim.mm.page_alloc import zones_create
from vmsim.mm.swap import lru_init
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_NR_ZONES, SC_PAGEVEC
from vmsim.struct.ledger import NR_LEDGER


@entry
def add_zone(k, start, end, managed):
    """One more zone, above the others, of the frames [start, end); `managed` of them are the allocator's."""
    zone = k.sc[SC_NR_ZONES]
    zones_create(k, zone, start, end, managed)
    k.sc[SC_NR_ZONES] = zone + 1


@entry
def finish_boot(k):
    """The lists are empty, and what booting would have cost is charged to nobody."""
    lru_init(k)
    k.sc[SC_PAGEVEC] = 1  # what ran before left pages there
    clear_ledger(k)


@entry
def clear_ledger(k):
    """Forget what was charged outside a slice."""
    for column in range(NR_LEDGER):
        k.led[column] = 0
