"""How many pages of which list reclaim scans.   Follows mm/vmscan.c of v4.4 (section C.8).

A reclaimer's progress stands in its row of `scan`, so that it can stop between two batches: for the requests that it made to be
started, for time to pass, or to sleep.  It then begins again where it was.
"""

from vmsim.mm.bio_page import blk_flush_plug
from vmsim.mm.dirty_limits import global_dirty_limits, hard_limit
from vmsim.mm.huge_zero import shrink_huge_zero_page
from vmsim.mm.mglru_evict import gen_swappiness, lru_gen_begin, lru_gen_step
from vmsim.mm.swap import lru_add_drain
from vmsim.mm.vmscan_batch import begin_batch, end_batch, plugs, shrink_page_list
from vmsim.mm.vmscan_cost import cost_pressure, prepare_scan_count
from vmsim.mm.vmscan_list import age_active_anon, inactive_is_low, shrink_active
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_ZONES, SC_PLUG, SC_TASK, SYS_SWAPPINESS
from vmsim.struct.pages import (
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    Z_FREE,
    Z_HIGH,
    Z_ISOLATED,
    Z_LRU,
    Z_PAGES_SCANNED,
    Z_RECENT_ROTATED,
    Z_RECENT_SCANNED,
    Z_ZONE_LRU,
)
from vmsim.struct.reclaim import (
    DEF_PRIORITY,
    N_KSWAPD_FAILURES,
    N_SWAP_FREE,
    PASS_OVER,
    S_ALL_FILE_TAKEN,
    S_ALL_TAKEN,
    S_BATCH_TAKEN,
    S_CACHE_TRIM,
    S_FILE_TINY,
    S_IN_ZONE,
    S_IS_KSWAPD,
    S_LRU_NR,
    S_LRU_PAGES,
    S_LRU_RECLAIMED,
    S_LRU_TARGETS,
    S_NEXT_LRU,
    S_PRIORITY,
    S_RECLAIMED,
    S_SCAN_ADJUSTED,
    S_SCAN_BEGAN,
    S_SCANNED,
    S_STALLED,
    S_TO_RECLAIM,
    SWAP_CLUSTER_MAX,
)
from vmsim.struct.rules import R_ISOLATED_WAITS_ONCE, R_LRU_COSTS, R_LRU_GEN, R_NODE_LRU, R_RECLAIM_AIMS, R_THROTTLE_VM_WRITEOUT
from vmsim.struct.tasks import T_WAIT, T_WAIT_ARG, WAIT_CONGESTION, WAIT_ISOLATED
from vmsim.struct.vmstat import NR_WRITEBACK

_EVICTABLE = 4  # lists
_SCAN_EQUAL = 0
_SCAN_FRACT = 1
_SCAN_ANON = 2
_SCAN_FILE = 3

CONGESTION_WAIT_NS = 100_000_000  # HZ/10
ISOLATED_WAIT_NS = 20_000_000  # HZ/50
SHRINK_DONE = 0
SHRINK_ON = 1
SHRINK_SPLIT = 2
SHRINK_STALLED = 3
RECLAIM_DONE = 0
RECLAIM_PAUSED = 1


@compiled
def nr_lruvecs(k):
    """Sets of LRU lists: one a zone, later one for the node."""
    return 1 if k.rule[R_NODE_LRU] != 0 else k.sc[SC_NR_ZONES]


@compiled
def reclaimable_pages(k, lruvec):
    """Pages of a zone that reclaim could take: of files, and anonymous ones while there is swap (zone_reclaimable_pages)."""
    zone = k.zone[lruvec]
    pages = zone[Z_LRU + LRU_ACTIVE_FILE] + zone[Z_LRU + LRU_INACTIVE_FILE]
    if k.node[N_SWAP_FREE] > 0 and (k.rule[R_LRU_GEN] == 0 or gen_swappiness(k) != 0):
        pages += zone[Z_LRU + LRU_ACTIVE_ANON] + zone[Z_LRU + LRU_INACTIVE_ANON]
    return pages


@compiled
def zone_reclaimable_pages(k, zone):
    """The same of one zone, whosever the lists are."""
    here = k.zone[zone]
    pages = here[Z_ZONE_LRU + LRU_ACTIVE_FILE] + here[Z_ZONE_LRU + LRU_INACTIVE_FILE]
    if k.node[N_SWAP_FREE] > 0:
        pages += here[Z_ZONE_LRU + LRU_ACTIVE_ANON] + here[Z_ZONE_LRU + LRU_INACTIVE_ANON]
    return pages


@compiled
def zone_reclaimable(k, lruvec):
    """Whether a zone is worth scanning: not yet scanned six times over without a page of it being freed (zone_reclaimable)."""
    return k.zone[lruvec, Z_PAGES_SCANNED] < reclaimable_pages(k, lruvec) * 6


@compiled
def _of_zones(k, lruvec, column):
    """A number of a zone; of all zones where the node has the lists."""
    if k.rule[R_NODE_LRU] == 0:
        return k.zone[lruvec, column]
    total = 0
    for zone in range(k.sc[SC_NR_ZONES]):
        total += k.zone[zone, column]
    return total


@compiled
def _balance(k, s, lruvec):
    """Which kinds of pages are scanned (get_scan_count's scan_balance)."""
    zone = k.zone[lruvec]
    costs = k.rule[R_LRU_COSTS] != 0
    if k.node[N_SWAP_FREE] <= 0:
        return _SCAN_FILE
    if s[S_PRIORITY] == 0 and k.sysctl[SYS_SWAPPINESS] != 0:
        return _SCAN_EQUAL
    if costs:
        return _SCAN_ANON if s[S_FILE_TINY] != 0 else _SCAN_FILE if s[S_CACHE_TRIM] != 0 else _SCAN_FRACT
    file = zone[Z_LRU + LRU_ACTIVE_FILE] + zone[Z_LRU + LRU_INACTIVE_FILE]
    if file + _of_zones(k, lruvec, Z_FREE) <= _of_zones(k, lruvec, Z_HIGH):
        return _SCAN_ANON
    if not inactive_is_low(k, lruvec, 1):
        return _SCAN_FILE
    return _SCAN_FRACT


@compiled
def _pressure(k, lruvec, file, prio):
    """How strongly one kind of pages is scanned: by swappiness, and by how few of the pages scanned lately were in use."""
    if k.rule[R_LRU_COSTS] != 0:
        return cost_pressure(k, file, prio)
    zone = k.zone[lruvec]
    lists = Z_LRU + (LRU_INACTIVE_FILE if file != 0 else LRU_INACTIVE_ANON)
    if zone[Z_RECENT_SCANNED + file] > (zone[lists] + zone[lists + 1]) // 4:
        zone[Z_RECENT_SCANNED + file] //= 2
        zone[Z_RECENT_ROTATED + file] //= 2
    return prio * (zone[Z_RECENT_SCANNED + file] + 1) // (zone[Z_RECENT_ROTATED + file] + 1)


@compiled
def get_scan_count(k, s, lruvec):
    """Plan how many pages of each list this pass scans, into S_LRU_NR."""
    balance = _balance(k, s, lruvec)
    anon = 0
    file = 0
    if balance == _SCAN_FRACT:
        anon = _pressure(k, lruvec, 0, k.sysctl[SYS_SWAPPINESS])
        file = _pressure(k, lruvec, 1, 200 - k.sysctl[SYS_SWAPPINESS])
    whole = 0 if k.rule[R_LRU_COSTS] != 0 else 1  # the older kernels' shares add up to a little less
    force = whole != 0 and s[S_IS_KSWAPD] != 0 and not zone_reclaimable(k, lruvec)
    some = 0
    for attempt in range(2):
        s[S_LRU_PAGES] = 0
        for lru in range(_EVICTABLE):
            size = k.zone[lruvec, Z_LRU + lru]
            scan = size >> s[S_PRIORITY]
            if scan == 0 and attempt == 1 and force:
                scan = min(size, SWAP_CLUSTER_MAX)
            is_file = lru >= LRU_INACTIVE_FILE
            if balance == _SCAN_FRACT:
                scan = scan * (file if is_file else anon) // (anon + file + whole)
            elif balance != _SCAN_EQUAL and (balance == _SCAN_FILE) != is_file:
                size = 0
                scan = 0
            s[S_LRU_PAGES] += size
            s[S_LRU_NR + lru] = scan
            some += scan
        if some > 0:
            break


@compiled
def shrink_lruvec_begin(k, s, lruvec):
    """Plan a pass over the lists of a zone."""
    s[S_LRU_RECLAIMED] = 0
    s[S_IN_ZONE] = 1
    s[S_NEXT_LRU] = 0
    s[S_STALLED] = 0
    s[S_SCAN_BEGAN] = s[S_SCANNED]
    if k.rule[R_LRU_GEN] != 0:
        s[S_LRU_PAGES] = reclaimable_pages(k, lruvec)
        lru_add_drain(k)
        lru_gen_begin(k, s)
        return
    if k.rule[R_LRU_COSTS] != 0:
        prepare_scan_count(k, s, lruvec)
    for column in range(S_ALL_TAKEN, S_ALL_FILE_TAKEN + 1):
        s[column] = 0
    get_scan_count(k, s, lruvec)
    for lru in range(_EVICTABLE):
        s[S_LRU_TARGETS + lru] = s[S_LRU_NR + lru]
    s[S_SCAN_ADJUSTED] = 1 if s[S_IS_KSWAPD] == 0 and s[S_PRIORITY] == DEF_PRIORITY else 0


@compiled
def _cut(s, lru, percentage):
    """Scan only as much of a list as its share of what the other kind has been scanned."""
    scanned = s[S_LRU_TARGETS + lru] - s[S_LRU_NR + lru]
    left = s[S_LRU_TARGETS + lru] * (100 - percentage) // 100
    s[S_LRU_NR + lru] = left - min(left, scanned)


@compiled
def _adjust(k, s):
    """Enough is reclaimed: drop the kind of which less is left to scan, and keep the other in proportion; whether there is more to do."""
    nr_file = s[S_LRU_NR + LRU_INACTIVE_FILE] + s[S_LRU_NR + LRU_ACTIVE_FILE]
    nr_anon = s[S_LRU_NR + LRU_INACTIVE_ANON] + s[S_LRU_NR + LRU_ACTIVE_ANON]
    if nr_file == 0 or nr_anon == 0:
        return False
    smaller = LRU_INACTIVE_ANON if nr_file > nr_anon else LRU_INACTIVE_FILE
    larger = LRU_INACTIVE_FILE if nr_file > nr_anon else LRU_INACTIVE_ANON
    target = s[S_LRU_TARGETS + smaller] + s[S_LRU_TARGETS + smaller + 1] + 1
    percentage = min(nr_file, nr_anon) * 100 // target
    s[S_LRU_NR + smaller] = 0
    s[S_LRU_NR + smaller + 1] = 0
    _cut(s, larger, percentage)
    _cut(s, larger + 1, percentage)
    s[S_SCAN_ADJUSTED] = 1 if k.rule[R_RECLAIM_AIMS] == 0 else 0
    return True


@compiled
def shrink_lruvec_step(k, s, lruvec):
    """One round of batches, up to 32 pages of each list: SHRINK_DONE, SHRINK_ON if the pass goes on, SHRINK_SPLIT: call again, or
    SHRINK_STALLED: wait, and call again.
    """
    if k.rule[R_LRU_GEN] != 0:
        return SHRINK_ON if lru_gen_step(k, s) else SHRINK_DONE
    if s[S_NEXT_LRU] == 0 and s[S_LRU_NR] + s[S_LRU_NR + LRU_INACTIVE_FILE] + s[S_LRU_NR + LRU_ACTIVE_FILE] == 0:
        return SHRINK_DONE
    k.sc[SC_PLUG] = plugs(k)
    whole = _shrink_round(k, s, lruvec)
    k.sc[SC_PLUG] = 0
    if not whole:
        return SHRINK_STALLED if s[S_STALLED] != 0 else SHRINK_SPLIT
    s[S_NEXT_LRU] = 0
    if s[S_LRU_RECLAIMED] < s[S_TO_RECLAIM] or s[S_SCAN_ADJUSTED] != 0 or _adjust(k, s):
        return SHRINK_ON
    return SHRINK_DONE


@compiled
def too_many_isolated(k, lruvec, lru):
    """Whether other reclaimers have so many pages of a list's kind that a task waits for some to come back before it takes more.

    That is an eighth of what is left on the inactive list, for allocations that may write and enter file systems, as all are here.
    """
    file = 1 if lru == LRU_INACTIVE_FILE else 0
    return _of_zones(k, lruvec, Z_ISOLATED + file) > k.zone[lruvec, Z_LRU + lru] >> 3


@compiled
def _stalls(k, s, lruvec, lru):
    """Whether a task waits before it takes a batch (shrink_inactive_list)."""
    if s[S_IS_KSWAPD] != 0 or not too_many_isolated(k, lruvec, lru):
        s[S_STALLED] = 0
        return False
    s[S_STALLED] = 1
    return True


@compiled
def isolated_wait(k, tid):
    """The wait of a task that finds too many pages isolated. Model: it lasts its time even if they come back meanwhile."""
    blk_flush_plug(k, tid)
    k.task[tid, T_WAIT] = WAIT_ISOLATED
    k.task[tid, T_WAIT_ARG] = CONGESTION_WAIT_NS if k.rule[R_ISOLATED_WAITS_ONCE] == 0 else ISOLATED_WAIT_NS


@compiled
def _shrink_round(k, s, lruvec):
    """One batch of each list; whether it got to the end, or must be called again."""
    while True:
        if s[S_BATCH_TAKEN] > 0:
            if not shrink_page_list(k, s, lruvec):
                return False
            s[S_LRU_RECLAIMED] += end_batch(k, s, lruvec)
        lru = s[S_NEXT_LRU]
        if lru == _EVICTABLE:
            return True
        s[S_NEXT_LRU] = lru + 1
        if s[S_LRU_NR + lru] > 0:
            scan = min(s[S_LRU_NR + lru], SWAP_CLUSTER_MAX)
            s[S_LRU_NR + lru] -= scan
            stalled = s[S_STALLED]
            if lru == LRU_ACTIVE_ANON or lru == LRU_ACTIVE_FILE:
                shrink_active(k, s, lruvec, lru, scan)
            elif not _stalls(k, s, lruvec, lru):
                begin_batch(k, s, lruvec, lru, scan)
            elif stalled != 0 and k.rule[R_ISOLATED_WAITS_ONCE] != 0:
                s[S_STALLED] = 0
            else:
                s[S_LRU_NR + lru] += scan
                s[S_NEXT_LRU] = lru
                return False


@compiled
def shrink_lruvec_end(k, s, lruvec):
    """The pass is over: keep anonymous pages moving, and count what was reclaimed."""
    blk_flush_plug(k, k.sc[SC_TASK])
    s[S_RECLAIMED] += s[S_LRU_RECLAIMED]
    shrink_huge_zero_page(k)
    if s[S_LRU_RECLAIMED] > 0:
        k.node[N_KSWAPD_FAILURES] = 0
    s[S_IN_ZONE] = PASS_OVER
    if k.rule[R_LRU_GEN] == 0:
        age_active_anon(k, s, lruvec)


@compiled
def writes_too_much(k):
    """Whether more pages are being written than a tenth above the dirty limit."""
    global_dirty_limits(k)
    limit = hard_limit(k)
    return k.vmstat[NR_WRITEBACK] > limit + limit // 10


@compiled
def throttle_vm_writeout(k, tid):
    """Whether a reclaimer must sleep now, 100 ms: more pages are being written than a tenth above the dirty limit (page-writeback.c).

    Model: congestion_wait ends only with its time, not when a device's queue has become short.
    """
    if k.rule[R_THROTTLE_VM_WRITEOUT] == 0 or not writes_too_much(k):
        return False
    k.task[tid, T_WAIT] = WAIT_CONGESTION
    k.task[tid, T_WAIT_ARG] = CONGESTION_WAIT_NS
    return True


