"""The swap cache, reading pages from swap, and swap read-ahead.   Follows mm/swap_state.c of v4.4 (sections D.3 and D.4).

A page in the swap cache has PG_swapcache and its entry in P_PRIVATE; `swap_cache` gives the frame of an entry, 0 if it isn't cached.
"""

from vmsim.mm.bio_page import submit_page
from vmsim.mm.page_alloc_slow import alloc_page_noretry
from vmsim.mm.swap import lru_add_drain, lru_cache_add
from vmsim.mm.swap_cache import add_to_swap_cache
from vmsim.mm.swapfile import swap_area, swap_references
from vmsim.mm.workingset import workingset_refault
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SYS_PAGE_CLUSTER
from vmsim.struct.pages import P_FLAGS, PG_LOCKED, PG_READAHEAD, PG_RECLAIM, PG_SWAPBACKED
from vmsim.struct.reclaim import N_SWAP_FOUND, N_SWAP_HITS, N_SWAP_LAST_RA, N_SWAP_LOOKUPS, N_SWAP_PREV_OFFSET
from vmsim.struct.rules import R_ANON_REFAULTS, R_SWAP_RA_NEW
from vmsim.struct.swaps import SW_BASE, SW_BLOCK, SW_DEVICE, SW_MAX
from vmsim.struct.vmstat import PSWPIN, SWAP_RA, SWAP_RA_HIT


@compiled
def find_in_swap_cache(k, swp):
    """The frame that holds a slot's page << 1 | it was read ahead and is used for the first time; or 0.

    A page on its way out passes for one that was read ahead: PG_readahead and PG_reclaim are one bit (include/linux/page-flags.h).
    """
    pfn = k.swap_cache[swp]
    k.node[N_SWAP_LOOKUPS] += 1
    if pfn <= 0:
        return 0
    k.node[N_SWAP_FOUND] += 1
    if k.frame[pfn, P_FLAGS] & (PG_READAHEAD | PG_RECLAIM) == 0:
        return pfn << 1
    k.frame[pfn, P_FLAGS] &= ~(PG_READAHEAD | PG_RECLAIM)
    k.vmstat[SWAP_RA_HIT] += 1
    return pfn << 1 | 1


@compiled
def lookup_swap_cache(k, swp):
    """The frame that holds a slot's page, or 0; the first use of a page that was read ahead counts as a hit of its area."""
    found = find_in_swap_cache(k, swp)
    k.node[N_SWAP_HITS] += found & 1
    return found >> 1


@compiled
def read_swap_cache_async(k, swp, waits):
    """The frame that a slot's page is being read into; 0 where the slot is unused or memory is out."""
    if k.swap_cache[swp] > 0:
        return k.swap_cache[swp]
    if swap_references(k, swp) == 0:
        return 0
    pfn = alloc_page_noretry(k, False)
    if pfn == 0:
        return 0
    shadow = k.swap_cache[swp]
    k.frame[pfn, P_FLAGS] |= PG_LOCKED | PG_SWAPBACKED
    add_to_swap_cache(k, pfn, swp)
    if shadow < 0 and k.rule[R_ANON_REFAULTS] != 0:
        workingset_refault(k, pfn, shadow, 0)
    lru_cache_add(k, pfn)
    area = swap_area(k, swp)
    k.vmstat[PSWPIN] += 1
    submit_page(k, k.swap[area, SW_DEVICE], 0, k.swap[area, SW_BLOCK] + swp - k.swap[area, SW_BASE], pfn, waits)
    return pfn


@compiled
def readahead_pages(previous, offset, hits, most, last):
    """Pages to read ahead: by the hits since the last time, where it was, and how many it were then (__swapin_nr_pages)."""
    pages = hits + 2
    if pages == 2:
        if offset != previous + 1 and offset != previous - 1:
            pages = 1
    else:
        window = 4
        while window < pages:
            window <<= 1
        pages = window
    return max(min(pages, most), last // 2)


@compiled
def swapin_nr_pages(k, offset):
    """Pages to read around a slot, at most 1 << page-cluster (swapin_nr_pages)."""
    node = k.node
    most = 1 << k.sysctl[SYS_PAGE_CLUSTER]
    if most <= 1:
        return 1
    hits = node[N_SWAP_HITS]
    pages = readahead_pages(node[N_SWAP_PREV_OFFSET], offset, hits, most, node[N_SWAP_LAST_RA])
    if hits == 0:
        node[N_SWAP_PREV_OFFSET] = offset
    node[N_SWAP_HITS] = 0
    node[N_SWAP_LAST_RA] = pages
    return pages


@compiled
def swapin_readahead(k, swp):
    """Read a slot's page and the aligned block of slots around it; the frame of the page itself, or 0 when memory is out."""
    area = swap_area(k, swp)
    base = k.swap[area, SW_BASE]
    offset = swp - base
    mask = swapin_nr_pages(k, offset) - 1
    if mask > 0:
        first = max(offset & ~mask, 1)
        last = min(offset | mask, k.swap[area, SW_MAX] - 1)
        for near in range(first, last + 1):
            cached = k.swap_cache[base + near] > 0 and k.rule[R_SWAP_RA_NEW] != 0
            pfn = read_swap_cache_async(k, base + near, 1 if near == offset else 0)
            if pfn != 0 and near != offset and not cached:
                k.frame[pfn, P_FLAGS] |= PG_READAHEAD
                k.vmstat[SWAP_RA] += 1
        lru_add_drain(k)
    return read_swap_cache_async(k, swp, 1)
