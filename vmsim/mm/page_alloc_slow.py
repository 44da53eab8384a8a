"""Allocating a frame when memory is short.   Follows mm/page_alloc.c of v4.4 (__alloc_pages_slowpath; section C.4).

No function here waits.  Where the kernel would sleep or let time pass while it reclaims, `alloc_page` gives 0 and T_WAIT says what for; its
caller gives up with -EWAIT (a fault with EVENT_OOM), and the operation begins again from its restart point.
"""

from vmsim.mm.bio_page import blk_flush_plug
from vmsim.mm.kswapd import wakeup_kswapd
from vmsim.mm.oom_kill import out_of_memory
from vmsim.mm.page_alloc import alloc_page_fast, any_free_page, drain_all_pages, get_page_from_freelist, hold_page, release_page
from vmsim.mm.resched import charge_as_reclaim
from vmsim.mm.vmscan import RECLAIM_PAUSED, zone_reclaimable_pages
from vmsim.mm.vmscan_batch import finish_batch
from vmsim.mm.vmscan_direct import direct_reclaim_begin, do_try_to_free_pages, pfmemalloc_watermark_ok
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NOWAIT, SC_NR_NEW_BIOS, SC_NR_ZONES, SC_SPARE, SC_TASK
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import Z_FREE, Z_HIGH, Z_MIN, Z_RESERVE
from vmsim.struct.reclaim import MAX_RECLAIM_RETRIES, N_KSWAPD_ASLEEP, N_KSWAPD_TID, S_PROGRESS, S_RECLAIMED, S_WHOLE
from vmsim.struct.rules import R_RECLAIM_RETRIES
from vmsim.struct.tasks import (
    RECLAIMING,
    RECLAIMING_AHEAD,
    T_MEMDIE,
    T_NO_PROGRESS,
    T_RECLAIMING,
    T_WAIT,
    T_WAIT_ARG,
    WAIT_MEMORY,
    WAIT_QUEUE,
    WAIT_TIMER,
)
from vmsim.struct.vmstat import PGSCAN_DIRECT_THROTTLE
from vmsim.units import JIFFY_NS

ALLOC_WAITS = -1  # instead of a frame
_THROTTLE_NS = 1_000_000_000


@compiled
def alloc_page(k):
    """A frame for user memory, a page table or the page cache, or 0: the task must wait or go on reclaiming, as T_WAIT says."""
    if k.task[k.sc[SC_TASK], T_RECLAIMING] == 0 or k.sc[SC_NOWAIT] != 0:
        pfn = alloc_page_fast(k)
        if pfn != 0:
            return pfn
    pfn = _alloc_pages_slowpath(k)
    if pfn != 0:
        k.task[k.sc[SC_TASK], T_NO_PROGRESS] = 0
    return pfn


@compiled
def alloc_page_to_copy(k, pfn):
    """`alloc_page` for a copy of page `pfn`, which stays where it is."""
    held = hold_page(k, pfn)
    new = alloc_page(k)
    release_page(k, pfn, held)
    return new


@compiled
def alloc_page_noretry(k, waits):
    """A frame for a page that is read ahead: 0 where one round of direct reclaim brings none (__GFP_NORETRY).

    Where the caller `waits`, ALLOC_WAITS says that T_WAIT comes first, and that it then asks again.  Model: where it doesn't, the round
    ends where it has pages on their way to swap; waiting is left to who needs its page.
    """
    pfn = k.sc[SC_SPARE]
    if pfn != 0:
        k.sc[SC_SPARE] = 0
        return pfn
    tid = k.sc[SC_TASK]
    if k.task[tid, T_RECLAIMING] == RECLAIMING_AHEAD and waits:
        return _reclaim_once(k, tid)
    if k.task[tid, T_RECLAIMING] != 0:  # in the midst of reclaiming for the page that it needs
        return 0
    pfn = alloc_page_fast(k)
    if pfn != 0:
        return pfn
    if tid == 0 or k.node[N_KSWAPD_TID] == 0:
        return any_free_page(k)
    wakeup_kswapd(k)
    pfn = get_page_from_freelist(k, Z_MIN)
    if pfn != 0:
        return pfn
    if waits and _throttled(k):
        return ALLOC_WAITS
    if not pfmemalloc_watermark_ok(k):
        return 0
    if not waits:
        return _reclaim_at_once(k, tid)
    direct_reclaim_begin(k, tid)
    k.task[tid, T_RECLAIMING] = RECLAIMING_AHEAD
    return _reclaim_once(k, tid)


@compiled
def _round_pauses(k, tid):
    """Go on with a round of direct reclaim: whether it must stop before it is over, for what T_WAIT says."""
    freeing = k.led[L_FAULT]
    outcome = do_try_to_free_pages(k, tid)
    charge_as_reclaim(k, freeing)
    if outcome == RECLAIM_PAUSED:
        return True
    k.task[tid, T_RECLAIMING] = 0
    return False


@compiled
def _reclaim_once(k, tid):
    """One round of direct reclaim, and one more look at the free lists: a frame, 0, or ALLOC_WAITS."""
    if _round_pauses(k, tid):
        return ALLOC_WAITS
    return _look_again(k) if k.scan[tid, S_RECLAIMED] > 0 else 0


@compiled
def _look_again(k):
    """A frame after direct reclaim, if need be from the CPUs' lists; 0 if there is none."""
    pfn = get_page_from_freelist(k, Z_MIN)
    if pfn == 0:
        drain_all_pages(k)
        pfn = get_page_from_freelist(k, Z_MIN)
    return pfn


@compiled
def _reclaim_at_once(k, tid):
    """Direct reclaim as far as it goes without waiting for a device, and one more look at the free lists."""
    kind = k.task[tid, T_WAIT]
    argument = k.task[tid, T_WAIT_ARG]
    freeing = k.led[L_FAULT]
    direct_reclaim_begin(k, tid)
    k.scan[tid, S_WHOLE] = 1
    while do_try_to_free_pages(k, tid) == RECLAIM_PAUSED:
        if k.sc[SC_NR_NEW_BIOS] > 0 or k.task[tid, T_WAIT] == WAIT_QUEUE or k.task[tid, T_WAIT_ARG] > 0:
            break
    k.scan[tid, S_WHOLE] = 0
    blk_flush_plug(k, tid)
    charge_as_reclaim(k, freeing)
    k.task[tid, T_WAIT] = kind
    k.task[tid, T_WAIT_ARG] = argument
    return _look_again(k) if k.scan[tid, S_RECLAIMED] > 0 else 0


@compiled
def page_to_read_into(k):
    """Get a frame for the page that a task can't do without, as SC_SPARE; whether there is one. If not, T_WAIT says what to wait for."""
    k.sc[SC_SPARE] = alloc_page(k)
    return k.sc[SC_SPARE] != 0


@compiled
def _wait(k, kind, argument):
    tid = k.sc[SC_TASK]
    k.task[tid, T_WAIT] = kind
    k.task[tid, T_WAIT_ARG] = argument


@compiled
def _throttled(k):
    """Whether the task waits until kswapd has freed some before it reclaims (throttle_direct_reclaim)."""
    if pfmemalloc_watermark_ok(k) or k.node[N_KSWAPD_ASLEEP] != 0:
        return False
    k.vmstat[PGSCAN_DIRECT_THROTTLE] += 1
    _wait(k, WAIT_MEMORY, _THROTTLE_NS)
    return True


@compiled
def _alloc_pages_slowpath(k):
    tid = k.sc[SC_TASK]
    if tid == 0 or tid == k.node[N_KSWAPD_TID]:
        return any_free_page(k)
    if k.node[N_KSWAPD_TID] == 0:  # a bare kernel, without a machine around it
        pfn = any_free_page(k)
        if pfn == 0:
            _wait(k, WAIT_MEMORY, 0)
        return pfn
    wakeup_kswapd(k)
    if k.sc[SC_NOWAIT] != 0:
        return any_free_page(k)
    if k.task[tid, T_MEMDIE] != 0:
        pfn = any_free_page(k)
        if pfn == 0:
            _wait(k, WAIT_TIMER, JIFFY_NS)
        return pfn
    if k.task[tid, T_RECLAIMING] == 0:
        pfn = get_page_from_freelist(k, Z_MIN)
        if pfn != 0:
            return pfn
        if _throttled(k):
            return 0
        direct_reclaim_begin(k, tid)
        k.task[tid, T_RECLAIMING] = RECLAIMING
    return _reclaim_and_retry(k, tid)


@compiled
def reclaim_goes_on(k, tid):
    """Bring a batch to its end that a slice's end has split, before the task does anything else; whether it must stop again (T_WAIT)."""
    freeing = k.led[L_FAULT]
    stops = finish_batch(k, tid)
    charge_as_reclaim(k, freeing)
    return stops


@compiled
def should_reclaim_retry(k, tid, progress):
    """Whether direct reclaim is worth another try, after one that freed something or nothing (`progress`).

    Since 4.7 it isn't after 16 tries in a row that freed nothing, nor where no zone could meet its minimum if all its reclaimable pages
    were free.  Before, the reclaimer itself said whether a zone was reclaimable.
    """
    if k.rule[R_RECLAIM_RETRIES] == 0:
        return progress or k.scan[tid, S_PROGRESS] != 0
    k.task[tid, T_NO_PROGRESS] = 0 if progress else k.task[tid, T_NO_PROGRESS] + 1
    if k.task[tid, T_NO_PROGRESS] > MAX_RECLAIM_RETRIES:
        return False
    top = k.sc[SC_NR_ZONES] - 1
    for zone in range(top, -1, -1):
        if k.zone[zone, Z_FREE] + zone_reclaimable_pages(k, zone) > k.zone[zone, Z_MIN] + k.zone[zone, Z_RESERVE + top]:
            return True
    return False


@compiled
def _reclaim_and_retry(k, tid):
    """Direct reclaim, one more look at the free lists, and where nothing came of it, the OOM killer (__alloc_pages_direct_reclaim)."""
    if _round_pauses(k, tid):
        return 0
    pfn = _look_again(k)
    if pfn != 0:
        return pfn
    if should_reclaim_retry(k, tid, k.scan[tid, S_RECLAIMED] > 0):
        _wait(k, WAIT_TIMER, 0)
        return 0
    pfn = get_page_from_freelist(k, Z_HIGH)
    if pfn == 0:
        out_of_memory(k, tid)
        k.task[tid, T_NO_PROGRESS] = 0
        _wait(k, WAIT_TIMER, JIFFY_NS if k.task[tid, T_MEMDIE] == 0 else 0)
    return pfn
