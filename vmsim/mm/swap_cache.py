"""Entering pages into the swap cache and taking them out.   Follows mm/swap_state.c and swapfile.c of v4.4 (section D.3)."""

from vmsim.mm.swapfile import swap_references, swapcache_free, vm_swap_full
from vmsim.struct.jit import compiled
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, P_PRIVATE, PG_DIRTY, PG_LOCKED, PG_SWAPCACHE, PG_WRITEBACK
from vmsim.struct.reclaim import N_SWAP_ADDS, N_SWAP_CACHE, N_SWAP_DELETES
from vmsim.struct.swaps import SWAP_HAS_CACHE
from vmsim.struct.vmstat import NR_FILE_PAGES


@compiled
def add_to_swap_cache(k, pfn, swp):
    """A frame holds a slot's page from now on."""
    k.swap_map[swp] |= SWAP_HAS_CACHE
    k.swap_cache[swp] = pfn
    k.frame[pfn, P_PRIVATE] = swp
    k.frame[pfn, P_FLAGS] |= PG_SWAPCACHE
    k.vmstat[NR_FILE_PAGES] += 1
    k.node[N_SWAP_CACHE] += 1
    k.node[N_SWAP_ADDS] += 1


@compiled
def delete_from_swap_cache(k, pfn, shadow):
    """A page leaves the swap cache; `shadow` (0, or < 0) stays in its place while the slot has references."""
    swp = k.frame[pfn, P_PRIVATE]
    k.frame[pfn, P_FLAGS] &= ~PG_SWAPCACHE
    k.frame[pfn, P_PRIVATE] = 0
    k.swap_cache[swp] = shadow
    k.vmstat[NR_FILE_PAGES] -= 1
    k.node[N_SWAP_CACHE] -= 1
    k.node[N_SWAP_DELETES] += 1
    swapcache_free(k, swp)


@compiled
def try_to_free_swap(k, pfn):
    """Give up a page's slot if nothing but the swap cache uses it and it isn't being written; whether that was so."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_SWAPCACHE | PG_WRITEBACK) != PG_SWAPCACHE or swap_references(k, k.frame[pfn, P_PRIVATE]) > 0:
        return False
    delete_from_swap_cache(k, pfn, 0)
    k.frame[pfn, P_FLAGS] |= PG_DIRTY
    return True


@compiled
def reuse_swap_page(k, pfn):
    """Whether a writer has an anonymous page to itself; it then leaves the swap cache, if it isn't being written (reuse_swap_page)."""
    users = k.frame[pfn, P_MAPCOUNT]
    flags = k.frame[pfn, P_FLAGS]
    if users <= 1 and flags & PG_SWAPCACHE != 0:
        users += swap_references(k, k.frame[pfn, P_PRIVATE])
        if users == 1 and flags & PG_WRITEBACK == 0:
            delete_from_swap_cache(k, pfn, 0)
            k.frame[pfn, P_FLAGS] |= PG_DIRTY
    return users <= 1


@compiled
def can_drop_cached(k, pfn):
    """Whether a slot's cached page goes with the slot's last reference: unmapped, or swap short, and neither locked nor being written."""
    flags = k.frame[pfn, P_FLAGS]
    return flags & (PG_LOCKED | PG_WRITEBACK) == 0 and (k.frame[pfn, P_MAPCOUNT] == 0 or vm_swap_full(k))
