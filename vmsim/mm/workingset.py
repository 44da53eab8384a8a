"""Refault distance: whether a page that comes back was evicted too early.   Follows mm/workingset.c of v4.4 (section C.11) and of v6.1.

A shadow is a negative number, -(age << 2 | row of the lists) - 1.  Shadows of a file stand in `pcache`, those of swapped pages in
`swap_cache`.
"""

from vmsim.mm.swap import lruvec_of
from vmsim.struct.jit import compiled
from vmsim.struct.pages import (
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    P_FLAGS,
    PG_ACTIVE,
    Z_INACTIVE_AGE,
    Z_LRU,
)
from vmsim.struct.reclaim import N_SWAP_FREE
from vmsim.struct.rules import R_ANON_REFAULTS
from vmsim.struct.vmstat import WORKINGSET_ACTIVATE, WORKINGSET_REFAULT

_ROW_BITS = 2


@compiled
def workingset_eviction(k, pfn):
    """The shadow that an evicted page leaves; the lists' age advances."""
    lruvec = lruvec_of(k, pfn)
    age = k.zone[lruvec, Z_INACTIVE_AGE]
    k.zone[lruvec, Z_INACTIVE_AGE] = age + 1
    return -(age << _ROW_BITS | lruvec) - 1


@compiled
def workingset_refault(k, shadow):
    """Whether a page that comes back goes to the active list: its refault distance is no more than the pages that compete with it."""
    packed = -shadow - 1
    lruvec = packed & ((1 << _ROW_BITS) - 1)
    distance = k.zone[lruvec, Z_INACTIVE_AGE] - (packed >> _ROW_BITS)
    return distance <= k.zone[lruvec, Z_LRU + LRU_ACTIVE_FILE]


@compiled
def file_refault(k, pfn, shadow):
    """A file page is read again after eviction (add_to_page_cache_lru)."""
    k.vmstat[WORKINGSET_REFAULT] += 1
    if k.rule[R_ANON_REFAULTS] != 0:
        active = _workingset_test_recent(k, shadow, 1)
    else:
        active = workingset_refault(k, shadow)
    if active:
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        k.zone[lruvec_of(k, pfn), Z_INACTIVE_AGE] += 1
        k.vmstat[WORKINGSET_ACTIVATE] += 1


@compiled
def _workingset_test_recent(k, shadow, file):
    """From 5.9 on a page competes with the active pages of its own kind and, where there is swap, with all of the other kind."""
    packed = -shadow - 1
    lruvec = packed & ((1 << _ROW_BITS) - 1)
    zone = k.zone[lruvec]
    distance = zone[Z_INACTIVE_AGE] - (packed >> _ROW_BITS)
    size = zone[Z_LRU + LRU_ACTIVE_FILE]
    if file == 0:
        size += zone[Z_LRU + LRU_INACTIVE_FILE]
    if k.node[N_SWAP_FREE] > 0:
        size += zone[Z_LRU + LRU_ACTIVE_ANON]
        if file != 0:
            size += zone[Z_LRU + LRU_INACTIVE_ANON]
    return distance <= size


@compiled
def anon_refault(k, pfn, shadow):
    """A swapped page is read again (5.9 on)."""
    if _workingset_test_recent(k, shadow, 0):
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        k.zone[lruvec_of(k, pfn), Z_INACTIVE_AGE] += 1
