"""Page faults: anonymous pages, copy on write, and what a fault costs.   Follows mm/memory.c of v4.4 (section B)."""

from vmsim.hw.tlb import flush_range_as
from vmsim.mm.anon_vma import anon_vma_prepare
from vmsim.mm.filemap import EVENT_MAJOR, EVENT_OOM, EVENT_RETRY, EVENT_SEGV, do_fault_around, file_page, page_mkwrite
from vmsim.mm.huge_memory import FALLBACK, do_huge_pmd
from vmsim.mm.map_anon import map_anon_page
from vmsim.mm.mlock_page import mlock_mapped_page
from vmsim.mm.page_alloc_slow import alloc_page, alloc_page_to_copy
from vmsim.mm.pgtable import pte_alloc
from vmsim.mm.pte import set_pte, write_pte
from vmsim.mm.rmap import page_add_rmap
from vmsim.mm.stack import check_stack_guard_page
from vmsim.mm.swap_cache import reuse_swap_page
from vmsim.mm.swapin import do_swap_page
from vmsim.mm.unmap import page_unmapped
from vmsim.struct.costs import C_COPY_PAGE, C_FAULT_BASE, C_MAP_PAGE, C_ZERO_PAGE
from vmsim.struct.files import FI_KIND, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_HUGE_BITS, SC_LRU_FAULT
from vmsim.struct.ledger import L_COPY, L_FAULT, L_ZERO
from vmsim.struct.pages import (
    P_FLAGS,
    P_MAPPING,
    PG_ANON,
    PG_CONTENT,
    PG_EXCLUSIVE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)
from vmsim.struct.reclaim import FOR_ANON, FOR_COPY, N_ALLOC_FOR
from vmsim.struct.rules import R_EXCLUSIVE_REUSE, R_LRU_GEN
from vmsim.struct.tasks import FAULT_LOCKING, FAULT_TRIED, T_FAULT_TRIED, T_MEM_RETRY
from vmsim.struct.vmas import (
    MM_FILEPAGES,
    V_ANON,
    V_FILE,
    V_FLAGS,
    VM_GROWSDOWN,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_WRITE,
)
from vmsim.struct.vmstat import PGFAULT, PGREUSE


@compiled
def do_anonymous_page(k, tid, mm, v, vpn, slot, write):
    """First touch of private memory: the zero page for a read, a zeroed frame for a write."""
    if k.vma[v, V_FLAGS] & VM_GROWSDOWN != 0 and check_stack_guard_page(k, tid, v, vpn) != 0:
        return EVENT_SEGV
    if write == 0:
        set_pte(k, mm, vpn, slot, PTE_PRESENT | PTE_YOUNG | PTE_ZERO)
        k.led[L_FAULT] += k.cost[C_MAP_PAGE]
        return 0
    pfn = alloc_page(k)
    if pfn == 0:
        k.node[N_ALLOC_FOR] = FOR_ANON
        return EVENT_OOM
    anon_vma_prepare(k, v)
    k.led[L_ZERO] += k.cost[C_ZERO_PAGE]
    map_anon_page(k, mm, v, vpn, slot, pfn, PTE_WRITE if k.vma[v, V_FLAGS] & VM_WRITE != 0 else 0)
    return 0


@compiled
def _map_file_page(k, mm, v, vpn, slot, pfn, protection):
    set_pte(k, mm, vpn, slot, pfn << PTE_SHIFT | PTE_PRESENT | PTE_YOUNG | protection)
    page_add_rmap(k, pfn, mm, vpn)
    k.mm[mm, MM_FILEPAGES] += 1
    k.led[L_FAULT] += k.cost[C_MAP_PAGE]
    mlock_mapped_page(k, k.vma[v, V_FLAGS], pfn)


@compiled
def do_read_fault(k, tid, mm, v, vpn, slot):
    """Read fault on a file mapping: whatever of the window around it is cached is mapped with it."""
    if k.task[tid, T_FAULT_TRIED] != FAULT_LOCKING and do_fault_around(k, mm, v, vpn, slot) != 0:
        return 0
    file = k.vma[v, V_FILE]
    found = file_page(k, tid, v, vpn)
    if found < 0:
        return -found
    shared_write = k.vma[v, V_FLAGS] & (VM_SHARED | VM_WRITE) == VM_SHARED | VM_WRITE
    protection = PTE_WRITE if shared_write and k.file[file, FI_KIND] != FILE_REGULAR else 0
    _map_file_page(k, mm, v, vpn, slot, found >> 1, protection)
    return EVENT_MAJOR if found & 1 != 0 else 0


@compiled
def do_cow_fault(k, tid, mm, v, vpn, slot):
    """Write fault on an absent page of a private file mapping: a copy, at once; the file page stays unmapped."""
    anon_vma_prepare(k, v)
    found = file_page(k, tid, v, vpn)
    if found < 0:
        return -found
    pfn = alloc_page_to_copy(k, found >> 1)
    if pfn == 0:
        k.node[N_ALLOC_FOR] = FOR_COPY
        return EVENT_OOM
    k.led[L_COPY] += k.cost[C_COPY_PAGE]
    k.frame[pfn, P_FLAGS] |= k.frame[found >> 1, P_FLAGS] & PG_CONTENT
    map_anon_page(k, mm, v, vpn, slot, pfn, PTE_WRITE)
    return EVENT_MAJOR if found & 1 != 0 else 0


@compiled
def do_shared_fault(k, tid, mm, v, vpn, slot):
    """Write fault on an absent page of a shared mapping: the page of the object itself, dirty."""
    found = file_page(k, tid, v, vpn)
    if found < 0:
        return -found
    page_mkwrite(k, tid, v, found >> 1)
    _map_file_page(k, mm, v, vpn, slot, found >> 1, PTE_WRITE | PTE_DIRTY)
    return EVENT_MAJOR if found & 1 != 0 else 0


@compiled
def do_wp_page(k, tid, mm, v, vpn, slot):
    """Write to a page that is mapped read-only: take it over if nobody shares it, else copy it."""
    entry = k.pt[slot]
    flags = k.vma[v, V_FLAGS]
    pfn = entry >> PTE_SHIFT
    if flags & VM_SHARED != 0 and entry & PTE_ZERO == 0:
        page_mkwrite(k, tid, v, pfn)
        k.vmstat[PGREUSE] += 1
        write_pte(k, slot, entry | PTE_WRITE | PTE_DIRTY | PTE_YOUNG)
        return 0
    if entry & PTE_ZERO == 0 and k.frame[pfn, P_FLAGS] & PG_ANON != 0:
        alone = k.frame[pfn, P_FLAGS] & PG_EXCLUSIVE != 0 and k.rule[R_EXCLUSIVE_REUSE] != 0
        if alone or reuse_swap_page(k, pfn):
            write_pte(k, slot, entry | PTE_WRITE | PTE_DIRTY | PTE_YOUNG)
            k.frame[pfn, P_MAPPING] = k.vma[v, V_ANON] >> 1
            k.frame[pfn, P_FLAGS] |= PG_EXCLUSIVE
            k.vmstat[PGREUSE] += 1
            return 0
    new = alloc_page(k) if entry & PTE_ZERO != 0 else alloc_page_to_copy(k, pfn)
    if new == 0:
        k.node[N_ALLOC_FOR] = FOR_ANON if entry & PTE_ZERO != 0 else FOR_COPY
        return EVENT_OOM
    anon_vma_prepare(k, v)
    if entry & PTE_ZERO != 0:
        k.led[L_ZERO] += k.cost[C_ZERO_PAGE]
    else:
        k.led[L_COPY] += k.cost[C_COPY_PAGE]
        k.frame[new, P_FLAGS] |= k.frame[pfn, P_FLAGS] & PG_CONTENT
    set_pte(k, mm, vpn, slot, 0)
    flush_range_as(k, k.sc[SC_CPU], mm, vpn, vpn + 1, L_FAULT)
    if entry & PTE_ZERO == 0:
        page_unmapped(k, mm, v, vpn, entry)
    map_anon_page(k, mm, v, vpn, slot, new, PTE_WRITE)
    return 0


@compiled
def handle_mm_fault(k, tid, mm, v, vpn, write):
    """Make a page present (and writable, for a write) in a VMA that allows it; EVENT_* bits (handle_mm_fault)."""
    if k.task[tid, T_FAULT_TRIED] != FAULT_LOCKING and k.task[tid, T_MEM_RETRY] == 0:
        k.vmstat[PGFAULT] += 1
        k.led[L_FAULT] += k.cost[C_FAULT_BASE]
    if k.rule[R_LRU_GEN] != 0 and k.vma[v, V_FLAGS] & (VM_SEQ_READ | VM_RAND_READ) == 0:
        k.sc[SC_LRU_FAULT] = 1
    event = do_huge_pmd(k, mm, v, vpn, write) if k.sc[SC_HUGE_BITS] != 0 else FALLBACK
    if event == FALLBACK:
        event = _handle_pte_level(k, tid, mm, v, vpn, write)
    k.sc[SC_LRU_FAULT] = 0
    k.task[tid, T_MEM_RETRY] = 1 if event & EVENT_OOM != 0 else 0
    return event


@compiled
def _handle_pte_level(k, tid, mm, v, vpn, write):
    """The fault of a base page, twice where the first try had to drop what it holds; EVENT_* bits."""
    slot = pte_alloc(k, mm, vpn)
    event = EVENT_OOM if slot == 0 else _handle_pte_fault(k, tid, mm, v, vpn, slot, write)
    if event & EVENT_RETRY != 0:
        k.vmstat[PGFAULT] += 1
        k.led[L_FAULT] += k.cost[C_FAULT_BASE]
        k.task[tid, T_FAULT_TRIED] = FAULT_TRIED
        event = _handle_pte_fault(k, tid, mm, v, vpn, slot, write)
    return event


@compiled
def _handle_pte_fault(k, tid, mm, v, vpn, slot, write):
    """What the entry of a page asks for: a new page, its file's page, its swapped page, or a copy (handle_pte_fault)."""
    entry = k.pt[slot]
    if entry == 0:
        if k.vma[v, V_FILE] == 0:
            return do_anonymous_page(k, tid, mm, v, vpn, slot, write)
        if write == 0:
            return do_read_fault(k, tid, mm, v, vpn, slot)
        if k.vma[v, V_FLAGS] & VM_SHARED == 0:
            return do_cow_fault(k, tid, mm, v, vpn, slot)
        return do_shared_fault(k, tid, mm, v, vpn, slot)
    major = 0
    if entry & PTE_SWAP != 0:
        event = do_swap_page(k, tid, mm, v, vpn, slot, write)
        entry = k.pt[slot]
        if event & ~EVENT_MAJOR != 0 or write == 0 or entry & PTE_WRITE != 0:
            return event
        major = event
    if write != 0 and entry & PTE_WRITE == 0:
        return major | do_wp_page(k, tid, mm, v, vpn, slot)
    write_pte(k, slot, entry | PTE_YOUNG | (PTE_DIRTY if write != 0 else 0))
    return 0
