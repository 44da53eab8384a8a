"""Completion of requests: pages become up to date or clean, and their locks are released.   Follows fs/mpage.c and mm/page_io.c of v4.4."""

from vmsim.mm.page_writeback import end_file_write, end_page_writeback
from vmsim.struct.costs import C_IO_COMPLETE
from vmsim.struct.files import B_DEVICE, B_FILE, B_INDEX, B_PAGES, B_STATE, B_TASK, B_WRITE, BIO_COLUMNS, BIO_FREE, FI_CACHE
from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import SC_CPU
from vmsim.struct.pages import P_FLAGS, PG_DIRTY, PG_ERROR, PG_LOCKED, PG_RECLAIM, PG_UPTODATE
from vmsim.struct.swaps import D_READS, D_WRITES
from vmsim.struct.tasks import T_CPU


@compiled
def _page_read(k, pfn, error):
    flags = k.frame[pfn, P_FLAGS] & ~PG_LOCKED
    k.frame[pfn, P_FLAGS] = flags | (PG_ERROR if error != 0 else PG_UPTODATE)


@compiled
def end_read(k, bio, error):
    """A read of page-cache pages is done: unlock them, up to date or in error."""
    file = k.bio[bio, B_FILE]
    slot = k.file[file, FI_CACHE] + k.bio[bio, B_INDEX]
    for i in range(k.bio[bio, B_PAGES]):
        pfn = k.pcache[slot + i]
        if pfn > 0:
            _page_read(k, pfn, error)


@compiled
def end_swap(k, bio, error):
    """Swap pages are read, or written; a page that could not be written stays dirty (end_swap_bio_write)."""
    first = k.bio[bio, B_INDEX]
    for i in range(k.bio[bio, B_PAGES]):
        pfn = k.bio_page[first + i]
        if k.bio[bio, B_WRITE] == 0:
            _page_read(k, pfn, error)
        else:
            if error != 0:
                k.frame[pfn, P_FLAGS] = (k.frame[pfn, P_FLAGS] | PG_ERROR | PG_DIRTY) & ~PG_RECLAIM
            end_page_writeback(k, pfn)


@entry
def complete_bio(k, bio, error):
    """A device has finished a request (`error` 1: it failed); the CPU time of the completion in ns."""
    k.sc[SC_CPU] = k.task[k.bio[bio, B_TASK], T_CPU]  # where the request came from (blk_mq_complete_request)
    k.dev[k.bio[bio, B_DEVICE], D_WRITES if k.bio[bio, B_WRITE] != 0 else D_READS] -= 1
    if k.bio[bio, B_FILE] == 0:
        end_swap(k, bio, error)
    elif k.bio[bio, B_WRITE] != 0:
        end_file_write(k, bio, error)
    else:
        end_read(k, bio, error)
    for column in range(BIO_COLUMNS):
        k.bio[bio, column] = 0
    k.bio[bio, B_STATE] = BIO_FREE
    return k.cost[C_IO_COMPLETE]
