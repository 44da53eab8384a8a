"""madvise(2).   Follows mm/madvise.c of v4.4 (section A.9 of the behaviour notes)."""

from vmsim.hw.tlb import flush_range
from vmsim.hw.walk import leaf_pages, leaf_slot
from vmsim.mm.filemap import file_pages
from vmsim.mm.pgtable import next_table
from vmsim.mm.range import aligned_pages, beyond, is_aligned, page_of
from vmsim.mm.readahead import submit_read
from vmsim.mm.unmap import zap_range
from vmsim.mm.vma import find_vma_charged, split_vma, vma_merge
from vmsim.struct.costs import C_PTE_CHANGE
from vmsim.struct.errno import EAGAIN, EINVAL, ENOMEM
from vmsim.struct.files import FI_KIND, FI_RA_PAGES, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, PG_ANON, PG_DIRTY, PTE_DIRTY, PTE_PRESENT, PTE_SHIFT, PTE_YOUNG, PTE_ZERO
from vmsim.struct.rules import R_MADV_FREE
from vmsim.struct.tasks import T_MM
from vmsim.struct.vmas import (
    V_ANON,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_PREV,
    V_START,
    VM_DONTCOPY,
    VM_DONTDUMP,
    VM_HUGEPAGE,
    VM_HUGETLB,
    VM_IO,
    VM_LOCKED,
    VM_MAYSHARE,
    VM_MERGEABLE,
    VM_MIXEDMAP,
    VM_NOHUGEPAGE,
    VM_PFNMAP,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_SPECIAL,
)

MADV_NORMAL = 0
MADV_RANDOM = 1
MADV_SEQUENTIAL = 2
MADV_WILLNEED = 3
MADV_DONTNEED = 4
MADV_FREE = 8
MADV_REMOVE = 9
MADV_DONTFORK = 10
MADV_DOFORK = 11
MADV_MERGEABLE = 12
MADV_UNMERGEABLE = 13
MADV_HUGEPAGE = 14
MADV_NOHUGEPAGE = 15
MADV_DONTDUMP = 16
MADV_DODUMP = 17


@compiled
def advised_flags(flags, advice):
    """The VMA flags that advice about use gives, or -EINVAL."""
    if advice == MADV_NORMAL:
        return flags & ~(VM_RAND_READ | VM_SEQ_READ)
    if advice == MADV_SEQUENTIAL:
        return flags & ~VM_RAND_READ | VM_SEQ_READ
    if advice == MADV_RANDOM:
        return flags & ~VM_SEQ_READ | VM_RAND_READ
    if advice == MADV_DONTFORK:
        return flags | VM_DONTCOPY
    if advice == MADV_DOFORK:
        return -EINVAL if flags & VM_IO != 0 else flags & ~VM_DONTCOPY
    if advice == MADV_DONTDUMP:
        return flags | VM_DONTDUMP
    if advice == MADV_DODUMP:
        return -EINVAL if flags & VM_SPECIAL != 0 else flags & ~VM_DONTDUMP
    if advice == MADV_MERGEABLE or advice == MADV_UNMERGEABLE:
        if flags & (VM_SPECIAL | VM_HUGETLB | VM_SHARED | VM_MAYSHARE) != 0:
            return flags
        return flags | VM_MERGEABLE if advice == MADV_MERGEABLE else flags & ~VM_MERGEABLE
    if flags & (VM_SPECIAL | VM_HUGETLB | VM_SHARED | VM_MAYSHARE) != 0:
        return -EINVAL
    if advice == MADV_HUGEPAGE:
        return flags & ~VM_NOHUGEPAGE | VM_HUGEPAGE
    return flags & ~VM_HUGEPAGE | VM_NOHUGEPAGE


@compiled
def madvise_behavior(k, mm, v, prev, start, end, advice):
    """Give [start, end) of a VMA the flags that the advice asks for: the VMA that then holds it, or -errno."""
    vma = k.vma
    flags = advised_flags(vma[v, V_FLAGS], advice)
    if flags == vma[v, V_FLAGS] or flags < 0:
        return v if flags >= 0 else flags
    pgoff = vma[v, V_PGOFF] + start - vma[v, V_START]
    merged = vma_merge(k, mm, prev, start, end, flags, vma[v, V_ANON], vma[v, V_FILE], pgoff)
    if merged != 0:
        v = merged
    else:
        if start != vma[v, V_START]:
            v = split_vma(k, mm, v, start)
            if v < 0:
                return -EAGAIN
        if end != vma[v, V_END] and split_vma(k, mm, v, end) < 0:
            return -EAGAIN
    vma[v, V_FLAGS] = flags
    return v


@compiled
def madvise_willneed(k, tid, v, start, end):
    """Start reading a file's pages of the range, at most one read-ahead window; memory has nothing to read without swap."""
    file = k.vma[v, V_FILE]
    if file == 0 or k.file[file, FI_KIND] != FILE_REGULAR:
        return
    pgoff = k.vma[v, V_PGOFF] + start - k.vma[v, V_START]
    count = min(end - start, k.file[file, FI_RA_PAGES], file_pages(k, file) - pgoff)
    if count > 0:
        submit_read(k, tid, file, pgoff, count, -1, 1)


@compiled
def madvise_free(k, mm, v, start, end):
    """MADV_FREE: the entries of anonymous pages become clean and old, so that reclaim may drop what isn't written again."""
    vpn = start
    per_table = leaf_pages(k)
    changed = 0
    while vpn < end:
        vpn = next_table(k, mm, vpn)
        if vpn >= end:
            break
        slot = leaf_slot(k, mm, vpn)
        last = min(end, (vpn | (per_table - 1)) + 1)
        while vpn < last:
            entry = k.pt[slot]
            if entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT and k.frame[entry >> PTE_SHIFT, P_FLAGS] & PG_ANON != 0:
                if k.frame[entry >> PTE_SHIFT, P_MAPCOUNT] == 1:
                    k.frame[entry >> PTE_SHIFT, P_FLAGS] &= ~PG_DIRTY
                    k.pt[slot] = entry & ~(PTE_DIRTY | PTE_YOUNG)
                    changed += 1
            vpn += 1
            slot += 1
    if changed > 0:
        k.led[L_SYSCALL] += changed * k.cost[C_PTE_CHANGE]
        flush_range(k, k.sc[SC_CPU], mm, start, end)


@compiled
def madvise_vma(k, tid, v, prev, start, end, advice):
    """Carry out advice for [start, end) of one VMA: the VMA that then holds it, or -errno (madvise_vma)."""
    mm = k.task[tid, T_MM]
    flags = k.vma[v, V_FLAGS]
    if advice == MADV_WILLNEED:
        madvise_willneed(k, tid, v, start, end)
        return v
    if advice == MADV_DONTNEED:
        if flags & (VM_LOCKED | VM_HUGETLB | VM_PFNMAP) != 0:
            return -EINVAL
        zap_range(k, mm, v, start, end)
        return v
    if advice == MADV_FREE:
        if flags & (VM_LOCKED | VM_HUGETLB | VM_PFNMAP | VM_MIXEDMAP) != 0 or k.vma[v, V_FILE] != 0:
            return -EINVAL
        madvise_free(k, mm, v, start, end)
        return v
    return madvise_behavior(k, mm, v, prev, start, end, advice)


@compiled
def advice_valid(k, advice):
    """Whether this kernel knows a piece of advice."""
    if advice == MADV_FREE:
        return k.rule[R_MADV_FREE] != 0
    return MADV_NORMAL <= advice <= MADV_DONTNEED or MADV_DONTFORK <= advice <= MADV_DODUMP


@compiled
def sys_madvise(k, tid, start, length, advice):
    """madvise(2): holes don't stop it, but make it fail with ENOMEM in the end; another error stops it at once."""
    if not advice_valid(k, advice) or not is_aligned(k, start):
        return -EINVAL
    pages = aligned_pages(k, length)
    at = page_of(k, start)
    end = at + pages
    if (length != 0 and pages == 0) or beyond(k, end):
        return -EINVAL
    if pages == 0:
        return 0
    mm = k.task[tid, T_MM]
    vma = k.vma
    v = find_vma_charged(k, mm, at)
    result = 0
    prev = 0
    if v != 0:
        prev = v if vma[v, V_START] < at else vma[v, V_PREV]
    while True:
        if v == 0:
            return -ENOMEM
        if at < vma[v, V_START]:
            result = -ENOMEM
            at = vma[v, V_START]
            if at >= end:
                return result
        last = min(vma[v, V_END], end)
        prev = madvise_vma(k, tid, v, prev, at, last, advice)
        if prev < 0:
            return prev
        at = max(last, vma[prev, V_END])
        if at >= end:
            return result
        v = vma[prev, V_NEXT]
