"""Shrinking the LRU lists, batch by batch.   Follows mm/vmscan.c of v4.4 (shrink_inactive_list, shrink_active_list; section C.9)."""

from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.fs_writeback import wakeup_flusher_threads
from vmsim.mm.page_alloc import free_page
from vmsim.mm.swap import add_page_to_unevictable_list, is_file, lru_add, lru_add_drain, lru_del, sentinel_of
from vmsim.mm.vmscan_page import PAGE_ACTIVATE, PAGE_CULL, PAGE_FREED, give_up_swap_slot, reclaim_page
from vmsim.mm.vmscan_unmap import REFERENCED, SEEN_EXEC, page_referenced
from vmsim.mm.workingset import lru_note_cost
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
    P_PREV,
    PG_ACTIVE,
    PG_HEAD,
    PG_MLOCKED,
    PG_WORKINGSET,
    Z_FLAGS,
    Z_INACTIVE_AGE,
    Z_LRU,
    Z_PAGES_SCANNED,
    Z_RECENT_ROTATED,
    Z_RECENT_SCANNED,
    ZONE_DIRTY,
    ZONE_WRITEBACK,
)
from vmsim.struct.reclaim import (
    N_SWAP_TOTAL,
    S_ALL_FILE_TAKEN,
    S_ALL_TAKEN,
    S_ALL_UNQUEUED_DIRTY,
    S_ALL_WRITEBACK,
    S_BATCH,
    S_IMMEDIATE,
    S_IS_KSWAPD,
    S_MAY_DEACTIVATE,
    S_PAGEOUT,
    S_SKIPPED_DEACTIVATE,
    S_UNQUEUED_DIRTY,
    S_WRITEBACK,
    SWAP_CLUSTER_MAX,
)
from vmsim.struct.rules import R_FILE_INACTIVE_RATIO, R_LRU_COSTS, R_NODE_LRU
from vmsim.struct.vmstat import (
    PGACTIVATE,
    PGDEACTIVATE,
    PGREFILL_DMA,
    PGSCAN_ANON,
    PGSCAN_DIRECT_DMA,
    PGSCAN_KSWAPD_DMA,
    PGSTEAL_ANON,
    PGSTEAL_DIRECT_DMA,
    PGSTEAL_KSWAPD_DMA,
    UNEVICTABLE_PGCULLED,
)


@compiled
def _isolate(k, s, lruvec, lru, most):
    """Take up to `most` pages off the tail of a list into the batch, the oldest first (isolate_lru_pages).

    How many, and how many pages that is: a huge page is one that counts as many.
    """
    sentinel = sentinel_of(k, lruvec, lru)
    scanned = 0
    taken = 0
    while taken < most:
        pfn = k.frame[sentinel, P_PREV]
        if pfn == sentinel:
            break
        lru_del(k, pfn)
        s[S_BATCH + scanned] = pfn
        scanned += 1
        taken += hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
    return scanned, taken


@compiled
def putback(k, pfn):
    """An isolated page goes back to the head of its list, or to the unevictable one if it is mlocked (putback_lru_page)."""
    if k.frame[pfn, P_FLAGS] & PG_MLOCKED != 0:
        add_page_to_unevictable_list(k, pfn)
        k.vmstat[UNEVICTABLE_PGCULLED] += 1
    else:
        lru_add(k, pfn)


@compiled
def _age(k, lruvec, pfn):
    """A page that is active when it goes back ages those that were evicted (workingset_age_nonresident, 5.9 on)."""
    if k.rule[R_LRU_COSTS] != 0 and k.frame[pfn, P_FLAGS] & PG_ACTIVE != 0:
        k.zone[lruvec, Z_INACTIVE_AGE] += 1


@compiled
def _count_batch(k, s, file, taken):
    """What the batches of a pass over the node's lists have met together; dirty pages that nobody writes wake the flushers."""
    if s[S_UNQUEUED_DIRTY] == taken:
        wakeup_flusher_threads(k, 0)
    s[S_ALL_TAKEN] += taken
    s[S_ALL_WRITEBACK] += s[S_WRITEBACK]
    s[S_ALL_UNQUEUED_DIRTY] += s[S_UNQUEUED_DIRTY]
    if file != 0:
        s[S_ALL_FILE_TAKEN] += taken


@compiled
def _shrink_page(k, s, lruvec, file, pfn):
    """Reclaim an isolated page or put it back; 1 if it was freed."""
    outcome = reclaim_page(k, s, lruvec, pfn)
    if outcome == PAGE_FREED:
        free_page(k, pfn)
        return 1
    if outcome == PAGE_ACTIVATE:
        give_up_swap_slot(k, pfn, 0)
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        k.vmstat[PGACTIVATE] += 1
        k.zone[lruvec, Z_RECENT_ROTATED + file] += hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
    elif outcome == PAGE_CULL:
        give_up_swap_slot(k, pfn, 1)
    putback(k, pfn)
    _age(k, lruvec, pfn)
    return 0


@compiled
def shrink_inactive_list(k, s, lruvec, lru, nr_to_scan):
    """Reclaim from the tail of an inactive list: pages freed."""
    lru_add_drain(k)
    zone = k.zone[lruvec]
    file = 1 if lru == LRU_INACTIVE_FILE else 0
    scanned, taken = _isolate(k, s, lruvec, lru, nr_to_scan)
    zone[Z_PAGES_SCANNED] += scanned
    zone[Z_RECENT_SCANNED + file] += taken
    kswapd = s[S_IS_KSWAPD] != 0
    k.vmstat[(PGSCAN_KSWAPD_DMA if kswapd else PGSCAN_DIRECT_DMA) + lruvec] += scanned
    k.vmstat[PGSCAN_ANON + file] += scanned
    if taken == 0:
        return 0
    s[S_UNQUEUED_DIRTY] = 0
    s[S_WRITEBACK] = 0
    s[S_IMMEDIATE] = 0 if k.rule[R_NODE_LRU] == 0 else s[S_IMMEDIATE]
    s[S_PAGEOUT] = 0
    freed = 0
    for i in range(scanned):
        pfn = s[S_BATCH + i]
        parts = hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
        freed += _shrink_page(k, s, lruvec, file, pfn)
        if parts > 1 and k.frame[pfn, P_FLAGS] & PG_HEAD == 0:  # it was split for swap: its parts are isolated as it was
            for part in range(pfn + 1, pfn + parts):
                freed += _shrink_page(k, s, lruvec, file, part)
    k.vmstat[(PGSTEAL_KSWAPD_DMA if kswapd else PGSTEAL_DIRECT_DMA) + lruvec] += freed
    k.vmstat[PGSTEAL_ANON + file] += freed
    if k.rule[R_LRU_COSTS] != 0:
        lru_note_cost(k, lruvec, file, s[S_PAGEOUT])
    if k.rule[R_NODE_LRU] != 0:
        _count_batch(k, s, file, taken)
        return freed
    if s[S_WRITEBACK] == taken:
        zone[Z_FLAGS] |= ZONE_WRITEBACK
    if s[S_UNQUEUED_DIRTY] == taken:
        zone[Z_FLAGS] |= ZONE_DIRTY
    return freed


@compiled
def shrink_active_list(k, s, lruvec, lru, nr_to_scan):
    """Move pages from the tail of an active list to the inactive one, used or not; used program text stays active."""
    lru_add_drain(k)
    zone = k.zone[lruvec]
    file = 1 if lru == LRU_ACTIVE_FILE else 0
    scanned, taken = _isolate(k, s, lruvec, lru, nr_to_scan)
    zone[Z_PAGES_SCANNED] += scanned
    zone[Z_RECENT_SCANNED + file] += taken
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
        _age(k, lruvec, pfn)


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
def shrink_list(k, s, lruvec, lru, nr_to_scan):
    """One batch from any list: pages freed."""
    if lru == LRU_ACTIVE_ANON or lru == LRU_ACTIVE_FILE:
        file = 1 if lru == LRU_ACTIVE_FILE else 0
        if k.rule[R_LRU_COSTS] != 0 and s[S_MAY_DEACTIVATE] & 1 << file == 0:
            s[S_SKIPPED_DEACTIVATE] = 1
        elif k.rule[R_LRU_COSTS] != 0 or inactive_is_low(k, lruvec, file):
            shrink_active_list(k, s, lruvec, lru, nr_to_scan)
        return 0
    return shrink_inactive_list(k, s, lruvec, lru, nr_to_scan)


@compiled
def age_active_anon(k, s, lruvec):
    """Keep anonymous pages moving to the inactive list, where their use is seen (age_active_anon)."""
    if inactive_is_low(k, lruvec, 0):
        shrink_active_list(k, s, lruvec, LRU_ACTIVE_ANON, SWAP_CLUSTER_MAX)
