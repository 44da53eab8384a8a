"""Shrinking the active LRU lists.   Follows mm/vmscan.c of v4.4 (shrink_active_list; section C.9)."""

from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.swap import is_file, lru_add, lru_add_drain
from vmsim.mm.vmscan_batch import age_nonresident, isolate_lru_pages, putback
from vmsim.mm.vmscan_unmap import REFERENCED, SEEN_EXEC, page_referenced
from vmsim.struct.bits import isqrt
from vmsim.struct.costs import C_RECLAIM_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import (
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    P_FLAGS,
    PG_ACTIVE,
    PG_MLOCKED,
    PG_WORKINGSET,
    Z_LRU,
    Z_RECENT_ROTATED,
)
from vmsim.struct.reclaim import (
    N_SWAP_TOTAL,
    S_BATCH,
    S_MAY_DEACTIVATE,
    S_SKIPPED_DEACTIVATE,
    SWAP_CLUSTER_MAX,
)
from vmsim.struct.rules import R_FILE_INACTIVE_RATIO, R_LRU_COSTS
from vmsim.struct.vmstat import (
    PGDEACTIVATE,
    PGREFILL_DMA,
)


@compiled
def shrink_active_list(k, s, lruvec, lru, nr_to_scan):
    """Move pages from the tail of an active list to the inactive one, used or not; used program text stays active."""
    lru_add_drain(k)
    zone = k.zone[lruvec]
    file = 1 if lru == LRU_ACTIVE_FILE else 0
    scanned, _ = isolate_lru_pages(k, s, lruvec, lru, nr_to_scan)
    k.vmstat[PGREFILL_DMA + lruvec] += scanned
    for i in range(scanned):
        pfn = s[S_BATCH + i]
        k.led[L_RECLAIM] += k.cost[C_RECLAIM_PAGE]
        if k.frame[pfn, P_FLAGS] & PG_MLOCKED != 0:
            putback(k, pfn)
            continue
        seen = page_referenced(k, pfn)
        stays = False
        if seen & REFERENCED != 0:
            zone[Z_RECENT_ROTATED + file] += hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
            stays = seen & SEEN_EXEC != 0 and is_file(k.frame[pfn, P_FLAGS]) == 1
        if not stays:
            k.frame[pfn, P_FLAGS] = k.frame[pfn, P_FLAGS] & ~PG_ACTIVE | PG_WORKINGSET
            k.vmstat[PGDEACTIVATE] += hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
        lru_add(k, pfn)
        age_nonresident(k, lruvec, pfn)


@compiled
def inactive_is_low(k, lruvec, file):
    """Whether the inactive list is so short that the active one is scanned (inactive_anon_is_low, inactive_file_is_low).

    For anonymous pages the ratio is sqrt(10 x GiB of the two lists together), at least 1 (mem_cgroup_inactive_anon_is_low).
    """
    zone = k.zone[lruvec]
    if file != 0 and k.rule[R_FILE_INACTIVE_RATIO] == 0:
        return zone[Z_LRU + LRU_ACTIVE_FILE] > zone[Z_LRU + LRU_INACTIVE_FILE]
    if file == 0 and k.node[N_SWAP_TOTAL] == 0:
        return False
    inactive = zone[Z_LRU + (LRU_INACTIVE_FILE if file != 0 else LRU_INACTIVE_ANON)]
    active = zone[Z_LRU + (LRU_ACTIVE_FILE if file != 0 else LRU_ACTIVE_ANON)]
    gib = (inactive + active) >> (30 - k.geo[G_PAGE_SHIFT])
    ratio = isqrt(10 * gib) if gib > 0 else 1
    return inactive * ratio < active


@compiled
def shrink_active(k, s, lruvec, lru, nr_to_scan):
    """One batch from an active list, if it may shrink (shrink_list)."""
    file = 1 if lru == LRU_ACTIVE_FILE else 0
    if k.rule[R_LRU_COSTS] != 0 and s[S_MAY_DEACTIVATE] & 1 << file == 0:
        s[S_SKIPPED_DEACTIVATE] = 1
    elif k.rule[R_LRU_COSTS] != 0 or inactive_is_low(k, lruvec, file):
        shrink_active_list(k, s, lruvec, lru, nr_to_scan)


@compiled
def age_active_anon(k, s, lruvec):
    """Keep anonymous pages moving to the inactive list, where their use is seen (age_active_anon)."""
    if inactive_is_low(k, lruvec, 0):
        shrink_active_list(k, s, lruvec, LRU_ACTIVE_ANON, SWAP_CLUSTER_MAX)
