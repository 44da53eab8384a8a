"""Transparent huge pages of anonymous memory.   Follows mm/huge_memory.c of v4.4 (section F.1 of the behaviour notes).

A huge page is its first frame: that is on the LRU lists, has the flags, map count and reverse mappings, and counts for all of its pages.
What maps it is an entry of the next-to-last level; how that stands in the tables is told at TABLE_HUGE (hw/walk.py).   Model: there is no
khugepaged: only faults make huge pages, and what was split stays so.
"""

from vmsim.hw.tlb import flush_range_as
from vmsim.hw.walk import NODE_COUNT, NODE_ENTRIES, TABLE_HUGE, leaf_pages, leaf_table
from vmsim.mm.anon_vma import anon_vma_prepare
from vmsim.mm.filemap import EVENT_OOM
from vmsim.mm.huge_split import split_huge_page_pmd
from vmsim.mm.huge_zero import get_huge_zero_page, map_huge_zero_page
from vmsim.mm.map_anon import fill_huge_table, map_anon_page, map_huge_anon_page
from vmsim.mm.page_alloc import alloc_huge_page, alloc_page_fast, free_page
from vmsim.mm.pgtable import pte_alloc
from vmsim.mm.pte import write_pte
from vmsim.mm.rmap import page_add_rmap, page_remove_rmap
from vmsim.struct.costs import C_COPY_PAGE, C_MAP_PAGE, C_ZERO_PAGE
from vmsim.struct.errno import ENOMEM
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_HUGE_ZERO_USERS, SYS_THP_ENABLED, SYS_THP_ZERO_PAGE, THP_ALWAYS
from vmsim.struct.ledger import L_COPY, L_FAULT, L_SYSCALL, L_ZERO
from vmsim.struct.pages import (
    P_FLAGS,
    P_MAPCOUNT,
    P_NEXT,
    PG_CONTENT,
    PG_EXCLUSIVE,
    PTE_DIRTY,
    PTE_SHIFT,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)
from vmsim.struct.vmas import (
    MM_ANONPAGES,
    V_END,
    V_FILE,
    V_FLAGS,
    V_START,
    VM_HUGEPAGE,
    VM_NOHUGEPAGE,
    VM_SPECIAL,
    VM_WRITE,
)
from vmsim.struct.vmstat import (
    THP_FAULT_ALLOC,
    THP_FAULT_FALLBACK,
)

FALLBACK = -1  # VM_FAULT_FALLBACK: it is a matter of the last level


@compiled
def transparent_hugepage_enabled(k, v):
    """Whether a VMA may have huge pages."""
    flags = k.vma[v, V_FLAGS]
    if k.vma[v, V_FILE] != 0 or flags & (VM_NOHUGEPAGE | VM_SPECIAL) != 0:
        return False
    return k.sysctl[SYS_THP_ENABLED] == THP_ALWAYS or flags & VM_HUGEPAGE != 0


@compiled
def do_huge_pmd(k, mm, v, vpn, write):
    """The part of a fault above the last level of the tables: FALLBACK, or EVENT_* bits (__handle_mm_fault)."""
    node = leaf_table(k, mm, vpn)
    if node == 0:
        return _do_huge_pmd_anonymous_page(k, mm, v, vpn, write) if transparent_hugepage_enabled(k, v) else FALLBACK
    if k.pt[node + NODE_COUNT] & TABLE_HUGE == 0:
        return FALLBACK
    slot = node + NODE_ENTRIES
    if write != 0 and k.pt[slot] & PTE_WRITE == 0:
        return _do_huge_pmd_wp_page(k, mm, v, vpn, node)
    write_pte(k, slot, k.pt[slot] | PTE_YOUNG | (PTE_DIRTY if write != 0 else 0))
    return 0


@compiled
def _do_huge_pmd_anonymous_page(k, mm, v, vpn, write):
    """First touch of memory that no table covers yet: a huge page, or the huge zero page for a read.

    Model: the table is allocated before the page, not after it.
    """
    pages = leaf_pages(k)
    first = vpn & -pages
    if first < k.vma[v, V_START] or first + pages > k.vma[v, V_END]:
        return FALLBACK
    anon_vma_prepare(k, v)
    slot = pte_alloc(k, mm, first)
    if slot == 0:
        return EVENT_OOM
    node = slot - NODE_ENTRIES
    if write == 0 and k.sysctl[SYS_THP_ZERO_PAGE] != 0:
        if not get_huge_zero_page(k):
            k.vmstat[THP_FAULT_FALLBACK] += 1
            return FALLBACK
        map_huge_zero_page(k, node)
        k.led[L_FAULT] += k.cost[C_MAP_PAGE]
        return 0
    head = alloc_huge_page(k)
    if head == 0:
        k.vmstat[THP_FAULT_FALLBACK] += 1
        return FALLBACK
    k.led[L_ZERO] += pages * k.cost[C_ZERO_PAGE]
    map_huge_anon_page(k, mm, v, first, node, head, PTE_WRITE if k.vma[v, V_FLAGS] & VM_WRITE != 0 else 0)
    k.vmstat[THP_FAULT_ALLOC] += 1
    return 0


@compiled
def _do_huge_pmd_wp_page(k, mm, v, vpn, node):
    """Write to a huge page that is mapped read-only: take it over if nobody shares it, else copy it, whole or in pieces."""
    slot = node + NODE_ENTRIES
    entry = k.pt[slot]
    zero = entry & PTE_ZERO != 0
    old = entry >> PTE_SHIFT
    anon_vma_prepare(k, v)
    if not zero and k.frame[old, P_MAPCOUNT] == 1:
        write_pte(k, slot, entry | PTE_WRITE | PTE_DIRTY | PTE_YOUNG)
        return 0
    new = alloc_huge_page(k) if transparent_hugepage_enabled(k, v) else 0
    if new == 0:
        k.vmstat[THP_FAULT_FALLBACK] += 1
        if not zero and _copy_in_pieces(k, mm, v, vpn, node):
            return 0
        split_huge_page_pmd(k, mm, vpn, L_FAULT)
        return FALLBACK
    k.vmstat[THP_FAULT_ALLOC] += 1
    pages = leaf_pages(k)
    first = vpn & -pages
    flush_range_as(k, k.sc[SC_CPU], mm, first, first + pages, L_FAULT)
    if zero:
        k.led[L_ZERO] += pages * k.cost[C_ZERO_PAGE]
        k.sc[SC_HUGE_ZERO_USERS] -= 1
    else:
        k.led[L_COPY] += pages * k.cost[C_COPY_PAGE]
        for i in range(pages):
            k.frame[new + i, P_FLAGS] |= k.frame[old + i, P_FLAGS] & PG_CONTENT
        k.mm[mm, MM_ANONPAGES] -= pages
        page_remove_rmap(k, old, mm, first)
    map_huge_anon_page(k, mm, v, first, node, new, PTE_WRITE)
    return 0


@compiled
def _copy_in_pieces(k, mm, v, vpn, node):
    """Copy a shared huge page into as many single frames; whether there were enough (do_huge_pmd_wp_page_fallback).

    Model: they are taken only while a zone is above its low watermark; the kernel reclaims for them.
    """
    pages = leaf_pages(k)
    first = vpn & -pages
    chain = 0
    for _ in range(pages):
        pfn = alloc_page_fast(k)
        if pfn == 0:
            while chain != 0:
                following = k.frame[chain, P_NEXT]
                free_page(k, chain)
                chain = following
            return False
        k.frame[pfn, P_NEXT] = chain
        chain = pfn
    old = k.pt[node + NODE_ENTRIES] >> PTE_SHIFT
    flush_range_as(k, k.sc[SC_CPU], mm, first, first + pages, L_FAULT)
    k.pt[node + NODE_COUNT] &= ~TABLE_HUGE
    k.mm[mm, MM_ANONPAGES] -= pages
    page_remove_rmap(k, old, mm, first)
    k.led[L_COPY] += pages * k.cost[C_COPY_PAGE]
    for i in range(pages):
        pfn = chain
        chain = k.frame[pfn, P_NEXT]
        k.frame[pfn, P_NEXT] = 0
        k.frame[pfn, P_FLAGS] |= k.frame[old + i, P_FLAGS] & PG_CONTENT
        map_anon_page(k, mm, v, first + i, node + NODE_ENTRIES + i, pfn, PTE_WRITE)
    return True


@compiled
def copy_huge_pmd(k, child, vpn, node):
    """Let a child of fork map the huge page at its first page `vpn`; it becomes read-only in both: 0, or -ENOMEM."""
    to = pte_alloc(k, child, vpn)
    if to == 0:
        return -ENOMEM
    slot = node + NODE_ENTRIES
    k.led[L_SYSCALL] += k.cost[C_MAP_PAGE]
    if k.pt[slot] & PTE_ZERO != 0:
        map_huge_zero_page(k, to - NODE_ENTRIES)
        return 0
    write_pte(k, slot, k.pt[slot] & ~PTE_WRITE)
    head = k.pt[slot] >> PTE_SHIFT
    fill_huge_table(k, to - NODE_ENTRIES, k.pt[slot] & ~PTE_YOUNG)
    page_add_rmap(k, head, child, vpn)
    k.frame[head, P_FLAGS] &= ~PG_EXCLUSIVE
    k.mm[child, MM_ANONPAGES] += leaf_pages(k)
    return 0
