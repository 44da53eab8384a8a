"""Memory files: tmpfs, memfd and shared anonymous mappings.   Follows mm/shmem.c of v4.4 (B.8)."""

from vmsim.mm.page_alloc import alloc_page
from vmsim.mm.pagecache import add_to_page_cache
from vmsim.mm.swap import lru_cache_add
from vmsim.struct.costs import C_PAGE_CACHE_LOOKUP, C_ZERO_PAGE
from vmsim.struct.files import FI_CACHE
from vmsim.struct.jit import compiled
from vmsim.struct.ledger import L_FAULT, L_ZERO
from vmsim.struct.pages import P_FLAGS, PG_DIRTY, PG_SWAPBACKED, PG_UPTODATE
from vmsim.struct.vmstat import NR_SHMEM


@compiled
def shmem_getpage(k, file, pgoff):
    """The frame of a memory file's page; a hole gets a zeroed one. 0 when memory is out."""
    k.led[L_FAULT] += k.cost[C_PAGE_CACHE_LOOKUP]
    pfn = k.pcache[k.file[file, FI_CACHE] + pgoff]
    if pfn > 0:
        return pfn
    pfn = alloc_page(k)
    if pfn == 0:
        return 0
    k.led[L_ZERO] += k.cost[C_ZERO_PAGE]
    k.frame[pfn, P_FLAGS] |= PG_UPTODATE | PG_SWAPBACKED | PG_DIRTY
    add_to_page_cache(k, file, pgoff, pfn)
    k.vmstat[NR_SHMEM] += 1
    lru_cache_add(k, pfn)
    return pfn
