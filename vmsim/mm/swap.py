"""The LRU lists and page references.   Follows mm/swap.c and mm_inline.h of v4.4 (section C.9 of the behaviour notes)."""

from vmsim.mm.page_alloc import free_page, zone_of
from vmsim.struct.costs import C_LRU_ADD, C_MLOCK_DRAIN, C_MLOCK_DRAIN_WORK
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_FRAMES, SC_NR_ZONES, SC_PAGEVEC
from vmsim.struct.ledger import L_FAULT, L_SYSCALL
from vmsim.struct.pages import (
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    LRU_UNEVICTABLE,
    NR_LRU_LISTS,
    P_FLAGS,
    P_NEXT,
    P_PREV,
    PG_ACTIVE,
    PG_LRU,
    PG_MLOCKED,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_UNEVICTABLE,
    Z_INACTIVE_AGE,
    Z_LRU,
)
from vmsim.struct.vmas import VM_LOCKED, VM_SPECIAL
from vmsim.struct.vmstat import NR_LRU_BASE, NR_MLOCK, PGACTIVATE, UNEVICTABLE_PGMLOCKED


@compiled
def lru_init(k):
    """Boot: every list is empty, its sentinel (a row after the last frame) linked to itself."""
    for i in range(k.sc[SC_NR_ZONES] * NR_LRU_LISTS):
        sentinel = k.sc[SC_NR_FRAMES] + i
        k.frame[sentinel, P_PREV] = sentinel
        k.frame[sentinel, P_NEXT] = sentinel


@compiled
def page_lru(flags):
    """The list that a page with these flags belongs on (page_lru)."""
    if flags & PG_UNEVICTABLE != 0:
        return LRU_UNEVICTABLE
    lru = LRU_INACTIVE_ANON if flags & PG_SWAPBACKED != 0 else LRU_INACTIVE_FILE
    return lru + 1 if flags & PG_ACTIVE != 0 else lru


@compiled
def lru_add(k, pfn):
    """Put a page at the head of its list, as its flags say."""
    frame = k.frame
    zone = zone_of(k, pfn)
    lru = page_lru(frame[pfn, P_FLAGS])
    sentinel = k.sc[SC_NR_FRAMES] + zone * NR_LRU_LISTS + lru
    first = frame[sentinel, P_NEXT]
    frame[pfn, P_PREV] = sentinel
    frame[pfn, P_NEXT] = first
    frame[first, P_PREV] = pfn
    frame[sentinel, P_NEXT] = pfn
    frame[pfn, P_FLAGS] |= PG_LRU
    k.zone[zone, Z_LRU + lru] += 1
    k.vmstat[NR_LRU_BASE + lru] += 1


@compiled
def lru_del(k, pfn):
    """Take a page off its list (isolate_lru_page)."""
    frame = k.frame
    zone = zone_of(k, pfn)
    lru = page_lru(frame[pfn, P_FLAGS])
    before = frame[pfn, P_PREV]
    after = frame[pfn, P_NEXT]
    frame[before, P_NEXT] = after
    frame[after, P_PREV] = before
    frame[pfn, P_FLAGS] &= ~PG_LRU
    k.zone[zone, Z_LRU + lru] -= 1
    k.vmstat[NR_LRU_BASE + lru] -= 1


@compiled
def lru_add_drain_all(k):
    """Every CPU that holds pages in its pagevecs moves them to their lists, and the caller waits for it.

    Model: pages join their lists at once here; the count only decides what the drain costs.
    """
    k.led[L_SYSCALL] += k.cost[C_MLOCK_DRAIN]
    if k.sc[SC_PAGEVEC] != 0:
        k.led[L_SYSCALL] += k.cost[C_MLOCK_DRAIN_WORK]
        k.sc[SC_PAGEVEC] = 0


@compiled
def lru_cache_add(k, pfn):
    """A new page joins its list."""
    k.led[L_FAULT] += k.cost[C_LRU_ADD]
    k.sc[SC_PAGEVEC] = 1
    lru_add(k, pfn)


@compiled
def lru_cache_add_active_or_unevictable(k, pfn, vm_flags):
    """A new anonymous page: active, or in a locked VMA unevictable and mlocked from birth."""
    k.led[L_FAULT] += k.cost[C_LRU_ADD]
    if vm_flags & (VM_LOCKED | VM_SPECIAL) == VM_LOCKED:
        k.frame[pfn, P_FLAGS] |= PG_MLOCKED | PG_UNEVICTABLE
        k.vmstat[NR_MLOCK] += 1
        k.vmstat[UNEVICTABLE_PGMLOCKED] += 1
    else:
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        k.sc[SC_PAGEVEC] = 1
    lru_add(k, pfn)


@compiled
def mark_page_accessed(k, pfn):
    """Second touch of an inactive page activates it; the first only marks it (mark_page_accessed)."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_ACTIVE | PG_UNEVICTABLE | PG_REFERENCED) == PG_REFERENCED and flags & PG_LRU != 0:
        lru_del(k, pfn)
        k.frame[pfn, P_FLAGS] = (k.frame[pfn, P_FLAGS] | PG_ACTIVE) & ~PG_REFERENCED
        lru_add(k, pfn)
        k.vmstat[PGACTIVATE] += 1
        if flags & PG_SWAPBACKED == 0:
            k.zone[zone_of(k, pfn), Z_INACTIVE_AGE] += 1
    elif flags & PG_REFERENCED == 0:
        k.frame[pfn, P_FLAGS] |= PG_REFERENCED


@compiled
def rotate_reclaimable_page(k, pfn):
    """Writeback of a page that reclaim waits for has ended: to the tail of the inactive list."""
    if k.frame[pfn, P_FLAGS] & (PG_UNEVICTABLE | PG_ACTIVE | PG_LRU) != PG_LRU:
        return
    lru_del(k, pfn)
    lru_add(k, pfn)


@compiled
def free_page_and_lru(k, pfn):
    """The last reference to a page is gone: off its list and back to the allocator."""
    if k.frame[pfn, P_FLAGS] & PG_LRU != 0:
        lru_del(k, pfn)
    free_page(k, pfn)
