"""MADV_WILLNEED: pages are read before they are used.   Follows mm/madvise.c of v4.4 (madvise_willneed) and later ones."""

from vmsim.mm.page_alloc_slow import page_to_read_into
from vmsim.mm.pte import next_entry
from vmsim.mm.readahead import force_page_cache_readahead
from vmsim.mm.swap import lru_add_drain
from vmsim.mm.swap_state import read_swap_cache_async
from vmsim.mm.swapfile import swap_references
from vmsim.mm.vmscan_batch import PLUGGED, must_pause
from vmsim.struct.errno import EWAIT
from vmsim.struct.files import FI_CACHE, FI_CAPACITY, FI_KIND, FILE_REGULAR, PCACHE_SWAP
from vmsim.struct.jit import compiled
from vmsim.struct.pages import PTE_SHIFT, PTE_SWAP
from vmsim.struct.reclaim import FOR_COPY, N_ALLOC_FOR, N_SWAP_AREAS
from vmsim.struct.tasks import T_MM, T_STAGE, T_STAGE_ARG
from vmsim.struct.vmas import V_FILE, V_PGOFF, V_START


@compiled
def _begin_swapin(k, tid, swp, vpn):
    """Start reading the slot of page `vpn` into the swap cache: 0, or -EWAIT: begin again with that page."""
    if k.swap_cache[swp] > 0 or swap_references(k, swp) == 0:
        return 0
    k.node[N_ALLOC_FOR] = FOR_COPY
    if must_pause(k, tid, PLUGGED) or not page_to_read_into(k):
        k.task[tid, T_STAGE] = 1
        k.task[tid, T_STAGE_ARG] = vpn
        return -EWAIT
    read_swap_cache_async(k, swp, 0)
    return 0


@compiled
def _force_swapin_readahead(k, tid, start, end):
    """Read the range's swapped pages, each slot by itself (swapin_walk_pmd_entry): 0, or -EWAIT."""
    mm = k.task[tid, T_MM]
    vpn, slot = next_entry(k, mm, start, 0, end)
    while vpn < end:
        if k.pt[slot] & PTE_SWAP != 0 and _begin_swapin(k, tid, k.pt[slot] >> PTE_SHIFT, vpn) != 0:
            return -EWAIT
        vpn, slot = next_entry(k, mm, vpn + 1, slot + 1, end)
    lru_add_drain(k)
    return 0


@compiled
def _force_shm_swapin_readahead(k, tid, v, start, end):
    """The same of a memory file, whether this address space has used the pages or not: 0, or -EWAIT."""
    file = k.vma[v, V_FILE]
    shift = k.vma[v, V_PGOFF] - k.vma[v, V_START]
    for vpn in range(start, min(end, k.file[file, FI_CAPACITY] - shift)):
        entry = k.pcache[k.file[file, FI_CACHE] + vpn + shift]
        if entry < PCACHE_SWAP // 2 and _begin_swapin(k, tid, entry - PCACHE_SWAP, vpn) != 0:
            return -EWAIT
    lru_add_drain(k)
    return 0


@compiled
def madvise_willneed(k, tid, v, start, end):
    """Start reading a file's pages of the range, as posix_fadvise(2) does, or what of it is in swap: 0, or -EWAIT: call again."""
    file = k.vma[v, V_FILE]
    if k.task[tid, T_STAGE] != 0:
        start = max(start, k.task[tid, T_STAGE_ARG])
    if start >= end:
        return 0
    if file == 0:
        return _force_swapin_readahead(k, tid, start, end) if k.node[N_SWAP_AREAS] > 0 else 0
    if k.file[file, FI_KIND] != FILE_REGULAR:
        return _force_shm_swapin_readahead(k, tid, v, start, end) if k.node[N_SWAP_AREAS] > 0 else 0
    pgoff = k.vma[v, V_PGOFF] + start - k.vma[v, V_START]
    force_page_cache_readahead(k, tid, file, pgoff, end - start, 1)
    return 0
