"""Completion of requests: pages become up to date, and their locks are released.   Follows fs/mpage.c and mm/page_io.c of v4.4."""

from vmsim.mm.page_writeback import end_file_write
from vmsim.struct.costs import C_IO_COMPLETE
from vmsim.struct.files import B_FILE, B_INDEX, B_PAGES, B_STATE, B_WRITE, BIO_COLUMNS, BIO_FREE, FI_CACHE
from vmsim.struct.jit import compiled, entry
from vmsim.struct.pages import P_FLAGS, PG_ERROR, PG_LOCKED, PG_UPTODATE


@compiled
def end_read(k, bio, error):
    """A read of page-cache pages is done: unlock them, up to date or in error."""
    file = k.bio[bio, B_FILE]
    slot = k.file[file, FI_CACHE] + k.bio[bio, B_INDEX]
    for i in range(k.bio[bio, B_PAGES]):
        pfn = k.pcache[slot + i]
        if pfn > 0:
            flags = k.frame[pfn, P_FLAGS] & ~PG_LOCKED
            k.frame[pfn, P_FLAGS] = flags | (PG_ERROR if error != 0 else PG_UPTODATE)


@entry
def complete_bio(k, bio, error):
    """A device has finished a request (`error` 1: it failed); the CPU time of the completion in ns."""
    if k.bio[bio, B_WRITE] != 0 and k.bio[bio, B_FILE] > 0:
        end_file_write(k, bio, error)
    else:
        end_read(k, bio, error)
    for column in range(BIO_COLUMNS):
        k.bio[bio, column] = 0
    k.bio[bio, B_STATE] = BIO_FREE
    return k.cost[C_IO_COMPLETE]
