"""What /proc/PID/smaps, status, pagemap and mincore tell of an address space, as numbers in `k.shown` (fs/proc/task_mmu.c).

`k.shown` begins with the numbers below.  From VW_STATE on stand VW_NVMAS VMAs of VW_COLUMNS numbers each, then VW_NRUNS runs of pages of
the window and VW_NCACHED runs of pages of the file, each run as count << 2 | PAGE_*.
"""

from vmsim.hw.walk import NODE_ENTRIES, huge_table, leaf_pages, leaf_slot
from vmsim.mm.compound import compound_head
from vmsim.mm.filemap import page_cached
from vmsim.mm.mincore import mapped_run, mincore_byte
from vmsim.mm.pte import next_table
from vmsim.mm.stack import is_stack_guard_page
from vmsim.struct.files import FI_INO
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.pages import (
    P_FLAGS,
    P_MAPCOUNT,
    PG_ANON,
    PG_DIRTY,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_SWAP,
    PTE_YOUNG,
    PTE_ZERO,
)
from vmsim.struct.vmas import (
    MM_FIRST,
    MM_LOCKED_VM,
    MM_TOTAL_VM,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_START,
    VM_LOCKED,
)

VW_RESULT = 0  # of a call, or how many accesses were made
VW_SIGNAL = 1  # that stopped the accesses, 0 if none did
VW_CODE = 2
VW_MINFLT = 3
VW_MAJFLT = 4
VW_NVALUES = 5  # numbers from VW_VALUES on
VW_END = 6  # one past the state
VW_VSZ = 8  # VmSize, pages; with what follows up to VW_END this is the state
VW_LCK = 9  # VmLck, pages
VW_OUT = 10  # pages of locked VMAs outside the window
VW_NVMAS = 11
VW_NRUNS = 12
VW_NCACHED = 13
VW_STATE = 14
VW_COLUMNS = 9  # start, pages, VM_* flags, file, its serial number, page offset, Rss, Anonymous (pages), Pss (bytes << PSS_SHIFT)
VW_VALUES = 1 << 13
MAX_VALUES = 1 << 13

PAGE_NONE = 0
PAGE_ZERO = 1
PAGE_ANON = 2
PAGE_FILE = 3

PSS_SHIFT = 12

# What `smaps_pte_range` counts, in pages; sums of shares in bytes << PSS_SHIFT.
SM_START = 0  # first page that is shown
SM_RSS = 1
SM_PSS = 2
SM_PSS_DIRTY = 3
SM_SHARED_CLEAN = 4
SM_SHARED_DIRTY = 5
SM_PRIVATE_CLEAN = 6
SM_PRIVATE_DIRTY = 7
SM_REFERENCED = 8
SM_ANONYMOUS = 9
SM_LAZYFREE = 10
SM_SWAP = 11
SM_ANON_THP = 12
SM_NUMBERS = 13


@compiled
def page_kind(k, entry):
    """What a page-table entry maps: PAGE_*."""
    if entry & PTE_PRESENT == 0:
        return PAGE_NONE
    if entry & PTE_ZERO != 0:
        return PAGE_ZERO
    return PAGE_ANON if k.frame[compound_head(k, entry >> PTE_SHIFT), P_FLAGS] & PG_ANON != 0 else PAGE_FILE


@compiled
def show_smap(k, mm, v, at):
    """Write a VMA and the sums over its pages to `k.shown` from `at` on; a guard page inside it is not shown."""
    view = k.shown
    vma = k.vma
    start = vma[v, V_START]
    end = vma[v, V_END]
    shown = start + 1 if is_stack_guard_page(k, v, start) else start
    rss = 0
    anon = 0
    pss = 0
    page = 1 << (k.geo[G_PAGE_SHIFT] + PSS_SHIFT)
    vpn = start
    while vpn < end:
        vpn = next_table(k, mm, vpn)
        if vpn >= end:
            break
        slot = leaf_slot(k, mm, vpn)
        last = min(end, (vpn | (leaf_pages(k) - 1)) + 1)
        while vpn < last:
            kind = page_kind(k, k.pt[slot])
            if kind >= PAGE_ANON:
                rss += 1
                anon += 1 if kind == PAGE_ANON else 0
                pss += page // k.frame[compound_head(k, k.pt[slot] >> PTE_SHIFT), P_MAPCOUNT]
            vpn += 1
            slot += 1
    view[at] = shown
    view[at + 1] = end - shown
    view[at + 2] = vma[v, V_FLAGS]
    view[at + 3] = vma[v, V_FILE]
    view[at + 4] = k.file[vma[v, V_FILE], FI_INO]
    view[at + 5] = vma[v, V_PGOFF]
    view[at + 6] = rss
    view[at + 7] = anon
    view[at + 8] = pss


@compiled
def smaps_pte_range(k, mm, v):
    """What smaps counts over the pages of a VMA, in `k.shown` from VW_VALUES on: SM_* (smaps_pte_range); a hidden guard page is none."""
    view = k.shown
    vma = k.vma
    for i in range(SM_NUMBERS):
        view[VW_VALUES + i] = 0
    page = 1 << (k.geo[G_PAGE_SHIFT] + PSS_SHIFT)
    vpn = vma[v, V_START]
    view[VW_VALUES + SM_START] = vpn + 1 if is_stack_guard_page(k, v, vpn) else vpn
    while vpn < vma[v, V_END]:
        vpn = next_table(k, mm, vpn)
        if vpn >= vma[v, V_END]:
            break
        slot = leaf_slot(k, mm, vpn)
        last = min(vma[v, V_END], (vpn | (leaf_pages(k) - 1)) + 1)
        node = huge_table(k, mm, vpn)
        if node != 0:
            _smaps_huge(k, k.pt[node + NODE_ENTRIES], page)
            vpn = last
            continue
        while vpn < last:
            entry = k.pt[slot]
            if entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT:
                _smaps_account(k, entry, page)
            elif entry & PTE_PRESENT == 0 and entry & PTE_SWAP != 0:
                view[VW_VALUES + SM_SWAP] += 1
            vpn += 1
            slot += 1


@compiled
def _smaps_huge(k, entry, page):
    """Count what an entry above the last level maps (smaps_pmd_entry)."""
    if entry & PTE_ZERO == 0:
        for _ in range(leaf_pages(k)):
            _smaps_account(k, entry, page)
        k.shown[VW_VALUES + SM_ANON_THP] += leaf_pages(k)


@compiled
def _smaps_account(k, entry, page):
    """Count one mapped page (smaps_account)."""
    view = k.shown
    flags = k.frame[entry >> PTE_SHIFT, P_FLAGS]
    count = k.frame[entry >> PTE_SHIFT, P_MAPCOUNT]
    dirty = flags & PG_DIRTY != 0 or entry & PTE_DIRTY != 0
    view[VW_VALUES + SM_RSS] += 1
    view[VW_VALUES + SM_PSS] += page // count
    if dirty:
        view[VW_VALUES + SM_PSS_DIRTY] += page // count
    kind = SM_PRIVATE_CLEAN if count == 1 else SM_SHARED_CLEAN
    view[VW_VALUES + kind + (1 if dirty else 0)] += 1
    if flags & PG_REFERENCED != 0 or entry & PTE_YOUNG != 0:
        view[VW_VALUES + SM_REFERENCED] += 1
    if flags & PG_ANON != 0:
        view[VW_VALUES + SM_ANONYMOUS] += 1
        if not dirty and flags & PG_SWAPBACKED == 0:
            view[VW_VALUES + SM_LAZYFREE] += 1


@compiled
def show_pages(k, mm, start, pages, at):
    """Write the kinds of pages of a window as runs to `k.shown` from `at` on: the place after them."""
    slot = leaf_slot(k, mm, start)
    run = 0
    last = PAGE_NONE
    for vpn in range(start, start + pages):
        if vpn & (leaf_pages(k) - 1) == 0:
            slot = leaf_slot(k, mm, vpn)
        kind = PAGE_NONE
        if slot != 0:
            kind = page_kind(k, k.pt[slot])
            slot += 1
        if kind != last and run > 0:
            k.shown[at] = run << 2 | last
            at += 1
            run = 0
        last = kind
        run += 1
    k.shown[at] = run << 2 | last
    return at + 1


@compiled
def show_cached(k, file, pages, at):
    """Write which of a file's first pages are in the page cache as runs to `k.shown` from `at` on: the place after them."""
    run = 0
    last = 0
    for pgoff in range(pages):
        kind = PAGE_ZERO if page_cached(k, file, pgoff) else PAGE_NONE
        if kind != last and run > 0:
            k.shown[at] = run << 2 | last
            at += 1
            run = 0
        last = kind
        run += 1
    k.shown[at] = run << 2 | last
    return at + 1


@compiled
def show_resident(k, mm, start, pages):
    """Write what mincore(2) writes to its vector, as runs, to `k.shown` from VW_VALUES on: how many runs."""
    run = 0
    last = 0
    at = VW_VALUES
    for vpn in range(start, start + min(mapped_run(k, mm, start, start + pages), MAX_VALUES)):
        kind = mincore_byte(k, mm, vpn)
        if kind != last and run > 0:
            k.shown[at] = run << 2 | last
            at += 1
            run = 0
        last = kind
        run += 1
    if run > 0:
        k.shown[at] = run << 2 | last
        at += 1
    return at - VW_VALUES


@compiled
def show_state(k, mm, start, pages, file, file_pages):
    """Write the state of an address space to `k.shown`: its totals, the VMAs and pages of a window, and the cached pages of a file."""
    view = k.shown
    vma = k.vma
    at = VW_STATE
    outside = 0
    count = 0
    v = k.mm[mm, MM_FIRST]
    while v != 0:
        if vma[v, V_START] >= start + pages or vma[v, V_END] <= start:
            if vma[v, V_FLAGS] & VM_LOCKED != 0:
                outside += vma[v, V_END] - vma[v, V_START] - (1 if is_stack_guard_page(k, v, vma[v, V_START]) else 0)
        else:
            show_smap(k, mm, v, at)
            at += VW_COLUMNS
            count += 1
        v = vma[v, V_NEXT]
    view[VW_VSZ] = k.mm[mm, MM_TOTAL_VM]
    view[VW_LCK] = k.mm[mm, MM_LOCKED_VM]
    view[VW_OUT] = outside
    view[VW_NVMAS] = count
    after = show_pages(k, mm, start, pages, at)
    view[VW_NRUNS] = after - at
    view[VW_END] = show_cached(k, file, file_pages, after)
    view[VW_NCACHED] = view[VW_END] - after
