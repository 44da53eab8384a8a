"""Dropping clean pages from the page cache.   Follows mm/truncate.c and fs/drop_caches.c of v4.4 (A.14)."""

from vmsim.mm.pagecache import delete_from_page_cache
from vmsim.struct.costs import C_PAGE_CACHE_LOOKUP
from vmsim.struct.files import FI_CACHE, FI_CAPACITY, FI_KIND, FI_NRPAGES, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_FILE_NEXT
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, PG_DIRTY, PG_LOCKED, PG_WRITEBACK
from vmsim.struct.vmstat import DROP_PAGECACHE


@compiled
def invalidate_mapping_pages(k, file, first, last):
    """Drop the pages first..last of a file that are clean, unmapped and not under I/O; how many (invalidate_mapping_pages)."""
    dropped = 0
    slot = k.file[file, FI_CACHE]
    for pgoff in range(first, min(last + 1, k.file[file, FI_CAPACITY])):
        pfn = k.pcache[slot + pgoff]
        if pfn <= 0:
            continue
        k.led[L_SYSCALL] += k.cost[C_PAGE_CACHE_LOOKUP]
        if k.frame[pfn, P_FLAGS] & (PG_DIRTY | PG_LOCKED | PG_WRITEBACK) == 0 and k.frame[pfn, P_MAPCOUNT] == 0:
            delete_from_page_cache(k, file, pgoff)
            dropped += 1
    return dropped


@compiled
def drop_pagecache(k):
    """Drop what can be dropped of all files on devices (drop_pagecache_sb)."""
    for file in range(1, k.sc[SC_FILE_NEXT] + 1):
        if k.file[file, FI_KIND] == FILE_REGULAR and k.file[file, FI_NRPAGES] > 0:
            invalidate_mapping_pages(k, file, 0, k.file[file, FI_CAPACITY] - 1)
    k.vmstat[DROP_PAGECACHE] += 1
