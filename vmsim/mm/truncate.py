"""Taking pages of a file away: dropping clean ones, truncation, holes.   Follows mm/truncate.c, mm/memory.c (unmap_mapping_range)
and fs/drop_caches.c of v4.4 (A.14)."""

from vmsim.hw.tlb import flush_range
from vmsim.hw.walk import leaf_pages, leaf_slot
from vmsim.mm.filemap import wait_for_page
from vmsim.mm.pagecache import delete_from_page_cache
from vmsim.mm.pte import next_table, set_pte
from vmsim.mm.shmem_file import shmem_free_swap
from vmsim.mm.unmap import page_unmapped, zap_range
from vmsim.struct.costs import C_PAGE_CACHE_LOOKUP
from vmsim.struct.errno import EWAIT
from vmsim.struct.files import FI_CACHE, FI_CAPACITY, FI_KIND, FI_MAPCOUNT, FI_NRPAGES, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_FILE_NEXT, SC_MM_ROWS
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import (
    P_FLAGS,
    P_MAPCOUNT,
    PG_ANON,
    PG_DIRTY,
    PG_LOCKED,
    PG_PAGEVEC,
    PG_WRITEBACK,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_ZERO,
)
from vmsim.struct.tasks import T_STAGE, T_WAIT, T_WAIT_ARG, WAIT_WRITEBACK
from vmsim.struct.vmas import MM_FIRST, MM_USERS, V_END, V_FILE, V_NEXT, V_PGOFF, V_START
from vmsim.struct.vmstat import DROP_PAGECACHE


@compiled
def invalidate_mapping_pages(k, file, first, last):
    """Drop the pages first..last of a file that are clean, unmapped and not under I/O; how many (invalidate_mapping_pages).

    A page that still waits in a pagevec is held by that and stays.
    """
    dropped = 0
    slot = k.file[file, FI_CACHE]
    for pgoff in range(first, min(last + 1, k.file[file, FI_CAPACITY])):
        pfn = k.pcache[slot + pgoff]
        if pfn <= 0:
            continue
        k.led[L_SYSCALL] += k.cost[C_PAGE_CACHE_LOOKUP]
        if k.frame[pfn, P_FLAGS] & (PG_DIRTY | PG_LOCKED | PG_WRITEBACK | PG_PAGEVEC) == 0 and k.frame[pfn, P_MAPCOUNT] == 0:
            delete_from_page_cache(k, file, pgoff)
            dropped += 1
    return dropped


@compiled
def drop_pagecache(k):
    """Drop what can be dropped of all files on devices (drop_pagecache_sb)."""
    for file in range(1, k.sc[SC_FILE_NEXT] + 1):
        if k.file[file, FI_KIND] == FILE_REGULAR and k.file[file, FI_NRPAGES] > 0:
            invalidate_mapping_pages(k, file, 0, k.file[file, FI_CAPACITY] - 1)
    k.vmstat[DROP_PAGECACHE] += 1


@compiled
def _zap_file_pages(k, mm, v, start, end):
    """Unmap the file's own pages of [start, end) in a VMA, and leave private copies."""
    vpn = start
    zapped = 0
    while vpn < end:
        vpn = next_table(k, mm, vpn)
        if vpn >= end:
            break
        slot = leaf_slot(k, mm, vpn)
        last = min(end, (vpn | (leaf_pages(k) - 1)) + 1)
        while vpn < last:
            entry = k.pt[slot]
            if entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT and k.frame[entry >> PTE_SHIFT, P_FLAGS] & PG_ANON == 0:
                set_pte(k, mm, vpn, slot, 0)
                page_unmapped(k, mm, v, vpn, entry)
                zapped += 1
            vpn += 1
            slot += 1
    if zapped > 0:
        flush_range(k, k.sc[SC_CPU], mm, start, end)


@compiled
def unmap_mapping_range(k, file, start, end, even_cows):
    """Unmap the pages [start, end) of a file from every address space, with `even_cows` private copies too.

    Model: the kernel finds the VMAs through the file's interval tree, here all are looked at; they are few where this is called.
    """
    if k.file[file, FI_MAPCOUNT] == 0:
        return
    vma = k.vma
    for mm in range(1, k.sc[SC_MM_ROWS]):
        v = k.mm[mm, MM_FIRST] if k.mm[mm, MM_USERS] > 0 else 0
        while v != 0:
            if vma[v, V_FILE] == file:
                shift = vma[v, V_START] - vma[v, V_PGOFF]
                first = max(vma[v, V_START], start + shift)
                last = min(vma[v, V_END], end + shift)
                if first < last and even_cows != 0:
                    zap_range(k, mm, v, first, last)
                elif first < last:
                    _zap_file_pages(k, mm, v, first, last)
            v = vma[v, V_NEXT]


@compiled
def truncate_inode_pages_range(k, tid, file, start, end):
    """Take the pages [start, end) out of a file's cache, whatever they hold: 0, or -EWAIT while one is locked or written."""
    slot = k.file[file, FI_CACHE]
    last = min(end, k.file[file, FI_CAPACITY])
    for pgoff in range(start, last):
        pfn = k.pcache[slot + pgoff]
        if pfn > 0:
            if k.frame[pfn, P_FLAGS] & (PG_LOCKED | PG_WRITEBACK) != 0:
                k.task[tid, T_STAGE] = 1
                if k.frame[pfn, P_FLAGS] & PG_LOCKED != 0:
                    wait_for_page(k, tid, pfn)
                else:
                    k.task[tid, T_WAIT] = WAIT_WRITEBACK
                    k.task[tid, T_WAIT_ARG] = pfn
                return -EWAIT
            delete_from_page_cache(k, file, pgoff)
        elif pfn < 0:
            shmem_free_swap(k, file, pgoff)
    return 0


@compiled
def punch_hole(k, tid, file, start, end):
    """Free the pages [start, end) of a file, so that they read as zeros (fallocate with FALLOC_FL_PUNCH_HOLE): 0 or -EWAIT."""
    unmap_mapping_range(k, file, start, end, 0)
    return truncate_inode_pages_range(k, tid, file, start, end)
