"""Memory files: tmpfs, memfd and shared anonymous mappings.   Follows mm/shmem.c of v4.4 (B.8)."""

from vmsim.mm.page_alloc_slow import alloc_page, page_to_read_into
from vmsim.mm.pagecache import add_to_page_cache
from vmsim.mm.swap import lru_cache_add
from vmsim.mm.swap_cache import delete_from_swap_cache
from vmsim.mm.swap_state import lookup_swap_cache, read_swap_cache_async, swapin_readahead
from vmsim.mm.swapfile import swap_free
from vmsim.struct.costs import C_PAGE_CACHE_LOOKUP, C_ZERO_PAGE
from vmsim.struct.files import FI_CACHE, PCACHE_SWAP
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_TASK
from vmsim.struct.ledger import L_FAULT, L_ZERO
from vmsim.struct.pages import P_FLAGS, PG_DIRTY, PG_LOCKED, PG_SWAPBACKED, PG_UPTODATE, PG_WRITEBACK
from vmsim.struct.reclaim import FOR_COPY, N_ALLOC_FOR
from vmsim.struct.tasks import T_FAULT_MAJOR, T_WAIT, T_WAIT_ARG, WAIT_PAGE, WAIT_WRITEBACK
from vmsim.struct.vmstat import NR_SHMEM, PGMAJFAULT

SHMEM_WAIT = -1
SHMEM_ERROR = -2


@compiled
def _shmem_swapin(k, file, pgoff, swp):
    """Bring a memory file's page back from swap: its frame, 0 when memory is out, SHMEM_WAIT until it is read, or SHMEM_ERROR."""
    tid = k.sc[SC_TASK]
    pfn = lookup_swap_cache(k, swp)
    if pfn == 0:
        pfn = swapin_readahead(k, swp)
        if pfn == 0:
            if not page_to_read_into(k):
                k.node[N_ALLOC_FOR] = FOR_COPY
                return 0
            pfn = read_swap_cache_async(k, swp, 1)
        k.vmstat[PGMAJFAULT] += 1
        k.task[tid, T_FAULT_MAJOR] = 1
    if k.frame[pfn, P_FLAGS] & PG_LOCKED != 0:
        k.task[tid, T_WAIT] = WAIT_PAGE
        k.task[tid, T_WAIT_ARG] = pfn
        return SHMEM_WAIT
    if k.frame[pfn, P_FLAGS] & PG_WRITEBACK != 0:
        k.task[tid, T_WAIT] = WAIT_WRITEBACK
        k.task[tid, T_WAIT_ARG] = pfn
        return SHMEM_WAIT
    if k.frame[pfn, P_FLAGS] & PG_UPTODATE == 0:
        return SHMEM_ERROR
    shmem_unuse(k, file, pgoff, swp, pfn)
    return pfn


@compiled
def shmem_unuse(k, file, pgoff, swp, pfn):
    """Move a page of a memory file from the swap cache back to the page cache; its slot is free."""
    delete_from_swap_cache(k, pfn, 0)
    swap_free(k, swp)
    k.frame[pfn, P_FLAGS] |= PG_DIRTY
    add_to_page_cache(k, file, pgoff, pfn)
    k.vmstat[NR_SHMEM] += 1


@compiled
def shmem_getpage(k, file, pgoff):
    """The frame of a memory file's page; a hole gets a zeroed one. 0 when memory is out; < 0: SHMEM_*."""
    k.led[L_FAULT] += k.cost[C_PAGE_CACHE_LOOKUP]
    pfn = k.pcache[k.file[file, FI_CACHE] + pgoff]
    if pfn > 0:
        k.frame[pfn, P_FLAGS] |= PG_UPTODATE
        return pfn
    if pfn < PCACHE_SWAP // 2:
        return _shmem_swapin(k, file, pgoff, pfn - PCACHE_SWAP)
    pfn = alloc_page(k)
    if pfn == 0:
        k.node[N_ALLOC_FOR] = FOR_COPY
        return 0
    k.led[L_ZERO] += k.cost[C_ZERO_PAGE]
    k.frame[pfn, P_FLAGS] |= PG_UPTODATE | PG_SWAPBACKED | PG_DIRTY
    add_to_page_cache(k, file, pgoff, pfn)
    k.vmstat[NR_SHMEM] += 1
    lru_cache_add(k, pfn)
    return pfn
