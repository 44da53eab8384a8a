"""One batch from an inactive list, page by page.   Follows mm/vmscan.c of v4.4 (shrink_inactive_list, shrink_page_list; section C.9).

The pages of a batch are on no list until all of them have been looked at.  Time passes meanwhile: what a device finishes to write
then isn't moved to the end of its list, as it is on none, and goes back to the head with the others.  So a batch can stop after any of
its pages; its row of `scan` says where.
"""

from vmsim.mm.bio_page import blk_flush_plug, queue_full
from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.fs_writeback import wakeup_flusher_threads
from vmsim.mm.page_alloc import free_page, zone_of
from vmsim.mm.resched import elapsed_ns
from vmsim.mm.swap import add_page_to_unevictable_list, lru_add, lru_add_drain, lru_del, sentinel_of
from vmsim.mm.vmscan_page import PAGE_ACTIVATE, PAGE_CULL, PAGE_FREED, give_up_swap_slot, reclaim_page
from vmsim.mm.vmscan_unmap import try_to_unmap_flush
from vmsim.mm.workingset import lru_note_cost
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_DEADLINE, SC_HUGE_BITS, SC_NR_CPUS, SC_NR_NEW_BIOS, SC_PLUG
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import (
    LRU_INACTIVE_FILE,
    P_FLAGS,
    P_PREV,
    PG_ACTIVE,
    PG_HEAD,
    PG_INUSE,
    PG_ISOLATED,
    PG_MLOCKED,
    Z_FLAGS,
    Z_INACTIVE_AGE,
    Z_ISOLATED,
    Z_PAGES_SCANNED,
    Z_RECENT_ROTATED,
    Z_RECENT_SCANNED,
    ZONE_DIRTY,
    ZONE_WRITEBACK,
)
from vmsim.struct.reclaim import (
    BLK_MAX_REQUEST_COUNT,
    N_SWAP_AREAS,
    S_ALL_FILE_TAKEN,
    S_ALL_TAKEN,
    S_ALL_UNQUEUED_DIRTY,
    S_ALL_WRITEBACK,
    S_BATCH,
    S_BATCH_LRU,
    S_BATCH_NEXT,
    S_BATCH_PAGES,
    S_BATCH_TAKEN,
    S_FREED_PARTS,
    S_IMMEDIATE,
    S_IS_KSWAPD,
    S_LRU_RECLAIMED,
    S_OUTCOME,
    S_PAGEOUT,
    S_UNQUEUED_DIRTY,
    S_WHOLE,
    S_WRITEBACK,
    S_ZONE,
)
from vmsim.struct.rules import R_LRU_COSTS, R_LRU_GEN, R_NODE_LRU
from vmsim.struct.swaps import SW_DEVICE
from vmsim.struct.tasks import T_WAIT, T_WAIT_ARG, WAIT_QUEUE, WAIT_TIMER
from vmsim.struct.vmstat import (
    NR_ISOLATED_ANON,
    PGACTIVATE,
    PGSCAN_ANON,
    PGSCAN_DIRECT_DMA,
    PGSCAN_KSWAPD_DMA,
    PGSTEAL_ANON,
    PGSTEAL_DIRECT_DMA,
    PGSTEAL_KSWAPD_DMA,
    UNEVICTABLE_PGCULLED,
)

PLUGGED = BLK_MAX_REQUEST_COUNT - 1  # requests that a pass over the lists of a zone gathers before they are started

_DROPPED = PG_INUSE | PG_ISOLATED  # all that is left of a page that was freed while a reclaimer had it


@compiled
def isolate_lru_pages(k, s, lruvec, lru, most):
    """Take up to `most` pages off the tail of a list into the batch, the oldest first, and count them as scanned (isolate_lru_pages).

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
    k.zone[lruvec, Z_PAGES_SCANNED] += scanned
    k.zone[lruvec, Z_RECENT_SCANNED + (1 if lru >= LRU_INACTIVE_FILE else 0)] += taken
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
def age_nonresident(k, lruvec, pfn):
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
def _set_isolated(k, pfn, file, change):
    k.zone[zone_of(k, pfn), Z_ISOLATED + file] += change
    k.vmstat[NR_ISOLATED_ANON + file] += change


@compiled
def begin_batch(k, s, lruvec, lru, nr_to_scan):
    """Isolate a batch from the tail of an inactive list."""
    lru_add_drain(k)
    file = 1 if lru == LRU_INACTIVE_FILE else 0
    scanned, taken = isolate_lru_pages(k, s, lruvec, lru, nr_to_scan)
    k.vmstat[(PGSCAN_KSWAPD_DMA if s[S_IS_KSWAPD] != 0 else PGSCAN_DIRECT_DMA) + lruvec] += scanned
    k.vmstat[PGSCAN_ANON + file] += scanned
    s[S_BATCH_TAKEN] = scanned
    s[S_BATCH_PAGES] = taken
    s[S_FREED_PARTS] = 0
    s[S_BATCH_NEXT] = 0
    s[S_BATCH_LRU] = lru
    if taken == 0:
        return
    for i in range(scanned):
        k.frame[s[S_BATCH + i], P_FLAGS] |= PG_ISOLATED
        _set_isolated(k, s[S_BATCH + i], file, 1)
    s[S_UNQUEUED_DIRTY] = 0
    s[S_WRITEBACK] = 0
    s[S_IMMEDIATE] = 0 if k.rule[R_NODE_LRU] == 0 else s[S_IMMEDIATE]
    s[S_PAGEOUT] = 0


@compiled
def full_queue(k):
    """The device of a swap area whose queue is full, -1: none."""
    for area in range(k.node[N_SWAP_AREAS]):
        if queue_full(k, k.swap[area, SW_DEVICE]):
            return k.swap[area, SW_DEVICE]
    return -1


@compiled
def slice_used(k):
    """Whether a reclaimer's slice is used up. Model: with one CPU the time of its requests isn't counted; nobody else would use it."""
    return (k.led[L_RECLAIM] if k.sc[SC_NR_CPUS] == 1 else elapsed_ns(k)) >= k.sc[SC_DEADLINE]


@compiled
def _stops(k, s):
    """Whether a batch stops after a page: its slice is used up, requests are to be started, or the next would find no room in a queue.

    Model: not where there is one CPU, which does nothing else before the batch is done; nor where there are huge pages.
    """
    if s[S_WHOLE] != 0 or k.sc[SC_NR_CPUS] == 1 or k.sc[SC_HUGE_BITS] != 0:
        return False
    return slice_used(k) or k.sc[SC_NR_NEW_BIOS] > 0 or full_queue(k) >= 0


@compiled
def _shrink_page(k, s, lruvec, file, pfn):
    """Look at one isolated page: what becomes of it (PAGE_*)."""
    outcome = reclaim_page(k, s, lruvec, pfn)
    if outcome == PAGE_ACTIVATE:
        give_up_swap_slot(k, pfn, 0)
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        k.vmstat[PGACTIVATE] += 1
        k.zone[lruvec, Z_RECENT_ROTATED + file] += hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
    elif outcome == PAGE_CULL:
        give_up_swap_slot(k, pfn, 1)
    return outcome


@compiled
def _part_with(k, lruvec, pfn, outcome):
    """Free an isolated page or put it back; 1 if it was freed."""
    if outcome == PAGE_FREED:
        free_page(k, pfn)
        return 1
    putback(k, pfn)
    age_nonresident(k, lruvec, pfn)
    return 0


@compiled
def shrink_page_list(k, s, lruvec):
    """Look at the pages of the batch one by one; whether all have been. If not, call again."""
    taken = s[S_BATCH_TAKEN]
    file = 1 if s[S_BATCH_LRU] == LRU_INACTIVE_FILE else 0
    for i in range(s[S_BATCH_NEXT], taken):
        pfn = s[S_BATCH + i]
        parts = hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
        s[S_OUTCOME + i] = PAGE_FREED
        if k.frame[pfn, P_FLAGS] != _DROPPED:
            s[S_OUTCOME + i] = _shrink_page(k, s, lruvec, file, pfn)
        if parts > 1 and k.frame[pfn, P_FLAGS] & PG_HEAD == 0:  # it was split for swap: its parts are isolated as it was
            for part in range(pfn + 1, pfn + parts):
                k.frame[part, P_FLAGS] &= ~PG_ISOLATED
                s[S_FREED_PARTS] += _part_with(k, lruvec, part, _shrink_page(k, s, lruvec, file, part))
        s[S_BATCH_NEXT] = i + 1
        if i + 1 < taken and _stops(k, s):
            return False
    return True


@compiled
def end_batch(k, s, lruvec):
    """Free what can be of the batch, and put the rest back: pages freed."""
    try_to_unmap_flush(k, s, 0)
    zone = k.zone[lruvec]
    taken = s[S_BATCH_PAGES]
    file = 1 if s[S_BATCH_LRU] == LRU_INACTIVE_FILE else 0
    freed = s[S_FREED_PARTS]
    for i in range(s[S_BATCH_TAKEN]):
        pfn = s[S_BATCH + i]
        _set_isolated(k, pfn, file, -1)
        dropped = k.frame[pfn, P_FLAGS] == _DROPPED
        k.frame[pfn, P_FLAGS] &= ~PG_ISOLATED
        if dropped:
            free_page(k, pfn)
        else:
            freed += _part_with(k, lruvec, pfn, s[S_OUTCOME + i])
    s[S_BATCH_TAKEN] = 0
    k.vmstat[(PGSTEAL_KSWAPD_DMA if s[S_IS_KSWAPD] != 0 else PGSTEAL_DIRECT_DMA) + lruvec] += freed
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
def plugs(k):
    """Whether a reclaimer holds requests back in a plug of its own. Model: with one CPU, and where pages have generations, the end of its
    slice stands for that.
    """
    return 1 if k.sc[SC_NR_CPUS] > 1 and k.rule[R_LRU_GEN] == 0 else 0


@compiled
def unplugged(k):
    """Requests that a reclaimer has made when it stops to have them started: with a plug, any that the plug has let go."""
    return 0 if plugs(k) != 0 else PLUGGED


@compiled
def must_pause(k, tid, plugged):
    """Whether reclaim must stop here for a moment: T_WAIT says what for.

    More requests than `plugged` are to be started, its slice is used up, or the queue of a swap device is full.
    """
    if k.sc[SC_NR_NEW_BIOS] > plugged or slice_used(k):
        k.task[tid, T_WAIT] = WAIT_TIMER
        k.task[tid, T_WAIT_ARG] = 0
        return True
    device = full_queue(k)
    if device < 0:
        return False
    blk_flush_plug(k, tid)
    k.task[tid, T_WAIT] = WAIT_QUEUE
    k.task[tid, T_WAIT_ARG] = device
    return True


@compiled
def finish_batch(k, tid):
    """A task goes on with the batch that it was in when its slice ended, whatever it does next; whether it must stop again (T_WAIT)."""
    s = k.scan[tid]
    while s[S_BATCH_TAKEN] > 0:
        k.sc[SC_PLUG] = plugs(k)
        whole = shrink_page_list(k, s, s[S_ZONE])
        k.sc[SC_PLUG] = 0
        if whole:
            s[S_LRU_RECLAIMED] += end_batch(k, s, s[S_ZONE])
        elif must_pause(k, tid, unplugged(k)):
            return True
    return False
