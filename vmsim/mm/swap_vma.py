"""Swap read-ahead by address.   Follows mm/swap_state.c of v6.1 (swap_vma_readahead, swap_ra_info).

Pages that lie around a fault in its mapping are read from wherever in swap they are.  Only where no area is on a rotating disk, which
reads around the slot instead (mm/swap_state.py).  Model: what a VMA remembers (vma->swap_readahead_info) stands with its anon_vma, so the
parts of a VMA that was split share it.
"""

from vmsim.hw.walk import leaf_pages
from vmsim.mm.pte import next_entry
from vmsim.mm.swap import lru_add_drain
from vmsim.mm.swap_state import find_in_swap_cache, lookup_swap_cache, read_swap_cache_async, readahead_pages, swapin_readahead
from vmsim.mm.vma import AV_SWAP_RA
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SYS_PAGE_CLUSTER
from vmsim.struct.pages import P_FLAGS, PG_READAHEAD, PTE_SHIFT, PTE_SWAP
from vmsim.struct.reclaim import N_SWAP_AREAS
from vmsim.struct.rules import R_SWAP_RA_NEW, R_VMA_SWAP_READAHEAD
from vmsim.struct.swaps import SW_FLAGS, SWP_SOLIDSTATE, SWP_USED
from vmsim.struct.vmas import V_ANON, V_END, V_START
from vmsim.struct.vmstat import SWAP_RA

_ORDER_CEILING = 5  # SWAP_RA_ORDER_CEILING
_COUNT_BITS = 6  # enough for 1 << _ORDER_CEILING
_HITS_MAX = 63
_HITS_AT_FIRST = 4

# Of what a VMA remembers: the page of the last fault, above the window's size and the hits in it.
_WIN_SHIFT = 6
_PAGE_SHIFT = 12


@compiled
def use_vma_readahead(k, v):
    """Whether faults of a VMA read ahead by address (swap_use_vma_readahead)."""
    if k.rule[R_VMA_SWAP_READAHEAD] == 0 or k.vma[v, V_ANON] == 0:
        return False
    for area in range(k.node[N_SWAP_AREAS]):
        if k.swap[area, SW_FLAGS] & (SWP_USED | SWP_SOLIDSTATE) == SWP_USED:
            return False
    return True


@compiled
def _remembered(k, v):
    value = k.anon_vma[k.vma[v, V_ANON] >> 1, AV_SWAP_RA]
    return value if value != 0 else _HITS_AT_FIRST


@compiled
def _remember(k, v, vpn, window, hits):
    k.anon_vma[k.vma[v, V_ANON] >> 1, AV_SWAP_RA] = vpn << _PAGE_SHIFT | window << _WIN_SHIFT | hits


@compiled
def lookup_swap_cache_of(k, v, vpn, swp):
    """`lookup_swap_cache` for a fault: the hit counts for the VMA."""
    if not use_vma_readahead(k, v):
        return lookup_swap_cache(k, swp)
    found = find_in_swap_cache(k, swp)
    if found != 0:
        value = _remembered(k, v)
        hits = min((value & _HITS_MAX) + (found & 1), _HITS_MAX)
        _remember(k, v, vpn, value >> _WIN_SHIFT & _HITS_MAX, hits)
    return found >> 1


@compiled
def _window(k, v, vpn):
    """The pages to read ahead for a fault, first << _COUNT_BITS | how many; within its VMA and last-level table."""
    most = 1 << min(k.sysctl[SYS_PAGE_CLUSTER], _ORDER_CEILING)
    if most == 1:
        return vpn << _COUNT_BITS | 1
    value = _remembered(k, v)
    last = value >> _PAGE_SHIFT
    pages = readahead_pages(last, vpn, value & _HITS_MAX, most, value >> _WIN_SHIFT & _HITS_MAX)
    _remember(k, v, vpn, pages, 0)
    if vpn == last + 1:
        first = vpn
    elif last == vpn + 1:
        first = vpn - pages + 1
    else:
        first = vpn - (pages - 1) // 2
    table = vpn & ~(leaf_pages(k) - 1)
    end = min(first + pages, k.vma[v, V_END], table + leaf_pages(k))
    first = max(first, k.vma[v, V_START], table, 0)
    return first << _COUNT_BITS | end - first


@compiled
def swapin_readahead_of(k, mm, v, vpn, swp):
    """Read a fault's page, and those around it in its VMA that are in swap; the frame of the page itself, or 0 when memory is out."""
    if not use_vma_readahead(k, v):
        return swapin_readahead(k, swp)
    window = _window(k, v, vpn)
    first = window >> _COUNT_BITS
    end = first + (window & ((1 << _COUNT_BITS) - 1))
    near, slot = next_entry(k, mm, first, 0, end)
    while near < end:
        entry = k.pt[slot]
        if entry & PTE_SWAP != 0:
            cached = k.swap_cache[entry >> PTE_SHIFT] > 0 and k.rule[R_SWAP_RA_NEW] != 0
            pfn = read_swap_cache_async(k, entry >> PTE_SHIFT, 1 if near == vpn else 0)
            if pfn != 0 and near != vpn and not cached:
                k.frame[pfn, P_FLAGS] |= PG_READAHEAD
                k.vmstat[SWAP_RA] += 1
        near, slot = next_entry(k, mm, near + 1, slot + 1, end)
    lru_add_drain(k)
    return read_swap_cache_async(k, swp, 1)
