"""Entering pages into a file's page cache and taking them out (mm/filemap.c: add_to_page_cache_lru, mm/truncate.c)."""

from vmsim.mm.page_dirty import account_page_cleaned
from vmsim.mm.radix_tree import page_entered, page_left
from vmsim.mm.swap import free_page_and_lru, lru_cache_add
from vmsim.mm.workingset import workingset_refault
from vmsim.struct.costs import C_PAGE_CACHE_ADD
from vmsim.struct.files import FI_CACHE, FI_KIND, FI_NRPAGES, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import P_FLAGS, P_INDEX, P_MAPPING, PG_DIRTY
from vmsim.struct.vmstat import NR_FILE_PAGES, NR_SHMEM


@compiled
def add_to_page_cache(k, file, pgoff, pfn):
    """Enter a frame as a page of a file; the slot is empty or a shadow."""
    k.led[L_FAULT] += k.cost[C_PAGE_CACHE_ADD]
    slot = k.file[file, FI_CACHE] + pgoff
    page_entered(k, file, pgoff, k.pcache[slot])
    k.pcache[slot] = pfn
    k.frame[pfn, P_MAPPING] = -file - 1
    k.frame[pfn, P_INDEX] = pgoff
    k.file[file, FI_NRPAGES] += 1
    k.vmstat[NR_FILE_PAGES] += 1


@compiled
def add_to_page_cache_lru(k, file, pgoff, pfn):
    """Enter a frame as a page of a regular file, and let it join the LRU list that its refault distance says."""
    shadow = k.pcache[k.file[file, FI_CACHE] + pgoff]
    add_to_page_cache(k, file, pgoff, pfn)
    if shadow < 0:
        workingset_refault(k, pfn, shadow, 1)
    lru_cache_add(k, pfn)


@compiled
def delete_from_page_cache(k, file, pgoff):
    """Drop a page that nobody maps from the cache, whatever it holds, and free its frame (truncation)."""
    pfn = k.pcache[k.file[file, FI_CACHE] + pgoff]
    k.pcache[k.file[file, FI_CACHE] + pgoff] = 0
    page_left(k, file, pgoff, 0)
    k.file[file, FI_NRPAGES] -= 1
    k.vmstat[NR_FILE_PAGES] -= 1
    if k.file[file, FI_KIND] != FILE_REGULAR:
        k.vmstat[NR_SHMEM] -= 1
    elif k.frame[pfn, P_FLAGS] & PG_DIRTY != 0:
        account_page_cleaned(k, file, pfn)
    free_page_and_lru(k, pfn)


@compiled
def delete_from_page_cache_reclaimed(k, pfn, shadow):
    """A clean page that nobody maps leaves the cache, its shadow in its place; its frame is the caller's (__delete_from_page_cache)."""
    file = -k.frame[pfn, P_MAPPING] - 1
    k.pcache[k.file[file, FI_CACHE] + k.frame[pfn, P_INDEX]] = shadow
    page_left(k, file, k.frame[pfn, P_INDEX], shadow)
    k.file[file, FI_NRPAGES] -= 1
    k.vmstat[NR_FILE_PAGES] -= 1
    if k.file[file, FI_KIND] != FILE_REGULAR:
        k.vmstat[NR_SHMEM] -= 1
