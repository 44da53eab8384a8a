"""The flusher of a device: periodic, background and asked-for writing of dirty files.   Follows fs/fs-writeback.c of v4.4 (E.7).

One step function, called slice by slice; what it is at stands in the device's row of `bdi`:

| BD_WORK_KIND | ends when |
|---|---|
| WORK_NONE | the flusher is called, or its timer (`dirty_writeback_centisecs`) runs out, and there is work |
| WORK_PAGES | the pages that reclaim asked for are written |
| WORK_OLD | no file is left that became dirty more than `dirty_expire_centisecs` ago |
| WORK_BACKGROUND | dirty memory is below the background threshold |
"""

from vmsim.mm.dirty_limits import global_dirty_limits, wb_calc_thresh, wb_update_bandwidth
from vmsim.mm.inode_lists import NS_PER_CENTISEC, next_file, put_on_list, queue_io, redirty_tail, set_timer, wake_flusher
from vmsim.mm.page_writeback import WB_DONE, WB_WAITS, write_cache_pages
from vmsim.mm.resched import elapsed_ns, now_ns
from vmsim.struct.files import FI_CAPACITY, FI_NRDIRTY, FI_WB_INDEX
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import (
    G_PAGE_SHIFT,
    SC_DEADLINE,
    SC_NR_NEW_BIOS,
    SYS_DIRTY_EXPIRE_CENTISECS,
    SYS_DIRTY_WRITEBACK_CENTISECS,
)
from vmsim.struct.tasks import (
    SLICE_BLOCKED,
    SLICE_BUDGET,
    SLICE_IO,
    T_WAIT,
    T_WAIT_ARG,
    T_WB_END,
    T_WB_INDEX,
    T_WB_LAST,
    T_WB_LEFT,
    WAIT_EVENT,
)
from vmsim.struct.vmstat import NR_FILE_DIRTY
from vmsim.struct.writeback import (
    BD_AVG_WRITE_BW,
    BD_BACKGROUND,
    BD_CHUNK,
    BD_CYCLIC_END,
    BD_FILE,
    BD_LAST_OLD_FLUSH,
    BD_NR_FILES,
    BD_NR_PAGES,
    BD_NRDIRTY,
    BD_OLDER,
    BD_PROGRESS,
    BD_RUNNING,
    BD_STARTED,
    BD_TIMER,
    BD_WORK_KIND,
    BD_WORK_PAGES,
    DOM_BG_THRESH,
    DOM_DIRTY_LIMIT,
    MAX_BDIS,
    RUN_BACKGROUND,
    RUN_OLD,
    RUN_WORK,
    TAG_DIRTY,
    WB_IO,
    WB_MORE_IO,
    WB_NONE,
    WORK_BACKGROUND,
    WORK_NONE,
    WORK_OLD,
    WORK_PAGES,
)

_NO_LIMIT = 1 << 60
_MIN_WRITEBACK_BYTES = 4096 << 10


@compiled
def wakeup_flusher_threads(k, nr_pages):
    """Reclaim wants so many pages written (0: all that are dirty): each device that has any is asked (wakeup_flusher_threads)."""
    wanted = nr_pages if nr_pages > 0 else k.vmstat[NR_FILE_DIRTY]
    for device in range(MAX_BDIS):
        if k.bdi[device, BD_NRDIRTY] > 0:
            k.bdi[device, BD_WORK_PAGES] += wanted
            wake_flusher(k, device)


@compiled
def over_bground_thresh(k, device, now):
    """Whether dirty memory, or a device's share of it, is above the background threshold (wb_over_bg_thresh)."""
    global_dirty_limits(k)
    background = k.domain[DOM_BG_THRESH]
    if k.vmstat[NR_FILE_DIRTY] > background:
        return True
    return k.bdi[device, BD_NRDIRTY] > wb_calc_thresh(k, device, now, background)


@compiled
def _begin_work(k, device, kind, pages, older, now):
    row = k.bdi[device]
    row[BD_WORK_KIND] = kind
    row[BD_NR_PAGES] = pages
    row[BD_OLDER] = older
    row[BD_STARTED] = now
    row[BD_FILE] = 0
    row[BD_PROGRESS] = 1


@compiled
def _next_work(k, device, now):
    """Begin the next piece of work; False if there is none.

    One call of the flusher does what was asked for, then one periodic and one background round (wb_do_writeback).
    """
    row = k.bdi[device]
    interval = k.sysctl[SYS_DIRTY_WRITEBACK_CENTISECS] * NS_PER_CENTISEC
    if row[BD_WORK_PAGES] > 0:
        _begin_work(k, device, WORK_PAGES, row[BD_WORK_PAGES], now, now)
        row[BD_WORK_PAGES] = 0
        row[BD_RUNNING] = RUN_WORK
        return True
    if row[BD_NR_FILES] == 0:
        return False
    periodic = row[BD_RUNNING] < RUN_OLD
    background = row[BD_RUNNING] < RUN_BACKGROUND
    if periodic and interval > 0 and now >= row[BD_LAST_OLD_FLUSH] + interval:
        row[BD_RUNNING] = RUN_OLD
        row[BD_LAST_OLD_FLUSH] = now
        pages = k.vmstat[NR_FILE_DIRTY] + row[BD_NR_FILES]
        _begin_work(k, device, WORK_OLD, pages, now - k.sysctl[SYS_DIRTY_EXPIRE_CENTISECS] * NS_PER_CENTISEC, now)
        return True
    row[BD_RUNNING] = RUN_BACKGROUND
    if background and over_bground_thresh(k, device, now):
        _begin_work(k, device, WORK_BACKGROUND, _NO_LIMIT, now, now)
        return True
    return False


@compiled
def _goes_on(k, device, now):
    """Whether the work in progress is to take another file (the head of wb_writeback's loop)."""
    row = k.bdi[device]
    kind = row[BD_WORK_KIND]
    if row[BD_NR_PAGES] <= 0 or kind != WORK_PAGES and row[BD_WORK_PAGES] > 0:
        return False
    if kind == WORK_BACKGROUND:
        row[BD_OLDER] = now
        return over_bground_thresh(k, device, now)
    if kind == WORK_OLD:
        row[BD_OLDER] = now - k.sysctl[SYS_DIRTY_EXPIRE_CENTISECS] * NS_PER_CENTISEC
    return True


@compiled
def _chunk_pages(k, device):
    """How many pages of one file are written before it is the next one's turn (writeback_chunk_size)."""
    least = max(1, _MIN_WRITEBACK_BYTES >> k.geo[G_PAGE_SHIFT])
    pages = min(k.bdi[device, BD_AVG_WRITE_BW] // 2, k.domain[DOM_DIRTY_LIMIT] // 8, k.bdi[device, BD_NR_PAGES])
    return (pages + least) // least * least


@compiled
def _begin_file(k, tid, device):
    """Take the next file of b_io, filled anew when it is empty; False if the work finds none, or got nowhere with the last ones."""
    row = k.bdi[device]
    file = next_file(k, device, WB_IO)
    if file == 0:
        if row[BD_PROGRESS] == 0:
            return False
        queue_io(k, device, row[BD_OLDER])
        row[BD_PROGRESS] = 0
        file = next_file(k, device, WB_IO)
        if file == 0:
            return False
    task = k.task[tid]
    row[BD_FILE] = file
    row[BD_CHUNK] = _chunk_pages(k, device)
    row[BD_CYCLIC_END] = k.file[file, FI_WB_INDEX]
    task[T_WB_INDEX] = task[T_WB_LAST] = k.file[file, FI_WB_INDEX]
    task[T_WB_END] = k.file[file, FI_CAPACITY]
    task[T_WB_LEFT] = row[BD_CHUNK]
    return True


@compiled
def _end_file(k, tid, device):
    """A file's turn is over: off the lists if it is clean, else behind the others (requeue_inode)."""
    row = k.bdi[device]
    file = row[BD_FILE]
    left = k.task[tid, T_WB_LEFT]
    wrote = row[BD_CHUNK] - left
    row[BD_NR_PAGES] -= wrote
    row[BD_FILE] = 0
    k.file[file, FI_WB_INDEX] = k.task[tid, T_WB_LAST]
    if wrote > 0 or k.file[file, FI_NRDIRTY] == 0:
        row[BD_PROGRESS] = 1
    if k.file[file, FI_NRDIRTY] == 0:
        put_on_list(k, file, WB_NONE)
    elif left <= 0:
        put_on_list(k, file, WB_MORE_IO)
    else:
        redirty_tail(k, file)
    wb_update_bandwidth(k, device, now_ns(k), row[BD_STARTED], -1)


@compiled
def _write_file(k, tid, device):
    """Go on with the file at hand, from where its last turn ended to its end and then from its start: WB_*."""
    row = k.bdi[device]
    task = k.task[tid]
    while True:
        result = write_cache_pages(k, tid, row[BD_FILE], TAG_DIRTY)
        if result != WB_DONE:
            return result
        if task[T_WB_LEFT] <= 0 or row[BD_CYCLIC_END] == 0:
            _end_file(k, tid, device)
            return WB_DONE
        task[T_WB_INDEX] = 0
        task[T_WB_END] = row[BD_CYCLIC_END]
        row[BD_CYCLIC_END] = 0


@compiled
def _is_called(k, device, now):
    """Whether there is reason to look for work: somebody asked for some, or the timer has run out."""
    row = k.bdi[device]
    timer = row[BD_TIMER] != 0 and now >= row[BD_TIMER]
    return timer or row[BD_BACKGROUND] != 0 or row[BD_WORK_PAGES] > 0


@compiled
def _has_work(k, device, now):
    """Go from one piece of work to the next; False when the flusher is to sleep (wb_workfn)."""
    row = k.bdi[device]
    if row[BD_WORK_KIND] != WORK_NONE:
        return True
    if row[BD_RUNNING] == 0:
        if not _is_called(k, device, now):
            return False
        row[BD_RUNNING] = RUN_WORK
        row[BD_BACKGROUND] = 0
    if _next_work(k, device, now):
        return True
    row[BD_RUNNING] = 0
    row[BD_TIMER] = 0
    if row[BD_NR_FILES] > 0:
        set_timer(k, device)
    return False


@compiled
def _sleep(k, tid, device, now):
    """Sleep until the flusher is called, or its timer runs out."""
    timer = k.bdi[device, BD_TIMER]
    k.task[tid, T_WAIT] = WAIT_EVENT
    k.task[tid, T_WAIT_ARG] = max(timer - now, 1) if timer != 0 else 0
    return SLICE_BLOCKED


@compiled
def wb_workfn_step(k, tid, device):
    """Run a device's flusher for a slice; why it ended (SLICE_*)."""
    row = k.bdi[device]
    while True:
        now = now_ns(k)
        if not _has_work(k, device, now):
            return _sleep(k, tid, device, now)
        if row[BD_FILE] == 0 and not (_goes_on(k, device, now) and _begin_file(k, tid, device)):
            row[BD_WORK_KIND] = WORK_NONE
            continue
        if _write_file(k, tid, device) == WB_WAITS:
            return SLICE_BLOCKED
        if elapsed_ns(k) >= k.sc[SC_DEADLINE]:
            return SLICE_IO if k.sc[SC_NR_NEW_BIOS] > 0 else SLICE_BUDGET
