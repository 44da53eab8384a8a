"""Pages of memory files in swap.   Follows mm/shmem.c of v4.4 (shmem_writepage, shmem_swapin).

A slot of `pcache` whose page is in swap holds `PCACHE_SWAP` plus the swap entry.
"""

from vmsim.mm.radix_tree import page_left
from vmsim.mm.swap_cache import add_to_swap_cache
from vmsim.mm.swap_slots import get_swap_page
from vmsim.mm.swapfile import swap_duplicate
from vmsim.struct.files import FI_CACHE, FI_NRPAGES, PCACHE_SWAP
from vmsim.struct.jit import compiled
from vmsim.struct.pages import P_FLAGS, P_INDEX, P_MAPPING, PG_DIRTY
from vmsim.struct.vmstat import NR_FILE_PAGES, NR_SHMEM


@compiled
def shmem_writepage(k, pfn):
    """Move a page of a memory file from the page cache to the swap cache; whether a slot was free."""
    file = -k.frame[pfn, P_MAPPING] - 1
    swp = get_swap_page(k)
    if swp == 0:
        return False
    k.pcache[k.file[file, FI_CACHE] + k.frame[pfn, P_INDEX]] = PCACHE_SWAP + swp
    page_left(k, file, k.frame[pfn, P_INDEX], PCACHE_SWAP + swp)
    k.file[file, FI_NRPAGES] -= 1
    k.vmstat[NR_FILE_PAGES] -= 1
    k.vmstat[NR_SHMEM] -= 1
    k.frame[pfn, P_MAPPING] = 0
    k.frame[pfn, P_FLAGS] |= PG_DIRTY
    add_to_swap_cache(k, pfn, swp)
    swap_duplicate(k, swp)
    return True
