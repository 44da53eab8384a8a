"""madvise(2): checks, flags of VMAs, and which walk does the rest.   Follows mm/madvise.c of v4.4 (section A.9 of the behaviour notes)."""

from vmsim.mm.accounting import update_hiwater_rss
from vmsim.mm.gup import faultin_page_range
from vmsim.mm.madvise_pages import madvise_cold, madvise_free, madvise_pageout
from vmsim.mm.madvise_willneed import madvise_willneed
from vmsim.mm.range import aligned_pages, beyond, is_aligned, page_of
from vmsim.mm.truncate import punch_hole
from vmsim.mm.unmap import zap_range
from vmsim.mm.vma import find_vma, find_vma_charged, split_vma, vma_merge
from vmsim.struct.errno import EACCES, EAGAIN, EBUSY, EINVAL, ENOMEM, EPERM
from vmsim.struct.jit import compiled
from vmsim.struct.rules import (
    R_HUGEPAGE_REFUSES_SHARED,
    R_HUGEPAGE_TWICE_FAILS,
    R_MADV_COLD,
    R_MADV_DONTNEED_LOCKED,
    R_MADV_FREE,
    R_MADV_POPULATE,
    R_MADV_WIPEONFORK,
    R_MEMORY_FAILURE,
    R_REMOVE_NEEDS_MAYWRITE,
)
from vmsim.struct.tasks import CAP_SYS_ADMIN, T_CAPS, T_MM, T_STAGE, T_STAGE_ARG
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
    VM_MAYWRITE,
    VM_MERGEABLE,
    VM_MIXEDMAP,
    VM_NOHUGEPAGE,
    VM_PFNMAP,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_SPECIAL,
    VM_WIPEONFORK,
    VM_WRITE,
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
MADV_WIPEONFORK = 18
MADV_KEEPONFORK = 19
MADV_COLD = 20
MADV_PAGEOUT = 21
MADV_POPULATE_READ = 22
MADV_POPULATE_WRITE = 23
MADV_DONTNEED_LOCKED = 24
MADV_HWPOISON = 100
MADV_SOFT_OFFLINE = 101


@compiled
def hugepage_flags(k, flags, advice):
    """The VMA flags that MADV_HUGEPAGE or MADV_NOHUGEPAGE gives, or -EINVAL (hugepage_madvise)."""
    if k.rule[R_HUGEPAGE_REFUSES_SHARED] != 0 and flags & (VM_SPECIAL | VM_HUGETLB | VM_SHARED | VM_MAYSHARE) != 0:
        return -EINVAL
    wanted = VM_HUGEPAGE if advice == MADV_HUGEPAGE else VM_NOHUGEPAGE
    if k.rule[R_HUGEPAGE_TWICE_FAILS] != 0 and flags & wanted != 0:
        return -EINVAL
    return flags & ~(VM_HUGEPAGE | VM_NOHUGEPAGE) | wanted


@compiled
def advised_flags(k, v, advice):
    """The VMA flags that advice about use gives, or -EINVAL (madvise_behavior)."""
    flags = k.vma[v, V_FLAGS]
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
    if advice == MADV_WIPEONFORK:
        return -EINVAL if k.vma[v, V_FILE] != 0 or flags & VM_SHARED != 0 else flags | VM_WIPEONFORK
    if advice == MADV_KEEPONFORK:
        return flags & ~VM_WIPEONFORK
    if advice == MADV_DONTDUMP:
        return flags | VM_DONTDUMP
    if advice == MADV_DODUMP:
        return -EINVAL if flags & VM_SPECIAL != 0 else flags & ~VM_DONTDUMP
    if advice == MADV_HUGEPAGE or advice == MADV_NOHUGEPAGE:
        return hugepage_flags(k, flags, advice)
    if flags & (VM_SPECIAL | VM_HUGETLB | VM_SHARED | VM_MAYSHARE) != 0:
        return flags
    return flags | VM_MERGEABLE if advice == MADV_MERGEABLE else flags & ~VM_MERGEABLE


@compiled
def madvise_behavior(k, mm, v, prev, start, end, advice):
    """Give [start, end) of a VMA the flags that the advice asks for: the VMA that then holds it, or -errno."""
    vma = k.vma
    flags = advised_flags(k, v, advice)
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
def madvise_remove(k, tid, v, start, end):
    """MADV_REMOVE: free the range of the object that a shared writable mapping shows: 0, -errno, or -EWAIT."""
    flags = k.vma[v, V_FLAGS]
    if flags & VM_LOCKED != 0 or k.vma[v, V_FILE] == 0:
        return -EINVAL
    writable = VM_MAYWRITE if k.rule[R_REMOVE_NEEDS_MAYWRITE] != 0 else VM_WRITE
    if flags & VM_SHARED == 0 or flags & writable == 0:
        return -EACCES
    pgoff = k.vma[v, V_PGOFF] + start - k.vma[v, V_START]
    return punch_hole(k, tid, k.vma[v, V_FILE], pgoff, pgoff + end - start)


@compiled
def madvise_vma(k, tid, v, prev, start, end, advice):
    """Carry out advice for [start, end) of one VMA: the VMA that then holds it, or -errno (madvise_vma)."""
    mm = k.task[tid, T_MM]
    flags = k.vma[v, V_FLAGS]
    if advice == MADV_WILLNEED:
        asleep = madvise_willneed(k, tid, v, start, end)
        return asleep if asleep != 0 else v
    if advice == MADV_REMOVE:
        error = madvise_remove(k, tid, v, start, end)
        return error if error != 0 else v
    if advice == MADV_DONTNEED or advice == MADV_DONTNEED_LOCKED:
        kept = VM_LOCKED if advice == MADV_DONTNEED else 0
        if flags & (kept | VM_HUGETLB | VM_PFNMAP) != 0:
            return -EINVAL
        update_hiwater_rss(k, mm)
        zap_range(k, mm, v, start, end)
        return v
    if advice == MADV_FREE:
        if flags & (VM_LOCKED | VM_HUGETLB | VM_PFNMAP | VM_MIXEDMAP) != 0 or k.vma[v, V_FILE] != 0:
            return -EINVAL
        madvise_free(k, mm, v, start, end)
        return v
    if advice == MADV_COLD or advice == MADV_PAGEOUT:
        if flags & (VM_LOCKED | VM_HUGETLB | VM_PFNMAP) != 0:
            return -EINVAL
        if advice == MADV_PAGEOUT:
            asleep = madvise_pageout(k, tid, v, start, end)
            return asleep if asleep != 0 else v
        madvise_cold(k, mm, v, start, end)
        return v
    return madvise_behavior(k, mm, v, prev, start, end, advice)


@compiled
def advice_valid(k, advice):
    """Whether this kernel knows a piece of advice (madvise_behavior_valid)."""
    if advice == MADV_FREE:
        return k.rule[R_MADV_FREE] != 0
    if advice == MADV_WIPEONFORK or advice == MADV_KEEPONFORK:
        return k.rule[R_MADV_WIPEONFORK] != 0
    if advice == MADV_COLD or advice == MADV_PAGEOUT:
        return k.rule[R_MADV_COLD] != 0
    if advice == MADV_POPULATE_READ or advice == MADV_POPULATE_WRITE:
        return k.rule[R_MADV_POPULATE] != 0
    if advice == MADV_DONTNEED_LOCKED:
        return k.rule[R_MADV_DONTNEED_LOCKED] != 0
    return MADV_NORMAL <= advice <= MADV_DONTNEED or MADV_REMOVE <= advice <= MADV_DODUMP


@compiled
def madvise_populate(k, tid, start, end, write):
    """MADV_POPULATE_*: fault a range in, up to the first page where that is impossible: 0, -EWAIT or -errno.

    T_STAGE_ARG is the page to go on with after a wait.
    """
    mm = k.task[tid, T_MM]
    at = k.task[tid, T_STAGE_ARG] if k.task[tid, T_STAGE] != 0 else start
    k.task[tid, T_STAGE] = 1
    while at < end:
        v = find_vma(k, mm, at)
        if v == 0 or k.vma[v, V_START] > at:
            return -ENOMEM
        last = min(end, k.vma[v, V_END])
        error = faultin_page_range(k, tid, mm, v, at, last, write)
        if error != 0:
            return error
        at = last
    return 0


@compiled
def sys_madvise(k, tid, start, length, advice):
    """madvise(2): holes don't stop it, but make it fail with ENOMEM in the end; another error stops it at once."""
    if k.rule[R_MEMORY_FAILURE] != 0 and (advice == MADV_HWPOISON or advice == MADV_SOFT_OFFLINE):
        # Model: no frame ever fails, so where it is permitted the page can't be taken out of use.
        return -EPERM if k.task[tid, T_CAPS] & CAP_SYS_ADMIN == 0 else -EBUSY
    if not advice_valid(k, advice) or not is_aligned(k, start):
        return -EINVAL
    pages = aligned_pages(k, length)
    at = page_of(k, start)
    end = at + pages
    if (length != 0 and pages == 0) or beyond(k, end):
        return -EINVAL
    if pages == 0:
        return 0
    if advice == MADV_POPULATE_READ or advice == MADV_POPULATE_WRITE:
        return madvise_populate(k, tid, at, end, 1 if advice == MADV_POPULATE_WRITE else 0)
    return madvise_walk_vmas(k, tid, at, end, advice)


@compiled
def madvise_walk_vmas(k, tid, start, end, advice):
    """Carry out advice VMA by VMA: 0 or -errno; -EWAIT starts the whole walk again, which does no harm."""
    vma = k.vma
    at = start
    v = find_vma_charged(k, k.task[tid, T_MM], at)
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
