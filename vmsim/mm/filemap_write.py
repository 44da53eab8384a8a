"""write(2) of regular files and tmpfs, page by page.   Follows mm/filemap.c (generic_perform_write) of v4.4 (E.4)."""

from vmsim.mm.balance import balance_dirty_pages, balance_dirty_pages_ratelimited
from vmsim.mm.file_grow import ensure_room
from vmsim.mm.filemap import wait_for_page
from vmsim.mm.filemap_read import (
    FILE_POSITION,
    MAX_RW_COUNT,
    PAGE_FAILED,
    PAGE_WAITS,
    RW_GOES_ON,
    RW_READING,
    begin_rw,
    copy_pages,
    file_with,
    read_single,
)
from vmsim.mm.page_alloc_slow import alloc_page
from vmsim.mm.page_dirty import set_page_dirty
from vmsim.mm.pagecache import add_to_page_cache_lru
from vmsim.mm.resched import cond_resched
from vmsim.mm.shmem import SHMEM_ERROR, shmem_getpage
from vmsim.mm.swap import mark_page_accessed
from vmsim.struct.costs import C_PAGE_CACHE_LOOKUP, C_ZERO_PAGE
from vmsim.struct.errno import EINVAL, EIO, EWAIT
from vmsim.struct.files import FI_CACHE, FI_DEVICE, FI_KIND, FI_POS, FI_SIZE, FILE_REGULAR, FMODE_WRITE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.ledger import L_SYSCALL, L_ZERO
from vmsim.struct.pages import P_FLAGS, PG_ERROR, PG_LOCKED, PG_REFERENCED, PG_UPTODATE
from vmsim.struct.reclaim import FOR_WRITE, N_ALLOC_FOR
from vmsim.struct.tasks import T_STAGE, T_STAGE_ARG, T_THROTTLED


@compiled
def _new_page(k, tid, file, index):
    """A page for a write that isn't cached: it starts referenced (FGP_ACCESSED)."""
    pfn = alloc_page(k)
    if pfn == 0:
        k.node[N_ALLOC_FOR] = FOR_WRITE
        return PAGE_WAITS
    k.frame[pfn, P_FLAGS] |= PG_REFERENCED
    add_to_page_cache_lru(k, file, index, pfn)
    return pfn


@compiled
def write_begin(k, tid, file, at, piece):
    """The frame that a write of `piece` bytes at `at` goes to; a page that it covers in part is read first. PAGE_* if there is none yet."""
    task = k.task[tid]
    shift = k.geo[G_PAGE_SHIFT]
    index = at >> shift
    k.led[L_SYSCALL] += k.cost[C_PAGE_CACHE_LOOKUP]
    pfn = k.pcache[k.file[file, FI_CACHE] + index]
    fresh = pfn <= 0
    if fresh:
        pfn = _new_page(k, tid, file, index)
        if pfn < 0:
            return pfn
    elif k.frame[pfn, P_FLAGS] & PG_LOCKED != 0:
        wait_for_page(k, tid, pfn)
        return PAGE_WAITS
    if not fresh and task[T_STAGE] != RW_READING:
        mark_page_accessed(k, pfn)
    if k.frame[pfn, P_FLAGS] & PG_UPTODATE == 0 and piece < 1 << shift:
        if index << shift < k.file[file, FI_SIZE]:
            if not fresh and task[T_STAGE] == RW_READING:
                return PAGE_FAILED
            k.frame[pfn, P_FLAGS] |= PG_ERROR  # not up to date: `submit_read` reads it
            return read_single(k, tid, file, index)
        k.led[L_ZERO] += k.cost[C_ZERO_PAGE]
    task[T_STAGE] = RW_GOES_ON
    return pfn


@compiled
def _shmem_write_begin(k, tid, file, at):
    """The frame of a memory file's page; a new one starts referenced (shmem_write_begin)."""
    index = at >> k.geo[G_PAGE_SHIFT]
    fresh = k.pcache[k.file[file, FI_CACHE] + index] <= 0
    pfn = shmem_getpage(k, file, index)
    if pfn <= 0:
        return PAGE_FAILED if pfn == SHMEM_ERROR else PAGE_WAITS
    if fresh:
        k.frame[pfn, P_FLAGS] |= PG_REFERENCED
    else:
        mark_page_accessed(k, pfn)
    return pfn


@compiled
def _end_write(k, tid, file, pos, done, moves):
    if moves:
        k.file[file, FI_POS] = pos + done
    k.task[tid, T_STAGE] = 0
    return done


@compiled
def generic_perform_write(k, tid, file, pos, count, moves):
    """Write bytes of a file: how many, -EIO, -ENOSPC, or -EWAIT. The task pauses where it dirties pages too fast."""
    task = k.task[tid]
    page = 1 << k.geo[G_PAGE_SHIFT]
    regular = k.file[file, FI_KIND] == FILE_REGULAR
    if task[T_THROTTLED] != 0 and balance_dirty_pages(k, tid, k.file[file, FI_DEVICE]):
        return -EWAIT
    done = task[T_STAGE_ARG]
    while done < count:
        at = pos + done
        piece = min(count - done, page - (at & (page - 1)))
        pfn = 0
        error = ensure_room(k, file, (at + piece + page - 1) // page)
        if error == 0:
            pfn = write_begin(k, tid, file, at, piece) if regular else _shmem_write_begin(k, tid, file, at)
            if pfn == PAGE_WAITS:
                return -EWAIT
            if pfn == PAGE_FAILED:
                error = -EIO
        if error != 0:
            _end_write(k, tid, file, pos, done, moves)
            return done if done > 0 else error
        copy_pages(k, piece)
        k.frame[pfn, P_FLAGS] = (k.frame[pfn, P_FLAGS] | PG_UPTODATE) & ~PG_ERROR
        set_page_dirty(k, pfn)
        done += piece
        task[T_STAGE_ARG] = done
        k.file[file, FI_SIZE] = max(k.file[file, FI_SIZE], at + piece)
        if balance_dirty_pages_ratelimited(k, tid, file) or done < count and cond_resched(k, tid):
            return -EWAIT
    return _end_write(k, tid, file, pos, done, moves)


@compiled
def sys_write(k, tid, fd, count, offset):
    """write(2) at the file's position (offset FILE_POSITION), or pwrite(2); the file grows as needed."""
    file = file_with(k, fd, FMODE_WRITE)
    if file < 0:
        return file
    if count < 0:
        return -EINVAL
    pos = begin_rw(k, tid, file, offset)
    if pos < 0:
        return pos
    return generic_perform_write(k, tid, file, pos, min(count, MAX_RW_COUNT), offset == FILE_POSITION)
