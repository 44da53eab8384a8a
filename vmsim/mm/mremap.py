"""mremap(2): growing, shrinking, moving and duplicating mappings.   Follows mm/mremap.c of v4.4 (section A.5 of the behaviour notes)."""

from vmsim.mm.accounting import account_vm, may_expand_vm, memlock_limit
from vmsim.mm.anon_vma import unlink_anon_vma
from vmsim.mm.gup import mm_populate
from vmsim.mm.mmap import do_munmap
from vmsim.mm.move_pages import move_page_tables
from vmsim.mm.overcommit import charge_commit, uncharge_commit
from vmsim.mm.place import MAP_FIXED, get_unmapped_area
from vmsim.mm.range import aligned_pages, is_aligned, page_limit, page_of
from vmsim.mm.vma import (
    charge_vma_adjust,
    charge_vma_link,
    find_vma,
    find_vma_charged,
    object_get,
    vma_alloc,
    vma_before,
    vma_link,
    vma_merge,
)
from vmsim.struct.errno import EAGAIN, EFAULT, EINVAL, ENOMEM, EWAIT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_COMMITTED, SYS_MAX_MAP_COUNT
from vmsim.struct.rules import (
    R_DONTUNMAP_COUNTS_LOCKED,
    R_MREMAP_CHECKS_FIRST,
    R_MREMAP_DONTUNMAP,
    R_MREMAP_EXPANSION_MERGES,
    R_MREMAP_LENGTH_LIMIT,
    R_MREMAP_LOOKS_FIRST,
    R_MREMAP_MANY,
    R_MREMAP_OLD_LEN_ZERO_PRIVATE,
)
from vmsim.struct.tasks import CAP_IPC_LOCK, T_CAPS, T_MM, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2
from vmsim.struct.vmas import (
    MM_LOCKED_VM,
    MM_MAP_COUNT,
    MM_TASK_SIZE,
    V_ANON,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_START,
    VM_ACCOUNT,
    VM_DONTEXPAND,
    VM_HUGETLB,
    VM_LOCK_MASK,
    VM_LOCKED,
    VM_MAYSHARE,
    VM_PFNMAP,
    VM_SHARED,
)

MREMAP_MAYMOVE = 1
MREMAP_FIXED = 2
MREMAP_DONTUNMAP = 4


@compiled
def copy_vma(k, mm, v, start, pages, pgoff):
    """A VMA like `v` at `start`, merged with its neighbours if that is possible (copy_vma)."""
    vma = k.vma
    prev = vma_before(k, mm, start)
    merged = vma_merge(k, mm, prev, start, start + pages, vma[v, V_FLAGS], vma[v, V_ANON], vma[v, V_FILE], pgoff)
    if merged != 0:
        return merged
    new = vma_alloc(k)
    vma[new, V_START] = start
    vma[new, V_END] = start + pages
    vma[new, V_FLAGS] = vma[v, V_FLAGS]
    vma[new, V_FILE] = vma[v, V_FILE]
    vma[new, V_PGOFF] = pgoff
    vma[new, V_ANON] = vma[v, V_ANON]
    object_get(k, new)
    vma_link(k, mm, new)
    charge_vma_link(k, mm, new)
    return new


@compiled
def move_vma(k, tid, v, old, old_pages, new_pages, new, keeps):
    """Move [old, old + old_pages) of a VMA to the free range at `new`: 0 or -errno.  What is added was charged by the caller.

    `keeps`: the old mapping stays, empty (MREMAP_DONTUNMAP).
    """
    mm = k.task[tid, T_MM]
    vma = k.vma
    if k.mm[mm, MM_MAP_COUNT] >= k.sysctl[SYS_MAX_MAP_COUNT] - 3:
        return -ENOMEM
    flags = vma[v, V_FLAGS]
    file = vma[v, V_FILE]
    first = vma[v, V_START]
    pgoff = vma[v, V_PGOFF] + old - first
    if file == 0 and vma[v, V_ANON] == 0:
        pgoff = new  # nothing has been written: the offset may follow the address, for a better chance of merging
    copy = copy_vma(k, mm, v, new, new_pages, pgoff)
    if vma[copy, V_START] <= first < vma[copy, V_END]:
        v = copy
    moved = move_page_tables(k, mm, old, new, old_pages)
    account_vm(k, mm, flags, file, new_pages)
    if flags & VM_LOCKED != 0 and (keeps == 0 or k.rule[R_DONTUNMAP_COUNTS_LOCKED] != 0):
        k.mm[mm, MM_LOCKED_VM] += new_pages
    if moved < old_pages:
        move_page_tables(k, mm, new, old, moved)
        if flags & VM_ACCOUNT != 0:
            k.sc[SC_COMMITTED] += old_pages
        do_munmap(k, tid, new, new_pages)
        return -ENOMEM
    if keeps != 0:
        vma[v, V_FLAGS] &= ~VM_LOCK_MASK
        if copy != v and vma[v, V_START] == old and vma[v, V_END] == old + old_pages:
            unlink_anon_vma(k, v)
        return 0
    if old_pages == 0:
        if flags & VM_ACCOUNT != 0:  # its accounting is hidden from an unmapping that then fails, and never shown again
            uncharge_commit(k, vma[v, V_END] - vma[v, V_START])
            vma[v, V_FLAGS] &= ~VM_ACCOUNT
        return 0
    if flags & VM_ACCOUNT != 0:
        k.sc[SC_COMMITTED] += old_pages  # the reservation moves along; unmapping gives it back once
    do_munmap(k, tid, old, old_pages)
    return 0


@compiled
def vma_to_resize(k, tid, v, start, old_pages, new_pages, keeps):
    """Whether [start, start + old_pages) of a VMA may become `new_pages` long: 0 or -errno."""
    mm = k.task[tid, T_MM]
    vma = k.vma
    if v == 0 or vma[v, V_START] > start:
        return -EFAULT
    flags = vma[v, V_FLAGS]
    if flags & VM_HUGETLB != 0:
        return -EINVAL
    if old_pages == 0 and k.rule[R_MREMAP_OLD_LEN_ZERO_PRIVATE] == 0 and flags & (VM_SHARED | VM_MAYSHARE) == 0:
        return -EINVAL
    if old_pages > vma[v, V_END] - start:
        return -EFAULT
    if keeps != 0:
        if flags & (VM_DONTEXPAND | VM_PFNMAP) != 0:
            return -EINVAL
        return 0 if may_expand_vm(k, tid, flags, new_pages) else -ENOMEM
    if new_pages == old_pages:
        return 0
    if flags & (VM_DONTEXPAND | VM_PFNMAP) != 0:
        return -EFAULT
    growth = new_pages - old_pages
    if flags & VM_LOCKED != 0 and k.task[tid, T_CAPS] & CAP_IPC_LOCK == 0:
        if (k.mm[mm, MM_LOCKED_VM] + growth) & (page_limit(k) - 1) > memlock_limit(k, tid):
            return -EAGAIN
    return 0 if may_expand_vm(k, tid, flags, growth) else -ENOMEM


@compiled
def charge_growth(k, tid, v, pages):
    """Charge the growth of an accounted VMA: 0 or -ENOMEM."""
    if pages == 0 or k.vma[v, V_FLAGS] & VM_ACCOUNT == 0:
        return 0
    return charge_commit(k, tid, pages)


@compiled
def move_charged(k, tid, v, start, old_pages, new_pages, new, keeps):
    """Charge the growth of a VMA and move it: 0 or -errno."""
    growth = new_pages if keeps != 0 else new_pages - old_pages
    charged = growth if k.vma[v, V_FLAGS] & VM_ACCOUNT != 0 else 0
    if charge_growth(k, tid, v, growth) != 0:
        return -ENOMEM
    error = move_vma(k, tid, v, start, old_pages, new_pages, new, keeps)
    if error != 0:
        uncharge_commit(k, charged)
    return error


@compiled
def mremap_to(k, tid, start, old_pages, new, new_pages, flags):
    """MREMAP_FIXED, MREMAP_DONTUNMAP, of ranges that don't overlap: the target is unmapped, then the source is cut or grown and moved.

    Without MREMAP_FIXED `new` is a hint.  The new first page, or -errno.
    """
    keeps = flags & MREMAP_DONTUNMAP
    mm = k.task[tid, T_MM]
    if k.rule[R_MREMAP_CHECKS_FIRST] != 0:
        error = vma_to_resize(k, tid, find_vma_charged(k, mm, start), start, min(old_pages, new_pages), new_pages, keeps)
        if error != 0:
            return error
    if k.rule[R_MREMAP_LOOKS_FIRST] != 0 and k.mm[mm, MM_MAP_COUNT] + 2 >= k.sysctl[SYS_MAX_MAP_COUNT] - 3:
        return -ENOMEM
    error = do_munmap(k, tid, new, new_pages) if flags & MREMAP_FIXED != 0 else 0
    if error != 0:
        return error
    if old_pages > new_pages:
        error = unmap_tail(k, tid, start + new_pages, old_pages - new_pages)
        if error != 0:
            return error
        old_pages = new_pages
    v = find_vma_charged(k, mm, start)
    error = vma_to_resize(k, tid, v, start, old_pages, new_pages, keeps)
    if error != 0:
        return error
    if flags & MREMAP_FIXED == 0:
        new = get_unmapped_area(k, tid, new << k.geo[G_PAGE_SHIFT], new_pages, 0)
        if new < 0:
            return new
    error = move_charged(k, tid, v, start, old_pages, new_pages, new, keeps)
    return new if error == 0 else error


@compiled
def unmap_tail(k, tid, start, pages):
    """What munmap(2) says to the pages that a shrinking mapping gives up."""
    size = k.mm[k.task[tid, T_MM], MM_TASK_SIZE]
    if start > size or pages > size - start:
        return -EINVAL
    return do_munmap(k, tid, start, pages)


@compiled
def remap_move(k, tid, start, new, pages, flags):
    """Move all VMAs of a range, the gaps between them kept; the first page must be mapped: the new one, or -errno (remap_move, 6.17)."""
    mm = k.task[tid, T_MM]
    end = start + pages
    at = start
    v = find_vma_charged(k, mm, start)
    if v == 0 or k.vma[v, V_START] > start:
        return -EFAULT
    while v != 0 and at < end and k.vma[v, V_START] < end:
        at = max(at, k.vma[v, V_START])
        part = min(end, k.vma[v, V_END]) - at
        moved = mremap_to(k, tid, at, part, new + at - start, part, flags)
        if moved < 0:
            return moved
        at += part
        v = find_vma(k, mm, at)
    return new


@compiled
def expand_in_place(k, tid, v, growth):
    """Grow a VMA upward into free space: whether it was possible; -ENOMEM if the growth can't be charged."""
    mm = k.task[tid, T_MM]
    vma = k.vma
    end = vma[v, V_END] + growth
    after = vma[v, V_NEXT]
    if after != 0 and vma[after, V_START] < end:
        return 0
    if get_unmapped_area(k, tid, vma[v, V_START] << k.geo[G_PAGE_SHIFT], end - vma[v, V_START], MAP_FIXED) < 0:
        return 0
    if charge_growth(k, tid, v, growth) != 0:
        return -ENOMEM
    flags = vma[v, V_FLAGS]
    old_end = vma[v, V_END]
    merged = 0
    if k.rule[R_MREMAP_EXPANSION_MERGES] != 0:
        pgoff = vma[v, V_PGOFF] + old_end - vma[v, V_START]
        merged = vma_merge(k, mm, v, old_end, end, flags, vma[v, V_ANON], vma[v, V_FILE], pgoff)
    if merged == 0:
        charge_vma_adjust(k, mm, v)
        vma[v, V_END] = end
        merged = v
    account_vm(k, mm, flags, vma[merged, V_FILE], growth)
    if flags & VM_LOCKED != 0:
        k.mm[mm, MM_LOCKED_VM] += growth
    return 1


@compiled
def _grow(k, tid, start, old_pages, new_pages, flags):
    """Make a mapping longer, where it is or elsewhere: its first page, or -errno."""
    mm = k.task[tid, T_MM]
    v = find_vma_charged(k, mm, start)
    error = vma_to_resize(k, tid, v, start, old_pages, new_pages, 0)
    if error != 0:
        return error
    if old_pages == k.vma[v, V_END] - start:
        done = expand_in_place(k, tid, v, new_pages - old_pages)
        if done != 0:
            return start if done > 0 else done
    if flags & MREMAP_MAYMOVE == 0:
        return -ENOMEM
    new = get_unmapped_area(k, tid, 0, new_pages, 0)
    if new < 0:
        return new
    error = move_charged(k, tid, v, start, old_pages, new_pages, new, 0)
    return new if error == 0 else error


@compiled
def do_mremap(k, tid, start, old_pages, new_pages, flags, new):
    """The body of mremap, in pages: the first page of the result, or -errno."""
    mm = k.task[tid, T_MM]
    if k.rule[R_MREMAP_LENGTH_LIMIT] != 0 and new_pages > k.mm[mm, MM_TASK_SIZE]:
        return -EINVAL
    if k.rule[R_MREMAP_LOOKS_FIRST] != 0 and k.rule[R_MREMAP_CHECKS_FIRST] == 0:
        v = find_vma(k, mm, start)
        if v == 0 or k.vma[v, V_START] > start:
            return -EFAULT
    if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0:
        size = k.mm[mm, MM_TASK_SIZE]
        if new_pages > size or new > size - new_pages:
            return -EINVAL
        if (start + old_pages) & (page_limit(k) - 1) > new and new + new_pages > start:
            return -EINVAL
        if k.rule[R_MREMAP_MANY] != 0 and old_pages == new_pages and flags & MREMAP_FIXED != 0:
            return remap_move(k, tid, start, new, new_pages, flags)
        return mremap_to(k, tid, start, old_pages, new, new_pages, flags)
    if k.rule[R_MREMAP_CHECKS_FIRST] != 0:
        v = find_vma(k, mm, start)
        if v == 0 or k.vma[v, V_START] > start:
            return -EFAULT
    if old_pages > new_pages:
        error = unmap_tail(k, tid, start + new_pages, old_pages - new_pages)
        return start if error == 0 else error
    if old_pages == new_pages:
        return start
    return _grow(k, tid, start, old_pages, new_pages, flags)


@compiled
def _flags_valid(k, flags, old_pages, new_pages):
    """Whether flags are known and go together; MREMAP_DONTUNMAP can't resize."""
    known = MREMAP_MAYMOVE | MREMAP_FIXED
    if k.rule[R_MREMAP_DONTUNMAP] != 0:
        known |= MREMAP_DONTUNMAP
    if flags & ~known != 0 or (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0 and flags & MREMAP_MAYMOVE == 0):
        return False
    return flags & MREMAP_DONTUNMAP == 0 or old_pages == new_pages


@compiled
def sys_mremap(k, tid, address, old_length, new_length, flags, new_address):
    """mremap(2); the growth of a locked mapping is populated."""
    mm = k.task[tid, T_MM]
    shift = k.geo[G_PAGE_SHIFT]
    old_pages = aligned_pages(k, old_length)
    new_pages = aligned_pages(k, new_length)
    if k.task[tid, T_STAGE] == 0:
        if not _flags_valid(k, flags, old_pages, new_pages):
            return -EINVAL
        placed = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
        if not is_aligned(k, address) or new_pages == 0 or (placed and not is_aligned(k, new_address)):
            return _misaligned(k, tid, address, new_pages, flags)
        result = do_mremap(k, tid, page_of(k, address), old_pages, new_pages, flags, page_of(k, new_address))
        if result < 0:
            return result
        v = find_vma(k, mm, result)
        if new_pages <= old_pages or k.vma[v, V_FLAGS] & VM_LOCKED == 0:
            return result << shift
        k.task[tid, T_STAGE] = 1
        k.task[tid, T_STAGE_ARG] = result + old_pages
        k.task[tid, T_STAGE_ARG2] = result
    result = k.task[tid, T_STAGE_ARG2]
    if mm_populate(k, tid, mm, k.task[tid, T_STAGE_ARG], result + new_pages, 1) == -EWAIT:
        return -EWAIT
    return result << shift


@compiled
def _misaligned(k, tid, address, new_pages, flags):
    """-EINVAL, or -EFAULT where the mapping is looked up before the new address is checked."""
    if is_aligned(k, address) and new_pages != 0 and k.rule[R_MREMAP_LOOKS_FIRST] != 0 and k.rule[R_MREMAP_CHECKS_FIRST] == 0:
        v = find_vma(k, k.task[tid, T_MM], page_of(k, address))
        if v == 0 or k.vma[v, V_START] > page_of(k, address):
            return -EFAULT
    return -EINVAL
