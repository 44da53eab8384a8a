"""Booting: zones, LRU lists and scalars.   Follows mm/page_alloc.c (free_area_init_nodes, mem_init) of v4.4."""

from vmsim.mm.dirty_limits import wb_init, writeback_set_ratelimit
from vmsim.mm.page_alloc import zones_create
from vmsim.mm.swap import lru_init
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_KERNEL_PAGES, SC_NR_ZONES, SC_PAGEVEC
from vmsim.struct.ledger import NR_LEDGER
from vmsim.struct.pages import (
    P_FLAGS,
    PG_INUSE,
    PG_RESERVED,
    Z_FIRST_PFN,
    Z_FREE,
    Z_MANAGED,
    Z_NEXT_NEW,
    Z_PRESENT,
)
from vmsim.struct.vmstat import NR_FREE_PAGES


@entry
def add_zone(k, start, end, managed):
    """One more zone, above the others, of the frames [start, end); `managed` of them are the allocator's."""
    zone = k.sc[SC_NR_ZONES]
    zones_create(k, zone, start, end, managed)
    k.zone[zone, Z_MANAGED] = managed
    k.zone[zone, Z_PRESENT] = end - start
    k.zone[zone, Z_FIRST_PFN] = end - managed
    k.sc[SC_NR_ZONES] = zone + 1


@entry
def take_for_kernel(k, zone, pages):
    """The kernel itself takes so many frames of a zone before any program runs: slab, stacks, what it unpacked."""
    pages = min(pages, k.zone[zone, Z_FREE])
    for pfn in range(k.zone[zone, Z_NEXT_NEW], k.zone[zone, Z_NEXT_NEW] + pages):
        k.frame[pfn, P_FLAGS] = PG_INUSE | PG_RESERVED
    k.zone[zone, Z_NEXT_NEW] += pages
    k.zone[zone, Z_FREE] -= pages
    k.sc[SC_KERNEL_PAGES] += pages
    k.vmstat[NR_FREE_PAGES] -= pages


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


@entry
def boot_writeback(k, devices):
    """The dirty limits of the machine's memory, and devices whose speed is not known yet."""
    writeback_set_ratelimit(k)
    for device in range(devices):
        wb_init(k, device)
