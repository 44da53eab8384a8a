"""Making tasks that dirty pages wait for the devices.   Follows mm/page-writeback.c (balance_dirty_pages) of v4.4 (E.6)."""

from vmsim.mm.dirty_limits import (
    CALC_SHIFT,
    freerun_ceiling,
    global_dirty_limits,
    ilog2,
    position_ratio,
    wb_calc_thresh,
    wb_dirty,
    wb_update_bandwidth,
)
from vmsim.mm.inode_lists import wake_flusher
from vmsim.mm.resched import now_ns
from vmsim.struct.files import FI_DEVICE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_CPU
from vmsim.struct.tasks import (
    T_DIRTY_PAUSED_WHEN,
    T_NR_DIRTIED,
    T_NR_DIRTIED_PAUSE,
    T_THROTTLED,
    T_WAIT,
    T_WAIT_ARG,
    WAIT_THROTTLE,
)
from vmsim.struct.vmstat import NR_FILE_DIRTY
from vmsim.struct.writeback import (
    BD_AVG_WRITE_BW,
    BD_BACKGROUND,
    BD_DIRTY_EXCEEDED,
    BD_DIRTY_RATELIMIT,
    BD_WORK_KIND,
    DOM_BG_THRESH,
    DOM_CPU_DIRTIED,
    DOM_CPUS,
    DOM_DIRTY,
    DOM_RATELIMIT_PAGES,
    DOM_THRESH,
    WORK_NONE,
)
from vmsim.units import NS_PER_MS

MAX_PAUSE_MS = 200
SECOND_MS = 1000


@compiled
def poll_pages(k):
    """DIRTY_POLL_THRESH: 128 KiB, in pages."""
    return max(1, (128 << 10) >> k.geo[G_PAGE_SHIFT])


@compiled
def start_background_writeback(k, device):
    """Let the flusher write until dirty memory is below the background threshold (wb_start_background_writeback)."""
    k.bdi[device, BD_BACKGROUND] = 1
    wake_flusher(k, device)


@compiled
def _max_pause_ms(k, device):
    pages = wb_dirty(k, device) // (1 + k.bdi[device, BD_AVG_WRITE_BW] // 128)
    return min(pages + 1, MAX_PAUSE_MS)


@compiled
def _min_pause_ms(k, tid, device, longest, task_rate):
    """The shortest pause worth making, and T_NR_DIRTIED_PAUSE: after how many pages it should come (wb_min_pause)."""
    rate = k.bdi[device, BD_DIRTY_RATELIMIT]
    ms = 10
    difference = ilog2(k.bdi[device, BD_AVG_WRITE_BW]) - ilog2(rate)
    if difference > 0:
        ms += difference * 10 * SECOND_MS // 1024
    ms = min(ms, 1 + longest // 2)
    pages = rate * ms // 1024
    if pages < poll_pages(k):
        ms = longest
        pages = rate * ms // 1024
        if pages > poll_pages(k):
            pages = poll_pages(k)
            ms = SECOND_MS * pages // rate
    if SECOND_MS * pages // (task_rate + 1) > longest:
        ms = longest
        pages = task_rate * ms // 1024
    k.task[tid, T_NR_DIRTIED_PAUSE] = pages
    return 1 + ms // 2 if pages >= poll_pages(k) else ms


@compiled
def _pause(k, tid, device, ratio, now):
    """Milliseconds that the task must sleep for the pages that it has dirtied, 0 for none."""
    task = k.task[tid]
    dirtied = task[T_NR_DIRTIED]
    task_rate = k.bdi[device, BD_DIRTY_RATELIMIT] * ratio >> CALC_SHIFT
    longest = _max_pause_ms(k, device)
    before = task[T_NR_DIRTIED_PAUSE]
    shortest = _min_pause_ms(k, tid, device, longest, task_rate)
    if task_rate == 0:
        task[T_THROTTLED] = 1
        return longest
    period = SECOND_MS * dirtied // task_rate
    pause = period
    if task[T_DIRTY_PAUSED_WHEN] != 0:
        pause -= (now - task[T_DIRTY_PAUSED_WHEN]) // NS_PER_MS
    if pause >= shortest:
        return min(pause, longest)
    if pause < -SECOND_MS:
        task[T_DIRTY_PAUSED_WHEN] = now
        task[T_NR_DIRTIED] = 0
    elif period > 0:
        task[T_DIRTY_PAUSED_WHEN] += period * NS_PER_MS
        task[T_NR_DIRTIED] = 0
    elif before <= dirtied:
        before += dirtied
    task[T_NR_DIRTIED_PAUSE] = before
    return 0


@compiled
def balance_dirty_pages(k, tid, device):
    """Whether the task must sleep now (T_WAIT is set), because it dirties pages faster than its device writes them.

    One round of the kernel's loop: who is over the limit comes back when it wakes (T_THROTTLED).
    """
    task = k.task[tid]
    task[T_THROTTLED] = 0
    now = now_ns(k)
    global_dirty_limits(k)
    dirty = k.domain[DOM_DIRTY]
    pause = 0
    exceeded = False
    if dirty <= freerun_ceiling(k):
        left = k.domain[DOM_THRESH] - dirty
        task[T_DIRTY_PAUSED_WHEN] = now
        task[T_NR_DIRTIED] = 0
        task[T_NR_DIRTIED_PAUSE] = 1 << (ilog2(left) >> 1) if left > 0 else 1
    else:
        if k.bdi[device, BD_WORK_KIND] == WORK_NONE:
            start_background_writeback(k, device)
        share = wb_calc_thresh(k, device, now, k.domain[DOM_THRESH])
        exceeded = wb_dirty(k, device) > share and dirty > k.domain[DOM_THRESH]
        if exceeded:
            k.bdi[device, BD_DIRTY_EXCEEDED] = 1
        ratio = position_ratio(k, device, share)
        wb_update_bandwidth(k, device, now, now, ratio)
        pause = _pause(k, tid, device, ratio, now)
    if pause > 0:
        task[T_DIRTY_PAUSED_WHEN] = now + pause * NS_PER_MS
        task[T_NR_DIRTIED] = 0
        task[T_WAIT] = WAIT_THROTTLE
        task[T_WAIT_ARG] = pause * NS_PER_MS
    if not exceeded:
        k.bdi[device, BD_DIRTY_EXCEEDED] = 0
    if k.bdi[device, BD_WORK_KIND] == WORK_NONE and k.vmstat[NR_FILE_DIRTY] > k.domain[DOM_BG_THRESH]:
        start_background_writeback(k, device)
    return pause > 0


@compiled
def balance_dirty_pages_ratelimited(k, tid, file):
    """Called after each page that a task dirties: now and then the limits are looked at; whether it must sleep now."""
    task = k.task[tid]
    device = k.file[file, FI_DEVICE]
    if device < 0:
        return False
    limit = task[T_NR_DIRTIED_PAUSE] if task[T_NR_DIRTIED_PAUSE] > 0 else poll_pages(k)
    if k.bdi[device, BD_DIRTY_EXCEEDED] != 0:
        limit = min(limit, poll_pages(k) // 4)
    counter = DOM_CPU_DIRTIED + k.sc[SC_CPU] % DOM_CPUS
    if task[T_NR_DIRTIED] >= limit:
        k.domain[counter] = 0
    elif k.domain[counter] >= k.domain[DOM_RATELIMIT_PAGES]:
        k.domain[counter] = 0
        limit = 0
    if task[T_NR_DIRTIED] < limit:
        return False
    return balance_dirty_pages(k, tid, device)
