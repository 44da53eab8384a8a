"""Page frames: which are free, and handing them out.   Follows mm/page_alloc.c of v4.4 (section C of the behaviour notes).

Frames that were never used are handed out upward from each zone's start; freed ones are taken again first, the last freed
first, as from the hot end of a per-CPU list.  Zones are tried from the highest down (the zonelist order of one node).
"""

from vmsim.struct.costs import C_ALLOC_PAGE, C_FREE_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_ZONES
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import (
    FRAME_COLUMNS,
    P_FLAGS,
    PG_INUSE,
    Z_END_PFN,
    Z_FREE,
    Z_NEXT_NEW,
    Z_NR_STACK,
    Z_START_PFN,
)
from vmsim.struct.vmstat import NR_FREE_PAGES, PGALLOC_DMA, PGFREE


@compiled
def zone_of(k, pfn):
    """The zone that a frame belongs to."""
    zone = k.sc[SC_NR_ZONES] - 1
    while pfn < k.zone[zone, Z_START_PFN]:
        zone -= 1
    return zone


@compiled
def alloc_page(k):
    """A frame for user memory or the page cache, or 0 when none is free; its columns are zero but for PG_INUSE."""
    k.led[L_FAULT] += k.cost[C_ALLOC_PAGE]
    for zone in range(k.sc[SC_NR_ZONES] - 1, -1, -1):
        if k.zone[zone, Z_FREE] > 0:
            return _take(k, zone)
    return 0


@compiled
def _take(k, zone):
    stacked = k.zone[zone, Z_NR_STACK]
    if stacked > 0:
        k.zone[zone, Z_NR_STACK] = stacked - 1
        pfn = k.free_stack[k.zone[zone, Z_START_PFN] + stacked - 1]
    else:
        pfn = k.zone[zone, Z_NEXT_NEW]
        k.zone[zone, Z_NEXT_NEW] = pfn + 1
    k.zone[zone, Z_FREE] -= 1
    k.frame[pfn, P_FLAGS] = PG_INUSE
    k.vmstat[NR_FREE_PAGES] -= 1
    k.vmstat[PGALLOC_DMA + zone] += 1
    return pfn


@compiled
def free_page(k, pfn):
    """Give a frame back that nothing refers to any more."""
    k.led[L_FAULT] += k.cost[C_FREE_PAGE]
    zone = zone_of(k, pfn)
    for column in range(FRAME_COLUMNS):
        k.frame[pfn, column] = 0
    k.free_stack[k.zone[zone, Z_START_PFN] + k.zone[zone, Z_NR_STACK]] = pfn
    k.zone[zone, Z_NR_STACK] += 1
    k.zone[zone, Z_FREE] += 1
    k.vmstat[NR_FREE_PAGES] += 1
    k.vmstat[PGFREE] += 1


@compiled
def zones_create(k, zone, start, end, managed):
    """Boot: a zone of the frames [start, end), of which `managed` are the allocator's and the rest the kernel's own."""
    k.zone[zone, Z_START_PFN] = start
    k.zone[zone, Z_END_PFN] = end
    k.zone[zone, Z_NEXT_NEW] = end - managed
    k.zone[zone, Z_FREE] = managed
    k.vmstat[NR_FREE_PAGES] += managed
