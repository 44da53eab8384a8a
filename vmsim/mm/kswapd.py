"""kswapd: reclaim in the background, from the low watermark to the high one.   Follows mm/vmscan.c of v4.4 (kswapd; section C.6)."""

from vmsim.mm.bio_page import blk_flush_plug
from vmsim.mm.mglru_evict import lru_gen_age_node
from vmsim.mm.page_alloc import zone_watermark_ok
from vmsim.mm.resched import charge_as_reclaim
from vmsim.mm.shrinker import shrink_slab_of_pass
from vmsim.mm.vmscan import (
    SHRINK_DONE,
    SHRINK_SPLIT,
    nr_lruvecs,
    shrink_lruvec_begin,
    shrink_lruvec_end,
    shrink_lruvec_step,
    throttle_vm_writeout,
    zone_reclaimable,
)
from vmsim.mm.vmscan_batch import must_pause, slice_used, unplugged
from vmsim.mm.vmscan_cost import snapshot_refaults
from vmsim.mm.vmscan_list import age_active_anon
from vmsim.struct.costs import C_RECLAIM_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NOW, SC_NR_NEW_BIOS, SC_NR_ZONES, SC_WAKE
from vmsim.struct.ledger import L_FAULT, L_RECLAIM
from vmsim.struct.pages import (
    Z_FLAGS,
    Z_HIGH,
    Z_LOW,
    Z_MANAGED,
    ZONE_CONGESTED,
    ZONE_DIRTY,
    ZONE_WRITEBACK,
)
from vmsim.struct.reclaim import (
    DAEMON_KSWAPD,
    DEF_PRIORITY,
    KSWAPD_ASLEEP,
    KSWAPD_NAPPING,
    KSWAPD_PASS,
    KSWAPD_SHRINK,
    KSWAPD_TRY_SLEEP,
    KSWAPD_ZONES,
    MAX_RECLAIM_RETRIES,
    N_KSWAPD_ASLEEP,
    N_KSWAPD_FAILURES,
    N_KSWAPD_STATE,
    N_NAP_BEGAN,
    PASS_OVER,
    S_AGE_NODE,
    S_ALL_FILE_TAKEN,
    S_ALL_TAKEN,
    S_ALL_UNQUEUED_DIRTY,
    S_ALL_WRITEBACK,
    S_END_ZONE,
    S_FORCE_DEACTIVATE,
    S_IMMEDIATE,
    S_IN_ZONE,
    S_IS_KSWAPD,
    S_MAY_WRITEPAGE,
    S_PRIORITY,
    S_PROGRESS,
    S_RAISE_PRIORITY,
    S_RECLAIMED,
    S_SCANNED,
    S_TO_RECLAIM,
    S_ZONE,
    SWAP_CLUSTER_MAX,
)
from vmsim.struct.rules import R_LRU_GEN, R_NODE_LRU
from vmsim.struct.tasks import SLICE_BLOCKED, SLICE_BUDGET, SLICE_IO, T_WAIT, T_WAIT_ARG, WAIT_EVENT, WAIT_TIMER
from vmsim.struct.vmstat import KSWAPD_HIGH_WMARK_HIT_QUICKLY, KSWAPD_LOW_WMARK_HIT_QUICKLY, PAGEOUTRUN

NAP_NS = 100_000_000
_GAP_RATIO = 100  # KSWAPD_ZONE_BALANCE_GAP_RATIO


@compiled
def zone_balanced(k, zone, gap, classzone):
    """Whether a zone is above its high watermark plus `gap` for requests of a class."""
    return zone_watermark_ok(k, zone, k.zone[zone, Z_HIGH] + gap, classzone)


@compiled
def _clear_flags(k, zone):
    k.zone[zone, Z_FLAGS] &= ~(ZONE_CONGESTED | ZONE_DIRTY)


@compiled
def pgdat_balanced(k):
    """Whether kswapd may sleep: every zone is balanced or beyond reclaim; where the node has the lists, one zone is."""
    node_lru = k.rule[R_NODE_LRU] != 0
    for zone in range(k.sc[SC_NR_ZONES]):
        if k.zone[zone, Z_MANAGED] == 0:
            continue
        if node_lru:
            if zone_balanced(k, zone, 0, k.sc[SC_NR_ZONES] - 1):
                return True
        elif zone_reclaimable(k, zone) and not zone_balanced(k, zone, 0, zone):
            return False
    return not node_lru


@compiled
def wakeup_kswapd(k):
    """An allocation found no zone above its low watermark: wake kswapd if it sleeps and there is something for it to do."""
    if k.node[N_KSWAPD_ASLEEP] == 0:
        return
    if k.rule[R_NODE_LRU] != 0:
        if k.node[N_KSWAPD_FAILURES] < MAX_RECLAIM_RETRIES and not pgdat_balanced(k):
            k.sc[SC_WAKE] |= 1 << DAEMON_KSWAPD
        return
    for zone in range(k.sc[SC_NR_ZONES]):
        if k.zone[zone, Z_MANAGED] > 0 and not zone_balanced(k, zone, 0, 0):
            k.sc[SC_WAKE] |= 1 << DAEMON_KSWAPD
            return


@compiled
def _sleep(k, tid, state, ns):
    k.node[N_KSWAPD_ASLEEP] = 1
    k.node[N_KSWAPD_STATE] = state
    k.task[tid, T_WAIT] = WAIT_EVENT
    k.task[tid, T_WAIT_ARG] = ns
    return SLICE_BLOCKED


@compiled
def _may_sleep(k):
    """Nothing is left to do, or nothing can be done (prepare_kswapd_sleep)."""
    return k.node[N_KSWAPD_FAILURES] >= MAX_RECLAIM_RETRIES or pgdat_balanced(k)


@compiled
def _try_to_sleep(k, tid):
    """kswapd has done what it could: nap first, and sleep only if that wasn't needed. GO_ON (-1): back to work."""
    if _may_sleep(k):
        if k.rule[R_NODE_LRU] != 0:
            k.zone[0, Z_FLAGS] &= ~(ZONE_CONGESTED | ZONE_DIRTY | ZONE_WRITEBACK)
        k.node[N_NAP_BEGAN] = k.sc[SC_NOW]
        return _sleep(k, tid, KSWAPD_NAPPING, NAP_NS)
    k.vmstat[KSWAPD_HIGH_WMARK_HIT_QUICKLY] += 1
    return -1


@compiled
def _woken(k, tid):
    """kswapd wakes from its nap or its sleep."""
    k.node[N_KSWAPD_ASLEEP] = 0
    if k.node[N_KSWAPD_STATE] == KSWAPD_NAPPING:
        if k.sc[SC_NOW] - k.node[N_NAP_BEGAN] < NAP_NS:
            k.vmstat[KSWAPD_LOW_WMARK_HIT_QUICKLY] += 1
        elif _may_sleep(k):
            return _sleep(k, tid, KSWAPD_ASLEEP, 0)
        else:
            k.vmstat[KSWAPD_HIGH_WMARK_HIT_QUICKLY] += 1
    return -1


@compiled
def _begin(k, s):
    """balance_pgdat begins."""
    k.vmstat[PAGEOUTRUN] += 1
    s[S_PRIORITY] = DEF_PRIORITY
    s[S_IS_KSWAPD] = 1
    s[S_MAY_WRITEPAGE] = 1
    s[S_IN_ZONE] = 0
    s[S_FORCE_DEACTIVATE] = 0
    s[S_PROGRESS] = 0
    s[S_AGE_NODE] = 0
    k.node[N_KSWAPD_STATE] = KSWAPD_PASS


@compiled
def _pass(k, s):
    """Look for the highest zone that isn't balanced, ageing the anonymous pages on the way; whether there is one."""
    s[S_RAISE_PRIORITY] = 1
    s[S_RECLAIMED] = 0
    zone = k.sc[SC_NR_ZONES] - 1
    if k.rule[R_NODE_LRU] != 0:
        if pgdat_balanced(k):
            snapshot_refaults(k)
            return False
        if k.rule[R_LRU_GEN] != 0:
            lru_gen_age_node(k, s)
        else:
            age_active_anon(k, s, 0)
        s[S_END_ZONE] = zone
        s[S_ZONE] = 0
        return True
    while zone >= 0:
        if k.zone[zone, Z_MANAGED] > 0 and (s[S_PRIORITY] == DEF_PRIORITY or zone_reclaimable(k, zone)):
            age_active_anon(k, s, zone)
            if not zone_balanced(k, zone, 0, 0):
                break
            _clear_flags(k, zone)
        zone -= 1
    s[S_END_ZONE] = zone
    s[S_ZONE] = 0
    return zone >= 0


@compiled
def _to_reclaim(k, zone):
    """Pages to reclaim in one go: a zone's high watermark, or that of all zones where the node has the lists."""
    if k.rule[R_NODE_LRU] == 0:
        return max(SWAP_CLUSTER_MAX, k.zone[zone, Z_HIGH])
    total = 0
    for i in range(k.sc[SC_NR_ZONES]):
        total += max(SWAP_CLUSTER_MAX, k.zone[i, Z_HIGH])
    return total


@compiled
def _enter_zone(k, s):
    """Begin with zone S_ZONE, unless it is balanced or beyond reclaim; whether it is shrunk (kswapd_shrink_zone)."""
    zone = s[S_ZONE]
    if k.rule[R_NODE_LRU] == 0:
        if k.zone[zone, Z_MANAGED] == 0 or (s[S_PRIORITY] != DEF_PRIORITY and not zone_reclaimable(k, zone)):
            return False
        s[S_SCANNED] = 0
        gap = min(k.zone[zone, Z_LOW], (k.zone[zone, Z_MANAGED] + _GAP_RATIO - 1) // _GAP_RATIO)
        if zone_balanced(k, zone, gap, s[S_END_ZONE]):
            s[S_RAISE_PRIORITY] = 0
            return False
    s[S_SCANNED] = 0
    s[S_TO_RECLAIM] = _to_reclaim(k, zone)
    shrink_lruvec_begin(k, s, zone)
    return True


@compiled
def _flag_node(k, s):
    """All that a pass over the node's lists took was under writeback, or all file pages were dirty and not queued (shrink_node)."""
    if s[S_ALL_WRITEBACK] > 0 and s[S_ALL_WRITEBACK] == s[S_ALL_TAKEN]:
        k.zone[0, Z_FLAGS] |= ZONE_WRITEBACK
    if s[S_ALL_UNQUEUED_DIRTY] == s[S_ALL_FILE_TAKEN]:
        k.zone[0, Z_FLAGS] |= ZONE_DIRTY


@compiled
def _must_still_wait(k, tid, s):
    """The pass over a zone's lists is over; whether its end waits for pages that are being written."""
    if s[S_IN_ZONE] != PASS_OVER:
        shrink_lruvec_end(k, s, s[S_ZONE])
    return throttle_vm_writeout(k, tid)


@compiled
def _leave_zone(k, s):
    zone = s[S_ZONE]
    s[S_IN_ZONE] = 0
    shrink_slab_of_pass(k, s, zone)
    if k.rule[R_NODE_LRU] != 0:
        _flag_node(k, s)
    else:
        k.zone[zone, Z_FLAGS] &= ~ZONE_WRITEBACK
    if k.rule[R_NODE_LRU] == 0 and zone_reclaimable(k, zone) and zone_balanced(k, zone, 0, s[S_END_ZONE]):
        _clear_flags(k, zone)
    if s[S_SCANNED] >= s[S_TO_RECLAIM]:
        s[S_RAISE_PRIORITY] = 0
    s[S_ZONE] = zone + 1


@compiled
def _pause(k, tid, s, step):
    """After a step: -1 to go on, or why kswapd stops for now; after batches it sleeps if it met pages that are still being written."""
    if s[S_IMMEDIATE] > 0 and step != SHRINK_SPLIT:
        s[S_IMMEDIATE] = 0
        blk_flush_plug(k, tid)
        k.task[tid, T_WAIT] = WAIT_TIMER
        k.task[tid, T_WAIT_ARG] = NAP_NS
        return SLICE_BLOCKED
    if must_pause(k, tid, 0 if step == SHRINK_DONE else unplugged(k)):
        return SLICE_IO if k.sc[SC_NR_NEW_BIOS] > 0 and k.task[tid, T_WAIT] == WAIT_TIMER else SLICE_BLOCKED
    return -1


@compiled
def _end_of_pass(k, s):
    """Whether balance_pgdat goes on with another pass, with more effort if this one brought nothing."""
    if s[S_RAISE_PRIORITY] != 0 or s[S_RECLAIMED] == 0:
        s[S_PRIORITY] -= 1
    if s[S_RECLAIMED] > 0:
        s[S_PROGRESS] = 1
    if s[S_PRIORITY] >= 1 and not pgdat_balanced(k):
        return True
    if k.rule[R_NODE_LRU] != 0 and s[S_PRIORITY] < 1 and s[S_PROGRESS] == 0:
        k.node[N_KSWAPD_FAILURES] += 1
    snapshot_refaults(k)
    return False


@compiled
def _work(k, tid):
    s = k.scan[tid]
    node = k.node
    while True:
        state = node[N_KSWAPD_STATE]
        reason = -1
        k.led[L_RECLAIM] += k.cost[C_RECLAIM_PAGE]  # passes over empty lists take time, too
        if slice_used(k):
            return SLICE_BUDGET
        if state == KSWAPD_TRY_SLEEP:
            reason = _try_to_sleep(k, tid)
            if reason == -1:
                _begin(k, s)
        elif state == KSWAPD_NAPPING or state == KSWAPD_ASLEEP:
            reason = _woken(k, tid)
            if reason == -1:
                _begin(k, s)
        elif state == KSWAPD_PASS:
            node[N_KSWAPD_STATE] = KSWAPD_ZONES if _pass(k, s) else KSWAPD_TRY_SLEEP
        elif state == KSWAPD_ZONES:
            last = min(s[S_END_ZONE], nr_lruvecs(k) - 1)
            if s[S_ZONE] > last:
                node[N_KSWAPD_STATE] = KSWAPD_PASS if _end_of_pass(k, s) else KSWAPD_TRY_SLEEP
            elif _enter_zone(k, s):
                node[N_KSWAPD_STATE] = KSWAPD_SHRINK
            else:
                s[S_ZONE] += 1
        else:
            step = SHRINK_DONE if s[S_IN_ZONE] == PASS_OVER else shrink_lruvec_step(k, s, s[S_ZONE])
            if step != SHRINK_DONE:
                reason = _pause(k, tid, s, step)
            elif _must_still_wait(k, tid, s):
                reason = SLICE_BLOCKED
            else:
                _leave_zone(k, s)
                node[N_KSWAPD_STATE] = KSWAPD_ZONES
                reason = _pause(k, tid, s, step)
        if reason != -1:
            return reason


@compiled
def kswapd(k, tid):
    """kswapd's life up to where its slice ends; why it does (SLICE_*). All its time is reclaim."""
    freeing = k.led[L_FAULT]
    reason = _work(k, tid)
    charge_as_reclaim(k, freeing)
    return reason
