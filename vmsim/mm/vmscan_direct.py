"""Direct reclaim: a task that finds no memory frees some by itself.   Follows mm/vmscan.c of v4.4 (section C.7), and of v6.1 by rules."""

from vmsim.mm.fs_writeback import wakeup_flusher_threads
from vmsim.mm.shrinker import shrink_slab_of_pass
from vmsim.mm.vmscan import (
    RECLAIM_DONE,
    RECLAIM_PAUSED,
    SHRINK_DONE,
    SHRINK_STALLED,
    isolated_wait,
    nr_lruvecs,
    shrink_lruvec_begin,
    shrink_lruvec_end,
    shrink_lruvec_step,
    throttle_vm_writeout,
    zone_reclaimable,
    zone_reclaimable_pages,
)
from vmsim.mm.vmscan_batch import must_pause, unplugged
from vmsim.mm.vmscan_cost import snapshot_refaults
from vmsim.struct.costs import C_RECLAIM_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_ZONES
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import Z_FREE, Z_MIN
from vmsim.struct.reclaim import (
    DEF_PRIORITY,
    MAX_RECLAIM_RETRIES,
    N_KSWAPD_FAILURES,
    PASS_OVER,
    S_FORCE_DEACTIVATE,
    S_IN_ZONE,
    S_IS_KSWAPD,
    S_LRU_RECLAIMED,
    S_MAY_WRITEPAGE,
    S_PRIORITY,
    S_PROGRESS,
    S_RECLAIMED,
    S_SCANNED,
    S_SKIPPED_DEACTIVATE,
    S_STAGE,
    S_TO_RECLAIM,
    S_TOTAL_SCANNED,
    S_ZONE,
    STAGE_NONE,
    STAGE_PASS,
    SWAP_CLUSTER_MAX,
)
from vmsim.struct.rules import R_NODE_LRU, R_RECLAIM_RETRIES
from vmsim.struct.tasks import T_WAIT, T_WAIT_ARG, WAIT_TIMER
from vmsim.struct.vmstat import ALLOCSTALL, NR_FILE_DIRTY, NR_WRITEBACK
from vmsim.units import JIFFY_NS


@compiled
def pfmemalloc_watermark_ok(k):
    """Whether free memory is above half of the minimum watermarks; below, who allocates waits for kswapd.

    Only zones with pages that could be reclaimed count: for the others there is nothing to wait for; later neither where kswapd gave up
    (allow_direct_reclaim).
    """
    if k.rule[R_RECLAIM_RETRIES] != 0 and k.node[N_KSWAPD_FAILURES] >= MAX_RECLAIM_RETRIES:
        return True
    free = 0
    reserve = 0
    for zone in range(k.sc[SC_NR_ZONES]):
        if zone_reclaimable_pages(k, zone) == 0:
            continue
        free += k.zone[zone, Z_FREE]
        reserve += k.zone[zone, Z_MIN]
    return reserve == 0 or free > reserve // 2


@compiled
def direct_reclaim_begin(k, tid):
    """A task begins to reclaim for itself (try_to_free_pages)."""
    s = k.scan[tid]
    k.vmstat[ALLOCSTALL] += 1
    s[S_STAGE] = STAGE_PASS
    s[S_PRIORITY] = DEF_PRIORITY
    s[S_TO_RECLAIM] = SWAP_CLUSTER_MAX
    s[S_RECLAIMED] = 0
    s[S_SCANNED] = 0
    s[S_TOTAL_SCANNED] = 0
    s[S_MAY_WRITEPAGE] = 1
    s[S_PROGRESS] = 0
    s[S_FORCE_DEACTIVATE] = 0
    s[S_SKIPPED_DEACTIVATE] = 0
    s[S_IS_KSWAPD] = 0
    s[S_IN_ZONE] = 0
    s[S_ZONE] = nr_lruvecs(k) - 1


@compiled
def _shrink_zones(k, tid, s):
    """Shrink every zone once at the present priority; RECLAIM_PAUSED in between."""
    while s[S_ZONE] >= 0:
        lruvec = s[S_ZONE]
        if s[S_IN_ZONE] == 0:
            if s[S_PRIORITY] != DEF_PRIORITY and k.rule[R_RECLAIM_RETRIES] == 0 and not zone_reclaimable(k, lruvec):
                s[S_ZONE] -= 1
                continue
            shrink_lruvec_begin(k, s, lruvec)
        if s[S_IN_ZONE] != PASS_OVER:
            step = shrink_lruvec_step(k, s, lruvec)
            while step != SHRINK_DONE:
                if step == SHRINK_STALLED:
                    isolated_wait(k, tid)
                    return RECLAIM_PAUSED
                if must_pause(k, tid, unplugged(k)):
                    return RECLAIM_PAUSED
                step = shrink_lruvec_step(k, s, lruvec)
            if s[S_LRU_RECLAIMED] > 0 or zone_reclaimable(k, lruvec):
                s[S_PROGRESS] = 1
            shrink_lruvec_end(k, s, lruvec)
        if throttle_vm_writeout(k, tid):
            return RECLAIM_PAUSED
        s[S_IN_ZONE] = 0
        if shrink_slab_of_pass(k, s, lruvec) > 0:
            s[S_PROGRESS] = 1
        s[S_ZONE] -= 1
        if s[S_ZONE] >= 0 and must_pause(k, tid, unplugged(k)):
            return RECLAIM_PAUSED
    return RECLAIM_DONE


@compiled
def skip_throttle_noprogress(k):
    """Whether direct reclaim that gets nowhere goes on at once: kswapd gave up, or few of the pages wait for a device."""
    reclaimable = 0
    for zone in range(k.sc[SC_NR_ZONES]):
        reclaimable += zone_reclaimable_pages(k, zone)
    pending = k.vmstat[NR_FILE_DIRTY] + k.vmstat[NR_WRITEBACK]
    return k.node[N_KSWAPD_FAILURES] >= MAX_RECLAIM_RETRIES or 2 * pending <= reclaimable


@compiled
def _throttled(k, tid, s):
    """Whether the task sleeps a jiffy now, before the last pass: nothing was reclaimed so far (consider_reclaim_throttle).

    Model: nobody wakes it earlier because he had more success.
    """
    if k.rule[R_RECLAIM_RETRIES] == 0 or s[S_PRIORITY] > 0 or s[S_RECLAIMED] > 0 or skip_throttle_noprogress(k):
        return False
    k.task[tid, T_WAIT] = WAIT_TIMER
    k.task[tid, T_WAIT_ARG] = JIFFY_NS
    return True


@compiled
def do_try_to_free_pages(k, tid):
    """Reclaim with rising effort until 32 pages are freed; RECLAIM_PAUSED: call again. S_RECLAIMED and S_PROGRESS say what came of it."""
    s = k.scan[tid]
    while True:
        if _shrink_zones(k, tid, s) == RECLAIM_PAUSED:
            return RECLAIM_PAUSED
        s[S_TOTAL_SCANNED] += s[S_SCANNED]
        s[S_SCANNED] = 0
        if k.rule[R_NODE_LRU] == 0 and s[S_TOTAL_SCANNED] > SWAP_CLUSTER_MAX * 3 // 2 and k.vmstat[NR_FILE_DIRTY] > 0:
            wakeup_flusher_threads(k, s[S_TOTAL_SCANNED])
        s[S_ZONE] = nr_lruvecs(k) - 1
        if s[S_RECLAIMED] >= s[S_TO_RECLAIM] or s[S_PRIORITY] == 0:
            snapshot_refaults(k)
            if s[S_RECLAIMED] == 0 and s[S_SKIPPED_DEACTIVATE] != 0:
                s[S_SKIPPED_DEACTIVATE] = 0
                s[S_FORCE_DEACTIVATE] = 1
                s[S_PRIORITY] = DEF_PRIORITY
                k.vmstat[ALLOCSTALL] += 1
                continue
            s[S_STAGE] = STAGE_NONE
            if s[S_TOTAL_SCANNED] == 0:  # passes over empty lists take time, too
                k.led[L_RECLAIM] += (DEF_PRIORITY + 1) * k.cost[C_RECLAIM_PAGE]
            return RECLAIM_DONE
        s[S_PRIORITY] -= 1
        if _throttled(k, tid, s) or must_pause(k, tid, 0):
            return RECLAIM_PAUSED
