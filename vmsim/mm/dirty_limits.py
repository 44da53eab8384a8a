"""How much memory may be dirty, and how fast a device writes.   Follows mm/page-writeback.c of v4.4 (E.5, E.6).

Rates are in pages a second; times within formulas in milliseconds, as of a kernel with HZ 1000.
"""

from vmsim.struct.bits import bit_length
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import (
    G_PAGE_SHIFT,
    SC_NR_CPUS,
    SC_TOTALRESERVE,
    SYS_DIRTY_BACKGROUND_BYTES,
    SYS_DIRTY_BACKGROUND_RATIO,
    SYS_DIRTY_BYTES,
    SYS_DIRTY_RATIO,
)
from vmsim.struct.pages import LRU_ACTIVE_FILE, LRU_INACTIVE_FILE
from vmsim.struct.vmstat import NR_DIRTY_BG_THRESHOLD, NR_DIRTY_THRESHOLD, NR_FILE_DIRTY, NR_FREE_PAGES, NR_LRU_BASE, NR_WRITEBACK
from vmsim.struct.writeback import (
    BD_AVG_WRITE_BW,
    BD_BALANCED_RATELIMIT,
    BD_BW_STAMP,
    BD_COMPLETIONS,
    BD_COMPLETIONS_PERIOD,
    BD_DIRTIED,
    BD_DIRTIED_STAMP,
    BD_DIRTY_RATELIMIT,
    BD_NRDIRTY,
    BD_NRWRITEBACK,
    BD_WRITE_BW,
    BD_WRITTEN,
    BD_WRITTEN_STAMP,
    DOM_BG_THRESH,
    DOM_COMPLETIONS,
    DOM_COMPLETIONS_PERIOD,
    DOM_DIRTY,
    DOM_DIRTY_LIMIT,
    DOM_LIMIT_STAMP,
    DOM_RATELIMIT_PAGES,
    DOM_THRESH,
)
from vmsim.units import NS_PER_MS

INIT_BW_BYTES = 100 << 20  # what a device is taken to write in a second before it has written anything
BANDWIDTH_INTERVAL_MS = 200
PERIOD_MS = 4096  # over which the bandwidth is averaged: 3 s, rounded up to a power of two
COMPLETIONS_PERIOD_MS = 3000
CALC_SHIFT = 10  # fraction bits of ratios
MAX_BACKOFF = 62


@compiled
def dirtyable_memory(k):
    """Pages that may hold file data: free ones beyond the zones' reserves, and the page cache (global_dirtyable_memory)."""
    free = k.vmstat[NR_FREE_PAGES]
    cached = k.vmstat[NR_LRU_BASE + LRU_INACTIVE_FILE] + k.vmstat[NR_LRU_BASE + LRU_ACTIVE_FILE]
    return free - min(free, k.sc[SC_TOTALRESERVE]) + cached + 1


@compiled
def _limit(k, in_bytes, ratio, available):
    page = 1 << k.geo[G_PAGE_SHIFT]
    if k.sysctl[in_bytes] != 0:
        return (k.sysctl[in_bytes] + page - 1) // page
    return k.sysctl[ratio] * available // 100


@compiled
def global_dirty_limits(k):
    """Bring DOM_THRESH, DOM_BG_THRESH and DOM_DIRTY up to date (domain_dirty_limits)."""
    available = dirtyable_memory(k)
    thresh = _limit(k, SYS_DIRTY_BYTES, SYS_DIRTY_RATIO, available)
    background = _limit(k, SYS_DIRTY_BACKGROUND_BYTES, SYS_DIRTY_BACKGROUND_RATIO, available)
    if background >= thresh:
        background = thresh // 2
    k.domain[DOM_THRESH] = thresh
    k.domain[DOM_BG_THRESH] = background
    k.domain[DOM_DIRTY] = k.vmstat[NR_FILE_DIRTY] + k.vmstat[NR_WRITEBACK]
    k.vmstat[NR_DIRTY_THRESHOLD] = thresh
    k.vmstat[NR_DIRTY_BG_THRESHOLD] = background


@compiled
def writeback_set_ratelimit(k):
    """How many pages a CPU dirties before its task looks at the limits, whoever it is (writeback_set_ratelimit)."""
    global_dirty_limits(k)
    k.domain[DOM_DIRTY_LIMIT] = k.domain[DOM_THRESH]
    k.domain[DOM_RATELIMIT_PAGES] = max(16, k.domain[DOM_THRESH] // (k.sc[SC_NR_CPUS] * 32))


@compiled
def wb_init(k, device):
    """A device that has written nothing yet (wb_init)."""
    row = k.bdi[device]
    rate = INIT_BW_BYTES >> k.geo[G_PAGE_SHIFT]
    for column in (BD_WRITE_BW, BD_AVG_WRITE_BW, BD_DIRTY_RATELIMIT, BD_BALANCED_RATELIMIT):
        row[column] = rate


@compiled
def freerun_ceiling(k):
    """Dirty pages up to which nobody pauses."""
    return (k.domain[DOM_THRESH] + k.domain[DOM_BG_THRESH]) // 2


@compiled
def hard_limit(k):
    """The limit that is in force: it follows a threshold that falls slowly (hard_dirty_limit)."""
    return max(k.domain[DOM_THRESH], k.domain[DOM_DIRTY_LIMIT])


@compiled
def _aged(k, count, periods):
    return count >> min(periods, MAX_BACKOFF)


@compiled
def wb_calc_thresh(k, device, now, thresh):
    """A device's share of a threshold: its part of the pages written lately, old ones counting half as much every 3 s."""
    period = now // (COMPLETIONS_PERIOD_MS * NS_PER_MS)
    dom = k.domain
    row = k.bdi[device]
    dom[DOM_COMPLETIONS] = _aged(k, dom[DOM_COMPLETIONS], period - dom[DOM_COMPLETIONS_PERIOD])
    dom[DOM_COMPLETIONS_PERIOD] = period
    row[BD_COMPLETIONS] = _aged(k, row[BD_COMPLETIONS], period - row[BD_COMPLETIONS_PERIOD])
    row[BD_COMPLETIONS_PERIOD] = period
    return thresh * min(row[BD_COMPLETIONS], dom[DOM_COMPLETIONS]) // max(dom[DOM_COMPLETIONS], 1)


@compiled
def wb_dirty(k, device):
    """Pages of a device that are dirty or being written."""
    return k.bdi[device, BD_NRDIRTY] + k.bdi[device, BD_NRWRITEBACK]


@compiled
def position_ratio(k, device, wb_thresh):
    """How much of its base rate a device's writers get, in 1/1024: 1 where dirty memory is as wanted (wb_position_ratio)."""
    thresh, dirty, limit = k.domain[DOM_THRESH], k.domain[DOM_DIRTY], hard_limit(k)
    if dirty >= limit:
        return 0
    setpoint = (freerun_ceiling(k) + limit) // 2
    x = _divide((setpoint - dirty) << CALC_SHIFT, (limit - setpoint) | 1)
    ratio = ((x * x >> CALC_SHIFT) * x >> CALC_SHIFT) + (1 << CALC_SHIFT)
    ratio = min(max(ratio, 0), 2 << CALC_SHIFT)
    mine = wb_dirty(k, device)
    wb_thresh = max(min(wb_thresh, thresh), (limit - dirty) // 8)
    share = (wb_thresh << 16) // (thresh | 1)
    wb_setpoint = setpoint * share >> 16
    span = (thresh - wb_thresh + 8 * k.bdi[device, BD_AVG_WRITE_BW]) * share >> 16
    intercept = wb_setpoint + span
    ratio = ratio * (intercept - mine) // (span | 1) if mine < intercept - span // 4 else ratio // 4
    intercept = wb_thresh // 2
    if mine < intercept:  # the device would run dry
        ratio = ratio * intercept // mine if mine > intercept // 8 else ratio * 8
    return ratio


@compiled
def _divide(a, b):
    """a / b towards zero, b > 0."""
    return a // b if a >= 0 else -(-a // b)


@compiled
def _update_write_bandwidth(k, device, elapsed):
    row = k.bdi[device]
    written = (row[BD_WRITTEN] - row[BD_WRITTEN_STAMP]) * 1000
    average = row[BD_AVG_WRITE_BW]
    old = row[BD_WRITE_BW]
    if elapsed > PERIOD_MS:
        rate = written // elapsed
        average = rate
    else:
        rate = (written + old * (PERIOD_MS - elapsed)) // PERIOD_MS
        if average > old and old >= rate:
            average -= (average - old) >> 3
        if average < old and old <= rate:
            average += (old - average) >> 3
    row[BD_WRITE_BW] = rate
    row[BD_AVG_WRITE_BW] = max(average, 1)


@compiled
def _update_dirty_ratelimit(k, device, elapsed, ratio):
    """The rate that all writers of a device together may dirty at, a step towards what it writes (wb_update_dirty_ratelimit)."""
    row = k.bdi[device]
    rate = row[BD_DIRTY_RATELIMIT]
    dirty_rate = (row[BD_DIRTIED] - row[BD_DIRTIED_STAMP]) * 1000 // elapsed
    task_rate = (rate * ratio >> CALC_SHIFT) + 1
    balanced = min(task_rate * row[BD_AVG_WRITE_BW] // (dirty_rate | 1), row[BD_AVG_WRITE_BW])
    step = 0
    if k.domain[DOM_DIRTY] < (freerun_ceiling(k) + hard_limit(k)) // 2:
        step = max(0, min(row[BD_BALANCED_RATELIMIT], balanced, task_rate) - rate)
    else:
        step = max(0, rate - max(row[BD_BALANCED_RATELIMIT], balanced, task_rate))
    shift = rate // (2 * step + 1)
    step = ((step >> shift) + 7) // 8 if shift < 64 else 0
    row[BD_DIRTY_RATELIMIT] = max(rate + step if rate < balanced else rate - step, 1)
    row[BD_BALANCED_RATELIMIT] = balanced


@compiled
def _update_dirty_limit(k, now):
    dom = k.domain
    if now - dom[DOM_LIMIT_STAMP] < BANDWIDTH_INTERVAL_MS * NS_PER_MS:
        return
    dom[DOM_LIMIT_STAMP] = now
    target = max(dom[DOM_THRESH], dom[DOM_DIRTY])
    if dom[DOM_DIRTY_LIMIT] < dom[DOM_THRESH]:
        dom[DOM_DIRTY_LIMIT] = dom[DOM_THRESH]
    elif dom[DOM_DIRTY_LIMIT] > target:
        dom[DOM_DIRTY_LIMIT] -= (dom[DOM_DIRTY_LIMIT] - target) >> 5


@compiled
def wb_update_bandwidth(k, device, now, started, ratio):
    """Every 200 ms: the bandwidth, and for a writer (`ratio` >= 0) the rate limit too (__wb_update_bandwidth)."""
    row = k.bdi[device]
    elapsed = (now - row[BD_BW_STAMP]) // NS_PER_MS
    if elapsed < BANDWIDTH_INTERVAL_MS:
        return
    if not (elapsed > 1000 and row[BD_BW_STAMP] < started):  # else the device was idle
        if ratio >= 0:
            _update_dirty_limit(k, now)
            _update_dirty_ratelimit(k, device, elapsed, ratio)
        _update_write_bandwidth(k, device, elapsed)
    row[BD_DIRTIED_STAMP] = row[BD_DIRTIED]
    row[BD_WRITTEN_STAMP] = row[BD_WRITTEN]
    row[BD_BW_STAMP] = now


@compiled
def ilog2(n):
    """The position of the highest bit of n, 0 for n < 2."""
    return max(bit_length(n) - 1, 0)
