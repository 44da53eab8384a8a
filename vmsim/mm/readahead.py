"""Read-ahead: which pages a miss reads, and submitting the reads.   Follows mm/readahead.c and filemap.c of v4.4 (E.2, E.3)."""

from vmsim.mm.bio import READ_AHEAD, READ_WAITED, submit_run
from vmsim.mm.ext2 import map_blocks
from vmsim.mm.page_alloc import hold_page, release_page
from vmsim.mm.page_alloc_slow import ALLOC_WAITS, alloc_page_noretry
from vmsim.mm.pagecache import add_to_page_cache_lru
from vmsim.struct.bits import bit_length
from vmsim.struct.files import (
    FI_BDI_RA,
    FI_CACHE,
    FI_CAPACITY,
    FI_MMAP_MISS,
    FI_PREV_POS,
    FI_RA_ASYNC,
    FI_RA_PAGES,
    FI_RA_REST,
    FI_RA_SIZE,
    FI_RA_START,
    FI_RANDOM,
    FI_SIZE,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_NR_CPUS, SC_WAKE
from vmsim.struct.pages import P_FLAGS, PG_ERROR, PG_LOCKED, PG_READAHEAD, PG_WRITEBACK
from vmsim.struct.reclaim import DAEMON_KSWAPD
from vmsim.struct.rules import (
    R_READAHEAD_IO_PAGES,
    R_READAHEAD_IS_PREEMPTED,
    R_READAHEAD_KEEPS_SIZE,
    R_READAHEAD_LOOKS_SHORT,
    R_READAHEAD_WHOLE_WINDOW,
)
from vmsim.struct.vmas import V_FLAGS, VM_RAND_READ, VM_SEQ_READ

MMAP_LOTSAMISS = 100
READ_WAITS = -1  # instead of a number of pages
IO_BYTES = 1280 << 10  # the largest request of a device (block/blk-settings.c: BLK_DEF_MAX_SECTORS, and no device here takes less)


@compiled
def submit_read(k, tid, file, pgoff, count, marker, force):
    """Read the pages of [pgoff, pgoff+count) that are absent, up to the end of the file (__do_page_cache_readahead).

    The page at `marker` (if it is newly read; -1: none) gets PG_readahead. Runs of absent pages become one request each.
    Returns the pages read; stops early when memory is out. `force` marks reads that nobody waits for.
    """
    return _submit(k, tid, file, pgoff, count, marker, force, 0)


@compiled
def submit_rest(k, tid, file):
    """Go on with a window that kswapd came between, or that waited for memory; READ_WAITS: it waits again."""
    rest = k.file[file, FI_RA_REST]
    k.file[file, FI_RA_REST] = 0
    first = rest >> 32
    return _submit(k, tid, file, first, rest & 0xFFFF, first + (rest >> 16 & 0xFFFF), 1, 1)


@compiled
def _preempted(k):
    """Whether the task makes way for kswapd, which its last page has woken."""
    return k.sc[SC_WAKE] & 1 << DAEMON_KSWAPD != 0 and k.sc[SC_NR_CPUS] == 1 and k.rule[R_READAHEAD_IS_PREEMPTED] != 0


@compiled
def _leave_rest(k, file, first, end, marker):
    """Pages from `first` on stay to be read, as FI_RA_REST."""
    mark = marker - first
    k.file[file, FI_RA_REST] = first << 32 | (mark if 0 <= mark < end - first else 0xFFFF) << 16 | min(end - first, 0xFFFF)


@compiled
def _submit(k, tid, file, pgoff, count, marker, force, stops):
    """`submit_read`, where it `stops` only up to where kswapd comes between, or where it must wait for memory: the rest is FI_RA_REST.

    READ_WAITS: T_WAIT says what the task waits for.
    """
    shift = k.geo[G_PAGE_SHIFT]
    end = min(pgoff + count, (k.file[file, FI_SIZE] + (1 << shift) - 1) >> shift)
    run = 0
    read = 0
    waits = 0
    for i in range(pgoff, end + 1):
        pfn = 0
        if i < end:
            slot = k.file[file, FI_CACHE] + i
            if k.pcache[slot] <= 0:
                pfn = alloc_page_noretry(k, stops != 0)
                if pfn == ALLOC_WAITS:
                    waits = 1
                    pfn = 0
                    _leave_rest(k, file, i, end, marker)
                    end = i
                elif pfn != 0:
                    k.frame[pfn, P_FLAGS] |= PG_LOCKED | (PG_READAHEAD if i == marker else 0)
                    add_to_page_cache_lru(k, file, i, pfn)
                else:
                    end = i
            elif count == 1 and k.frame[k.pcache[slot], P_FLAGS] & PG_ERROR != 0:
                pfn = k.pcache[slot]
                k.frame[pfn, P_FLAGS] = (k.frame[pfn, P_FLAGS] | PG_LOCKED) & ~PG_ERROR
        if pfn != 0:
            run += 1
            read += 1
            if stops != 0 and i + 1 < end and _preempted(k):
                _leave_rest(k, file, i + 1, end, marker)
                end = i + 1
        elif run > 0:
            map_blocks(k, tid, file, i - run, run)
            submit_run(k, tid, file, i - run, run, READ_AHEAD if force != 0 else READ_WAITED)
            run = 0
        if i >= end:
            break
    return READ_WAITS if waits != 0 else read


@compiled
def _pow2ceil(n):
    return 1 << bit_length(n - 1)


@compiled
def init_window(request, limit):
    """Size of the first window of a stream (get_init_ra_size)."""
    size = _pow2ceil(request)
    if size <= limit // 32:
        return size * 4
    if size <= limit // 4:
        return size * 2
    return limit


@compiled
def next_window(size, limit):
    """Size of the window after one of `size` (get_next_ra_size)."""
    return min(4 * size if size < limit // 16 else 2 * size, limit)


@compiled
def _history(k, file, offset, limit):
    """Cached pages right before `offset`, at most `limit` (count_history_pages)."""
    count = 0
    while count < limit and offset - count - 1 >= 0 and k.pcache[k.file[file, FI_CACHE] + offset - count - 1] > 0:
        count += 1
    return count


@compiled
def ondemand_readahead(k, tid, file, offset, request, hit_marker, stops):
    """Choose and submit a window for a miss, or for a hit on the marker page; where it `stops`, FI_RA_REST may be left of it."""
    f = k.file
    limit = f[file, FI_RA_PAGES]
    if request > limit and k.rule[R_READAHEAD_IO_PAGES] != 0:
        limit = max(limit, min(request, IO_BYTES >> k.geo[G_PAGE_SHIFT]))
    start = f[file, FI_RA_START]
    size = f[file, FI_RA_SIZE]
    previous = f[file, FI_PREV_POS] >> k.geo[G_PAGE_SHIFT]
    if offset != 0 and (offset == start + size - f[file, FI_RA_ASYNC] or offset == start + size):
        start += size
        size = max(next_window(size, limit), size if k.rule[R_READAHEAD_KEEPS_SIZE] != 0 else 0)
        ahead = size
    elif offset != 0 and hit_marker != 0:
        start = offset + 1
        last = offset + limit - k.rule[R_READAHEAD_LOOKS_SHORT]
        while start <= last and start < f[file, FI_CAPACITY] and k.pcache[f[file, FI_CACHE] + start] > 0:
            start += 1
        if start - offset > limit:
            return 0
        size = next_window(start - offset + request, limit)
        ahead = size
    elif offset == 0 or request > limit or previous >= 0 and 0 <= offset - previous <= 1:
        start = offset
        size = init_window(request, limit)
        ahead = size - request if size > request else size
    else:
        history = _history(k, file, offset, limit - k.rule[R_READAHEAD_LOOKS_SHORT])
        if history <= request:
            return _submit(k, tid, file, offset, request, -1, 0, stops)
        if history >= offset:
            history *= 2
        start = offset
        size = min(history + request, limit)
        ahead = 1
    if offset == start and size == ahead:
        ahead = next_window(size, limit)
        if size + ahead > limit and k.rule[R_READAHEAD_WHOLE_WINDOW] != 0:
            size = limit
            ahead = limit // 2
        else:
            size += ahead
    f[file, FI_RA_START] = start
    f[file, FI_RA_SIZE] = size
    f[file, FI_RA_ASYNC] = ahead
    return _submit(k, tid, file, start, size, start + size - ahead, hit_marker, stops)


@compiled
def do_sync_mmap_readahead(k, tid, v, file, offset):
    """A fault on a page that isn't cached: read around it, unless advice or too many misses forbid it."""
    f = k.file
    flags = k.vma[v, V_FLAGS]
    limit = f[file, FI_RA_PAGES]
    if flags & VM_RAND_READ != 0 or limit == 0:
        return
    if flags & VM_SEQ_READ != 0:
        ondemand_readahead(k, tid, file, offset, limit, 0, 0)
        return
    if f[file, FI_MMAP_MISS] < MMAP_LOTSAMISS * 10:
        f[file, FI_MMAP_MISS] += 1
    if f[file, FI_MMAP_MISS] > MMAP_LOTSAMISS:
        return
    f[file, FI_RA_START] = max(0, offset - limit // 2)
    f[file, FI_RA_SIZE] = limit
    f[file, FI_RA_ASYNC] = limit // 4
    start = f[file, FI_RA_START]
    submit_read(k, tid, file, start, limit, start + limit - limit // 4, 0)


@compiled
def do_async_mmap_readahead(k, tid, v, file, pfn, offset):
    """A fault on a cached page: one miss is forgiven, and the marker page starts the next window; whether it was one."""
    if k.vma[v, V_FLAGS] & VM_RAND_READ != 0:
        return False
    if k.file[file, FI_MMAP_MISS] > 0:
        k.file[file, FI_MMAP_MISS] -= 1
    if k.frame[pfn, P_FLAGS] & PG_READAHEAD == 0 or k.file[file, FI_RA_PAGES] == 0:
        return False
    page_cache_async_readahead(k, tid, file, pfn, offset, k.file[file, FI_RA_PAGES], 0)
    return True


@compiled
def page_cache_async_readahead(k, tid, file, pfn, offset, request, stops):
    """The marker page was used: read the next window while the program works on this one.

    Model: only a reader `stops` for kswapd; a fault reads its whole window before anybody else runs.
    """
    if k.file[file, FI_RA_PAGES] == 0 or k.frame[pfn, P_FLAGS] & PG_WRITEBACK != 0:
        return 0
    k.frame[pfn, P_FLAGS] &= ~PG_READAHEAD
    held = hold_page(k, pfn)
    outcome = ondemand_readahead(k, tid, file, offset, request, 1, stops)
    release_page(k, pfn, held)
    return outcome


@compiled
def page_cache_sync_readahead(k, tid, file, offset, request):
    """read(2) needs a page that isn't cached: a window as the accesses so far suggest, or what is asked for (FMODE_RANDOM).

    READ_WAITS: the task waits for memory.
    """
    if k.file[file, FI_RA_PAGES] == 0:
        return 0
    if k.file[file, FI_RANDOM] != 0:
        force_page_cache_readahead(k, tid, file, offset, request, 0)
        return 0
    return ondemand_readahead(k, tid, file, offset, request, 0, 1)


@compiled
def force_page_cache_readahead(k, tid, file, offset, pages, ahead):
    """Read so many pages, but no more than a window (or, later, a request of the device), whatever the accesses look like.

    `ahead`: nobody waits.
    """
    limit = k.file[file, FI_BDI_RA]
    if k.rule[R_READAHEAD_IO_PAGES] != 0:
        limit = max(k.file[file, FI_RA_PAGES], IO_BYTES >> k.geo[G_PAGE_SHIFT])
    count = min(pages, limit)
    if count > 0:
        submit_read(k, tid, file, offset, count, -1, ahead)
