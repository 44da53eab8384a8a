"""Bringing back all pages of a swap area.   Follows mm/swapfile.c: try_to_unuse as it is since b56a2d8af914 (5.1), unuse_pte of v4.4.

The page tables of one address space after the other are walked, then the memory files, then what only the swap cache holds. Programs go on
meanwhile, so that is repeated, a jiffy later, until no slot is in use. Model: before 5.1 the kernel walked all of them for each slot, with
the same result but far more slowly.
"""

from vmsim.hw.walk import leaf_pages, leaf_slot
from vmsim.mm.filemap import wait_for_page
from vmsim.mm.page_alloc_slow import page_to_read_into
from vmsim.mm.page_writeback import wait_on_page_writeback
from vmsim.mm.pte import next_table, set_pte
from vmsim.mm.resched import cond_resched
from vmsim.mm.rmap import page_add_rmap
from vmsim.mm.shmem import shmem_unuse
from vmsim.mm.swap import activate_page, free_page_and_lru
from vmsim.mm.swap_cache import try_to_free_swap
from vmsim.mm.swap_state import read_swap_cache_async
from vmsim.mm.swapfile import swap_free
from vmsim.mm.vma import find_vma
from vmsim.struct.costs import C_MAP_PAGE, C_PAGE_CACHE_LOOKUP, C_PTE_CHANGE
from vmsim.struct.errno import EWAIT
from vmsim.struct.files import FI_CACHE, FI_CAPACITY, FI_KIND, FILE_REGULAR, PCACHE_SWAP
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_FILE_NEXT, SC_MM_ROWS
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import (
    P_FLAGS,
    P_INDEX,
    P_MAPCOUNT,
    P_MAPPING,
    PG_ANON,
    PG_ERROR,
    PG_LOCKED,
    PG_LRU,
    PG_PAGEVEC,
    PG_UPTODATE,
    PG_WRITEBACK,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SHIFT,
    PTE_SWAP,
)
from vmsim.struct.reclaim import FOR_COPY, N_ALLOC_FOR
from vmsim.struct.swaps import SW_BASE, SW_INUSE, SW_MAX, SWAP_HAS_CACHE
from vmsim.struct.tasks import T_STAGE, T_STAGE_ARG, T_STAGE_ARG2, T_WAIT, T_WAIT_ARG, WAIT_TIMER
from vmsim.struct.vmas import MM_ANONPAGES, MM_PGD, MM_SWAPENTS, MM_TASK_SIZE, V_ANON, V_PGOFF, V_START
from vmsim.units import JIFFY_NS

# T_STAGE: what is being walked; T_STAGE_ARG2 is the address space or file, T_STAGE_ARG the page or slot.
UNUSE_MM = 1
UNUSE_FILES = 2
UNUSE_CACHE = 3


@compiled
def _page_of(k, tid, swp):
    """The frame of a slot's page, nothing under way on it; 0: the task must wait, as T_WAIT says.

    Model, as in 4.4: a page that could not be read is taken as it is.
    """
    k.led[L_SYSCALL] += k.cost[C_PAGE_CACHE_LOOKUP]
    pfn = read_swap_cache_async(k, swp, 1)
    if pfn == 0:
        if not page_to_read_into(k):
            k.node[N_ALLOC_FOR] = FOR_COPY
            return 0
        pfn = read_swap_cache_async(k, swp, 1)
    if k.frame[pfn, P_FLAGS] & PG_LOCKED != 0:
        wait_for_page(k, tid, pfn)
        return 0
    if k.frame[pfn, P_FLAGS] & PG_WRITEBACK != 0:
        wait_on_page_writeback(k, tid, pfn)
        return 0
    k.frame[pfn, P_FLAGS] = (k.frame[pfn, P_FLAGS] | PG_UPTODATE) & ~PG_ERROR
    return pfn


@compiled
def _unuse_pte(k, mm, vpn, slot, pfn):
    """Map a page where a swap entry stood, read-only and old; its slot goes with the last reference."""
    frame = k.frame
    entry = k.pt[slot]
    if frame[pfn, P_FLAGS] & PG_ANON == 0:
        v = find_vma(k, mm, vpn)
        frame[pfn, P_FLAGS] |= PG_ANON
        frame[pfn, P_MAPPING] = k.vma[v, V_ANON] >> 1
        frame[pfn, P_INDEX] = k.vma[v, V_PGOFF] + vpn - k.vma[v, V_START]
    set_pte(k, mm, vpn, slot, pfn << PTE_SHIFT | PTE_PRESENT | entry & PTE_PROTNONE)
    page_add_rmap(k, pfn, mm, vpn)
    k.mm[mm, MM_ANONPAGES] += 1
    k.mm[mm, MM_SWAPENTS] -= 1
    k.led[L_SYSCALL] += k.cost[C_MAP_PAGE]
    swap_free(k, entry >> PTE_SHIFT)
    activate_page(k, pfn)
    try_to_free_swap(k, pfn)


@compiled
def _unuse_table(k, tid, mm, first, end):
    """Bring back the pages of an area, entries [first, end), that one page table refers to, from T_STAGE_ARG on: 0, or -EWAIT."""
    task = k.task[tid]
    last = (task[T_STAGE_ARG] | (leaf_pages(k) - 1)) + 1
    slot = leaf_slot(k, mm, task[T_STAGE_ARG])
    k.led[L_SYSCALL] += k.cost[C_PTE_CHANGE]
    while task[T_STAGE_ARG] < last:
        entry = k.pt[slot]
        swp = entry >> PTE_SHIFT
        if entry & (PTE_PRESENT | PTE_SWAP) == PTE_SWAP and first <= swp < end:
            pfn = _page_of(k, tid, swp)
            if pfn == 0:
                return -EWAIT
            _unuse_pte(k, mm, task[T_STAGE_ARG], slot, pfn)
        task[T_STAGE_ARG] += 1
        slot += 1
    return 0


@compiled
def _unuse_address_spaces(k, tid, first, end):
    task = k.task[tid]
    while task[T_STAGE_ARG2] < k.sc[SC_MM_ROWS]:
        mm = task[T_STAGE_ARG2]
        while k.mm[mm, MM_PGD] != 0 and k.mm[mm, MM_SWAPENTS] > 0:
            task[T_STAGE_ARG] = next_table(k, mm, task[T_STAGE_ARG])
            if task[T_STAGE_ARG] >= k.mm[mm, MM_TASK_SIZE]:
                break
            if _unuse_table(k, tid, mm, first, end) == -EWAIT or cond_resched(k, tid):
                return -EWAIT
        task[T_STAGE_ARG2] += 1
        task[T_STAGE_ARG] = 0
    return 0


@compiled
def _unuse_files(k, tid, first, end):
    task = k.task[tid]
    while task[T_STAGE_ARG2] <= k.sc[SC_FILE_NEXT]:
        file = task[T_STAGE_ARG2]
        while k.file[file, FI_KIND] != FILE_REGULAR and task[T_STAGE_ARG] < k.file[file, FI_CAPACITY]:
            swp = k.pcache[k.file[file, FI_CACHE] + task[T_STAGE_ARG]] - PCACHE_SWAP
            if first <= swp < end:
                pfn = _page_of(k, tid, swp)
                if pfn == 0:
                    return -EWAIT
                shmem_unuse(k, file, task[T_STAGE_ARG], swp, pfn)
                if cond_resched(k, tid):
                    return -EWAIT
            task[T_STAGE_ARG] += 1
        task[T_STAGE_ARG2] += 1
        task[T_STAGE_ARG] = 0
    return 0


@compiled
def _unuse_cache(k, tid, first, end):
    """Slots that only the swap cache holds, since their page is mapped again or nobody wants it any more."""
    task = k.task[tid]
    while first + task[T_STAGE_ARG] < end:
        swp = first + task[T_STAGE_ARG]
        if k.swap_map[swp] == SWAP_HAS_CACHE:
            pfn = _page_of(k, tid, swp)
            if pfn == 0:
                return -EWAIT
            at_hand = k.frame[pfn, P_FLAGS] & (PG_LRU | PG_PAGEVEC) != 0
            if k.frame[pfn, P_MAPCOUNT] > 0:
                try_to_free_swap(k, pfn)
            elif at_hand and try_to_free_swap(k, pfn):
                free_page_and_lru(k, pfn)
        task[T_STAGE_ARG] += 1
    return 0


@compiled
def try_to_unuse(k, tid, area):
    """Bring back every page of an area, whose slots are no longer handed out: 0, or -EWAIT: call again."""
    task = k.task[tid]
    first = k.swap[area, SW_BASE]
    end = first + k.swap[area, SW_MAX]
    if task[T_STAGE] == UNUSE_MM:
        if _unuse_address_spaces(k, tid, first, end) == -EWAIT:
            return -EWAIT
        _next_stage(k, tid)
    if task[T_STAGE] == UNUSE_FILES:
        if _unuse_files(k, tid, first, end) == -EWAIT:
            return -EWAIT
        _next_stage(k, tid)
    if _unuse_cache(k, tid, first, end) == -EWAIT:
        return -EWAIT
    if k.swap[area, SW_INUSE] == 0:
        return 0
    task[T_STAGE] = UNUSE_MM
    task[T_STAGE_ARG] = task[T_STAGE_ARG2] = 0
    task[T_WAIT] = WAIT_TIMER
    task[T_WAIT_ARG] = JIFFY_NS
    return -EWAIT


@compiled
def _next_stage(k, tid):
    k.task[tid, T_STAGE] += 1
    k.task[tid, T_STAGE_ARG] = 0
    k.task[tid, T_STAGE_ARG2] = 0
