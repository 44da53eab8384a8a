"""What later kernels weigh the lists by: what reclaim costs.   Follows mm/vmscan.c of v6.1 (prepare_scan_count, get_scan_count)."""

from vmsim.mm.vmscan_list import inactive_is_low
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_ZONES
from vmsim.struct.pages import LRU_ACTIVE_FILE, LRU_INACTIVE_ANON, LRU_INACTIVE_FILE, Z_FREE, Z_HIGH, Z_LRU
from vmsim.struct.reclaim import (
    N_ACTIVATED,
    N_COST,
    N_REFAULTS,
    S_CACHE_TRIM,
    S_FILE_TINY,
    S_FORCE_DEACTIVATE,
    S_MAY_DEACTIVATE,
    S_PRIORITY,
)


@compiled
def snapshot_refaults(k):
    """Reclaim ends: what comes back from now on says that the active lists are too long (snapshot_refaults)."""
    for file in range(2):
        k.node[N_REFAULTS + file] = k.node[N_ACTIVATED + file]


@compiled
def prepare_scan_count(k, s, lruvec):
    """Before a pass over the lists: which active ones may shrink, and whether file pages abound or are nearly gone (prepare_scan_count)."""
    may = 0
    for file in range(2):
        refaulted = k.node[N_REFAULTS + file] != k.node[N_ACTIVATED + file]
        if s[S_FORCE_DEACTIVATE] != 0 or refaulted or inactive_is_low(k, lruvec, file):
            may |= 1 << file
    s[S_MAY_DEACTIVATE] = may
    zone = k.zone[lruvec]
    trim = zone[Z_LRU + LRU_INACTIVE_FILE] >> s[S_PRIORITY] > 0 and may & 2 == 0
    s[S_CACHE_TRIM] = 1 if trim else 0
    free = zone[Z_LRU + LRU_ACTIVE_FILE] + zone[Z_LRU + LRU_INACTIVE_FILE]
    high = 0
    for i in range(k.sc[SC_NR_ZONES]):
        free += k.zone[i, Z_FREE]
        high += k.zone[i, Z_HIGH]
    tiny = free <= high and may & 1 == 0 and zone[Z_LRU + LRU_INACTIVE_ANON] >> s[S_PRIORITY] > 0
    s[S_FILE_TINY] = 1 if tiny else 0


@compiled
def cost_pressure(k, file, prio):
    """How strongly one kind of pages is scanned: by swappiness, and the less the more of the whole cost it has had."""
    total = k.node[N_COST] + k.node[N_COST + 1]
    return prio * (3 * total + 1) // (total + k.node[N_COST + file] + 1)
