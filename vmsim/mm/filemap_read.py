"""read(2) of regular files and tmpfs, page by page.   Follows mm/filemap.c (do_generic_file_read) and shmem.c of v4.4 (E.1)."""

from vmsim.mm.filemap import wait_for_page
from vmsim.mm.page_alloc_slow import page_to_read_into
from vmsim.mm.readahead import READ_WAITS, page_cache_async_readahead, page_cache_sync_readahead, submit_read, submit_rest
from vmsim.mm.resched import cond_resched
from vmsim.mm.shmem import SHMEM_ERROR, shmem_getpage
from vmsim.mm.shmem_file import file_of, is_open
from vmsim.mm.swap import mark_page_accessed
from vmsim.struct.costs import C_COPY_PAGE, C_FILE_PAGE, C_PAGE_CACHE_LOOKUP
from vmsim.struct.errno import EBADF, EINVAL, EIO, EWAIT
from vmsim.struct.files import (
    FI_CACHE,
    FI_KIND,
    FI_POS,
    FI_PREV_POS,
    FI_RA_PAGES,
    FI_RA_REST,
    FI_SIZE,
    FILE_REGULAR,
    FMODE_READ,
    PCACHE_SWAP,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.ledger import L_COPY, L_SYSCALL
from vmsim.struct.pages import P_FLAGS, PG_LOCKED, PG_READAHEAD, PG_UPTODATE
from vmsim.struct.reclaim import FOR_READ, N_ALLOC_FOR
from vmsim.struct.rules import R_READ_MOVES_POSITION
from vmsim.struct.tasks import T_STAGE, T_STAGE_ARG, T_STAGE_ARG2

FILE_POSITION = -(1 << 62)  # instead of an offset: read or write at the file's position, and move it
MAX_RW_COUNT = (1 << 31) - 4096

# T_STAGE of a call that goes on.
RW_GOES_ON = 1
RW_READING = 2  # the page at hand is being read by itself

PAGE_WAITS = -1  # what `page_for_read` returns instead of a frame
PAGE_FAILED = -2


@compiled
def file_with(k, fd, right):
    """The file of an open descriptor that has a right, or -EBADF."""
    return file_of(fd) if is_open(k, fd) and fd & right != 0 else -EBADF


@compiled
def begin_rw(k, tid, file, offset):
    """The position of a call in its file, kept while the call waits; or -EINVAL."""
    task = k.task[tid]
    if task[T_STAGE] == 0:
        pos = k.file[file, FI_POS] if offset == FILE_POSITION else offset
        if pos < 0:
            return -EINVAL
        task[T_STAGE] = RW_GOES_ON
        task[T_STAGE_ARG] = 0
        task[T_STAGE_ARG2] = pos
    return task[T_STAGE_ARG2]


@compiled
def copy_pages(k, count):
    """Charge copying so many bytes of a page between the page cache and the program."""
    k.led[L_COPY] += k.cost[C_COPY_PAGE] * count >> k.geo[G_PAGE_SHIFT]
    k.led[L_SYSCALL] += k.cost[C_FILE_PAGE]


@compiled
def read_single(k, tid, file, index):
    """Read one page and wait for it (readpage)."""
    slot = k.file[file, FI_CACHE] + index
    if k.pcache[slot] <= 0 and not page_to_read_into(k):
        k.node[N_ALLOC_FOR] = FOR_READ
        return PAGE_WAITS
    submit_read(k, tid, file, index, 1, -1, 0)
    k.task[tid, T_STAGE] = RW_READING
    wait_for_page(k, tid, k.pcache[slot])
    return PAGE_WAITS


@compiled
def page_for_read(k, tid, file, index, request):
    """The frame of a file's page, up to date, where the call wants `request` pages from it on; PAGE_WAITS or PAGE_FAILED."""
    task = k.task[tid]
    k.led[L_SYSCALL] += k.cost[C_PAGE_CACHE_LOOKUP]
    slot = k.file[file, FI_CACHE] + index
    pfn = k.pcache[slot]
    if pfn <= 0:
        task[T_STAGE] = RW_GOES_ON
        if page_cache_sync_readahead(k, tid, file, index, request) == READ_WAITS:
            return PAGE_WAITS
        pfn = k.pcache[slot]
        if pfn <= 0:
            return read_single(k, tid, file, index)
    if k.frame[pfn, P_FLAGS] & PG_READAHEAD != 0 and page_cache_async_readahead(k, tid, file, pfn, index, request, 1) == READ_WAITS:
        return PAGE_WAITS
    if k.frame[pfn, P_FLAGS] & PG_UPTODATE != 0:
        task[T_STAGE] = RW_GOES_ON
        return pfn
    if k.frame[pfn, P_FLAGS] & PG_LOCKED != 0:
        wait_for_page(k, tid, pfn)
        return PAGE_WAITS
    if task[T_STAGE] == RW_READING:
        k.file[file, FI_RA_PAGES] //= 4  # shrink_readahead_size_eio
        return PAGE_FAILED
    return read_single(k, tid, file, index)


@compiled
def _end_read(k, tid, file, pos, done, moves):
    """Where the call stopped, for the next one's read-ahead and position."""
    shift = k.geo[G_PAGE_SHIFT]
    if done > 0 and k.rule[R_READ_MOVES_POSITION] == 0:
        k.file[file, FI_PREV_POS] = (pos + done - 1) >> shift << shift | (pos + done) & ((1 << shift) - 1)
    if moves:
        k.file[file, FI_POS] = pos + done
    k.task[tid, T_STAGE] = 0
    return done


@compiled
def do_generic_file_read(k, tid, file, pos, count, moves):
    """Read bytes of a file that has a device: how many, -EIO if the first page can't be read, or -EWAIT.

    Model: a read at the end of the file allocates no page (as since 5.6).
    """
    shift = k.geo[G_PAGE_SHIFT]
    page = 1 << shift
    done = k.task[tid, T_STAGE_ARG]
    end = min(pos + count, k.file[file, FI_SIZE])
    last = (pos + count + page - 1) >> shift
    while pos + done < end or k.file[file, FI_RA_REST] != 0:
        at = pos + done
        index = at >> shift
        if k.file[file, FI_RA_REST] != 0:
            if submit_rest(k, tid, file) == READ_WAITS or cond_resched(k, tid):
                return -EWAIT
            continue
        pfn = page_for_read(k, tid, file, index, last - index)
        if pfn == PAGE_FAILED:
            _end_read(k, tid, file, pos, done, moves)
            return done if done > 0 else -EIO
        if pfn == PAGE_WAITS:
            return -EWAIT
        moves_along = k.rule[R_READ_MOVES_POSITION] != 0
        previous = k.file[file, FI_PREV_POS]
        if done > 0 or ((previous - 1) >> shift != index if moves_along else previous != at):
            mark_page_accessed(k, pfn)
        piece = min(end - at, page - (at & (page - 1)))
        copy_pages(k, piece)
        done += piece
        if moves_along:
            k.file[file, FI_PREV_POS] = at + piece
        k.task[tid, T_STAGE_ARG] = done
        if (pos + done < end or k.file[file, FI_RA_REST] != 0) and cond_resched(k, tid):
            return -EWAIT
    return _end_read(k, tid, file, pos, done, moves)


@compiled
def _shmem_file_read(k, tid, file, pos, count, moves):
    """Read bytes of a file in memory; a hole reads as the zero page (shmem_file_read_iter)."""
    shift = k.geo[G_PAGE_SHIFT]
    page = 1 << shift
    done = k.task[tid, T_STAGE_ARG]
    end = min(pos + count, k.file[file, FI_SIZE])
    while pos + done < end:
        at = pos + done
        k.led[L_SYSCALL] += k.cost[C_PAGE_CACHE_LOOKUP]
        pfn = k.pcache[k.file[file, FI_CACHE] + (at >> shift)]
        if pfn < PCACHE_SWAP // 2:
            pfn = shmem_getpage(k, file, at >> shift)
            if pfn == SHMEM_ERROR:
                return done if done > 0 else -EIO
            if pfn <= 0:
                return -EWAIT
        if pfn > 0 and at & (page - 1) == 0:
            mark_page_accessed(k, pfn)
        piece = min(end - at, page - (at & (page - 1)))
        copy_pages(k, piece)
        done += piece
        k.task[tid, T_STAGE_ARG] = done
        if pos + done < end and cond_resched(k, tid):
            return -EWAIT
    return _end_read(k, tid, file, pos, done, moves)


@compiled
def sys_read(k, tid, fd, count, offset):
    """read(2) at the file's position (offset FILE_POSITION), or pread(2).

    Model: the program's buffer is resident, so copying to it faults on nothing.
    """
    file = file_with(k, fd, FMODE_READ)
    if file < 0:
        return file
    if count < 0:
        return -EINVAL
    pos = begin_rw(k, tid, file, offset)
    if pos < 0:
        return pos
    length = min(count, MAX_RW_COUNT)
    if k.file[file, FI_KIND] == FILE_REGULAR:
        return do_generic_file_read(k, tid, file, pos, length, offset == FILE_POSITION)
    return _shmem_file_read(k, tid, file, pos, length, offset == FILE_POSITION)
