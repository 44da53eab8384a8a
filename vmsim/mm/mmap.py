"""mmap(2) and munmap(2): placing, checking, creating and removing mappings.   Follows mm/mmap.c of v4.4 (A.1, A.3)."""

from vmsim.hw.tlb import flush_mm
from vmsim.mm.accounting import account_vm, can_do_mlock, lock_allowed, may_expand_vm, update_hiwater_rss
from vmsim.mm.interval import index_destroy
from vmsim.mm.mlock import munlock_vma_pages_range
from vmsim.mm.overcommit import charge_commit, uncharge_commit
from vmsim.mm.pgtable import free_all_pgtables, free_pgtables, pgd_free
from vmsim.mm.place import MAP_FIXED, get_unmapped_area, range_freed, thp_get_unmapped_area
from vmsim.mm.shmem_file import file_of, file_put, is_open, shared_anon_file
from vmsim.mm.unmap import zap_range
from vmsim.mm.vma import (
    charge_vma_link,
    find_vma,
    find_vma_charged,
    object_get,
    split_vma_unlimited,
    vma_alloc,
    vma_before,
    vma_link,
    vma_merge_new,
    vma_remove,
)
from vmsim.struct.costs import C_MMAP_BASE, C_MUNMAP_BASE
from vmsim.struct.errno import EACCES, EBADF, EEXIST, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM
from vmsim.struct.files import FD_OPEN_SHIFT, FI_COMMITTED, FI_KIND, FILE_REGULAR, FILE_WITHOUT_MMAP, FMODE_READ, FMODE_WRITE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_PAGE_SHIFT, SC_CPU, SYS_MAX_MAP_COUNT, SYS_OVERCOMMIT_MEMORY
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.rules import (
    R_FILES_ALIGNED,
    R_MAP_FIXED_NOREPLACE,
    R_MAP_SHARED_VALIDATE,
    R_MAP_STACK_NOHUGEPAGE,
    R_MMAP_OFFSET_LIMIT,
    R_MMAP_SPLITS_BEFORE_LIMITS,
)
from vmsim.struct.tasks import T_MM
from vmsim.struct.vmas import (
    MM_CPUMASK,
    MM_DEF_FLAGS,
    MM_FIRST,
    MM_LOCKED_VM,
    MM_MAP_COUNT,
    MM_TASK_SIZE,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_PREV,
    V_START,
    VM_ACCOUNT,
    VM_GROWSDOWN,
    VM_HUGETLB,
    VM_LOCK_MASK,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_NOHUGEPAGE,
    VM_NORESERVE,
    VM_OPEN_SHIFT,
    VM_SHARED,
    VM_SPECIAL,
    VM_WRITE,
)

MAP_SHARED = 1
MAP_PRIVATE = 2
MAP_SHARED_VALIDATE = 3
MAP_TYPE = 15
MAP_ANONYMOUS = 0x20
MAP_GROWSDOWN = 0x100
MAP_LOCKED = 0x2000
MAP_NORESERVE = 0x4000
MAP_POPULATE = 0x8000
MAP_NONBLOCK = 0x10000
MAP_STACK = 0x20000
MAP_HUGETLB = 0x40000
MAP_FIXED_NOREPLACE = 0x100000
MAP_HUGE_SHIFT = 26
MAP_HUGE_MASK = 0x3F
# The flags that MAP_SHARED_VALIDATE takes: those from before it (mman.h: LEGACY_MAP_MASK), with MAP_HUGE_2MB and MAP_HUGE_1GB.
LEGACY_MAP_MASK = 0x7F9F3 | 21 << MAP_HUGE_SHIFT | 30 << MAP_HUGE_SHIFT



@compiled
def pages_mapped_in(k, mm, start, end):
    """Pages of [start, end) that some VMA covers (count_vma_pages_range)."""
    v = find_vma(k, mm, start)
    count = 0
    while v != 0 and k.vma[v, V_START] < end:
        count += min(end, k.vma[v, V_END]) - max(start, k.vma[v, V_START])
        v = k.vma[v, V_NEXT]
    return count


@compiled
def _object_flags(k, fd, flags, vm_flags):
    """The VMA flags that the mapped object allows, or -errno."""
    kind = flags & MAP_TYPE
    if kind == MAP_SHARED_VALIDATE and flags & MAP_ANONYMOUS == 0 and k.rule[R_MAP_SHARED_VALIDATE] != 0:
        if flags & ~(LEGACY_MAP_MASK | MAP_TYPE) != 0:
            return -EOPNOTSUPP
        kind = MAP_SHARED
    if kind != MAP_SHARED and kind != MAP_PRIVATE:
        return -EINVAL
    if flags & MAP_ANONYMOUS != 0:
        if kind == MAP_SHARED:
            return -EINVAL if vm_flags & VM_GROWSDOWN != 0 else vm_flags | VM_SHARED | VM_MAYSHARE
        return vm_flags
    if kind == MAP_SHARED:
        if vm_flags & VM_WRITE != 0 and fd & FMODE_WRITE == 0:
            return -EACCES
        vm_flags |= VM_SHARED | VM_MAYSHARE
        if fd & FMODE_WRITE == 0:
            vm_flags &= ~(VM_MAYWRITE | VM_SHARED)
    if fd & FMODE_READ == 0:
        return -EACCES
    if k.file[file_of(fd), FI_KIND] == FILE_WITHOUT_MMAP:
        return -ENODEV
    return -EINVAL if vm_flags & VM_GROWSDOWN != 0 else vm_flags


@compiled
def _huge_pages(k, flags):
    """How many pages the huge page of MAP_HUGETLB has: of the leaf table's size, or the one above; 0 if there is none of that size."""
    shift = (flags >> MAP_HUGE_SHIFT) & MAP_HUGE_MASK
    last = k.geo[G_LEVELS] - 1
    bits = k.geo[G_BITS + last]
    more = bits + k.geo[G_BITS + last - 1]
    if shift == 0 or shift == k.geo[G_PAGE_SHIFT] + bits:
        return 1 << bits
    return 1 << more if shift == k.geo[G_PAGE_SHIFT] + more else 0


@compiled
def do_mmap(k, tid, address, length, prot, flags, fd, offset):
    """Create a mapping: its address, or -errno; the caller populates it (A.1 gives the order of the checks)."""
    shift = k.geo[G_PAGE_SHIFT]
    mask = (1 << shift) - 1
    if offset & mask != 0:
        return -EINVAL
    if flags & MAP_ANONYMOUS == 0:
        if not is_open(k, fd):
            return -EBADF
        if flags & MAP_HUGETLB != 0:
            return -EINVAL
    huge = 1
    if flags & MAP_HUGETLB != 0:
        huge = _huge_pages(k, flags)
        if huge == 0:
            return -EINVAL
    if length == 0:
        return -EINVAL
    unsigned = (1 << (64 - shift)) - 1
    pages = ((length + mask) >> shift) & unsigned
    pages = (pages + huge - 1) // huge * huge
    if pages == 0:
        return -ENOMEM
    return place_and_map(k, tid, address, pages, prot, flags, fd, (offset >> shift) & unsigned, huge)


@compiled
def place_and_map(k, tid, address, pages, prot, flags, fd, pgoff, huge):
    """The rest of do_mmap, in pages; `huge` is the number of pages that the mapping must be aligned to."""
    mm = k.task[tid, T_MM]
    shift = k.geo[G_PAGE_SHIFT]
    if k.mm[mm, MM_MAP_COUNT] > k.sysctl[SYS_MAX_MAP_COUNT]:
        return -ENOMEM
    replaces = flags & MAP_FIXED_NOREPLACE == 0 or k.rule[R_MAP_FIXED_NOREPLACE] == 0
    if not replaces:
        start = get_unmapped_area(k, tid, address, pages, flags | MAP_FIXED)
    elif flags & MAP_ANONYMOUS == 0 and k.rule[R_FILES_ALIGNED] != 0 and k.file[file_of(fd), FI_KIND] == FILE_REGULAR:
        start = thp_get_unmapped_area(k, tid, address, pages, flags, pgoff)
    else:
        start = get_unmapped_area(k, tid, address, pages, flags)
    if start < 0:
        return start
    if huge > 1 and flags & MAP_FIXED != 0 and start & (huge - 1) != 0:
        return -EINVAL
    if not replaces:
        v = find_vma(k, mm, start)
        if v != 0 and k.vma[v, V_START] < start + pages:
            return -EEXIST
    vm_flags = prot & 7 | k.mm[mm, MM_DEF_FLAGS] | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC
    if flags & MAP_GROWSDOWN != 0:
        vm_flags |= VM_GROWSDOWN
    if flags & MAP_STACK != 0 and k.rule[R_MAP_STACK_NOHUGEPAGE] != 0:
        vm_flags |= VM_NOHUGEPAGE
    if flags & MAP_LOCKED != 0:
        vm_flags |= VM_LOCKED
        if not can_do_mlock(k, tid):
            return -EPERM
    error = lock_allowed(k, tid, vm_flags, pages)
    if error != 0:
        return error
    if k.rule[R_MMAP_OFFSET_LIMIT] != 0 and flags & MAP_ANONYMOUS == 0 and pgoff + pages > (1 << (63 - shift)) - 1:
        return -EOVERFLOW
    vm_flags = _object_flags(k, fd, flags, vm_flags)
    if vm_flags < 0:
        return vm_flags
    if huge > 1:
        return -ENOMEM  # Model: the pools of huge pages are empty
    if flags & MAP_NORESERVE != 0 and k.sysctl[SYS_OVERCOMMIT_MEMORY] != 2:
        vm_flags |= VM_NORESERVE
    file = 0
    if flags & MAP_ANONYMOUS == 0:
        file = file_of(fd)
        vm_flags |= (fd >> FD_OPEN_SHIFT << 2 | fd & 3) << VM_OPEN_SHIFT
    else:
        pgoff = start if flags & MAP_TYPE == MAP_PRIVATE else 0
    return mmap_region(k, tid, start, pages, vm_flags, file, pgoff)


@compiled
def mmap_region(k, tid, start, pages, flags, file, pgoff):
    """Map [start, start+pages) after clearing it: the address in bytes, or -errno (mmap_region)."""
    mm = k.task[tid, T_MM]
    end = start + pages
    k.led[L_SYSCALL] += k.cost[C_MMAP_BASE]
    if not may_expand_vm(k, tid, flags, pages) and not may_expand_vm(k, tid, flags, pages - pages_mapped_in(k, mm, start, end)):
        if k.rule[R_MMAP_SPLITS_BEFORE_LIMITS] != 0:
            _split_at_ends(k, mm, start, end)
        return -ENOMEM
    find_vma_charged(k, mm, start)
    if do_munmap(k, tid, start, pages) != 0:
        return -ENOMEM
    if flags & (VM_NORESERVE | VM_SHARED | VM_HUGETLB | VM_WRITE) == VM_WRITE:
        if charge_commit(k, tid, pages) != 0:
            return -ENOMEM
        flags |= VM_ACCOUNT
    prev = vma_before(k, mm, start)
    shared_anon = file == 0 and flags & VM_SHARED != 0
    v = 0
    if not shared_anon:
        v = vma_merge_new(k, mm, prev, start, end, flags, file, pgoff)
    if v == 0:
        if shared_anon:
            file = shared_anon_file(k, pages)
            if file == 0:
                return -ENOMEM
            if flags & VM_NORESERVE == 0:
                if charge_commit(k, tid, pages) != 0:
                    return -ENOMEM
                k.file[file, FI_COMMITTED] = pages
        v = vma_alloc(k)
        k.vma[v, V_START] = start
        k.vma[v, V_END] = end
        k.vma[v, V_FLAGS] = flags
        k.vma[v, V_FILE] = file
        k.vma[v, V_PGOFF] = pgoff
        object_get(k, v)
        vma_link(k, mm, v)
        charge_vma_link(k, mm, v)
    account_vm(k, mm, flags, file, pages)
    if flags & VM_LOCKED != 0:
        if flags & (VM_SPECIAL | VM_HUGETLB) == 0:
            k.mm[mm, MM_LOCKED_VM] += pages
        else:
            k.vma[v, V_FLAGS] &= ~VM_LOCK_MASK
    return start << k.geo[G_PAGE_SHIFT]


@compiled
def do_munmap(k, tid, start, pages):
    """Unmap the pages [start, start+pages): 0, or -ENOMEM when a VMA can't be cut in two (do_munmap)."""
    mm = k.task[tid, T_MM]
    vma = k.vma
    end = start + pages
    v = find_vma_charged(k, mm, start)
    if v == 0 or vma[v, V_START] >= end:
        return 0
    if start > vma[v, V_START]:
        if end < vma[v, V_END] and k.mm[mm, MM_MAP_COUNT] >= k.sysctl[SYS_MAX_MAP_COUNT]:
            return -ENOMEM
        v = split_vma_unlimited(k, mm, v, start)
    update_hiwater_rss(k, mm)
    last = find_vma_charged(k, mm, end)
    if last != 0 and end > vma[last, V_START]:
        split_vma_unlimited(k, mm, last, end)
    prev = vma[v, V_PREV]
    while v != 0 and vma[v, V_START] < end:
        following = vma[v, V_NEXT]
        _unmap_vma(k, mm, v)
        v = following
    floor = vma[prev, V_END] if prev != 0 else 0
    ceiling = vma[v, V_START] if v != 0 else 1 << 62
    free_pgtables(k, mm, start, end, floor, ceiling)
    range_freed(k, mm, start, end)
    return 0


@compiled
def _split_at_ends(k, mm, start, end):
    """Cut the VMAs that [start, end) covers in part, as preparing to unmap them does (vms_gather_munmap_vmas)."""
    for vpn in (start, end):
        v = find_vma(k, mm, vpn)
        if v != 0 and k.vma[v, V_START] < vpn:
            split_vma_unlimited(k, mm, v, vpn)


@compiled
def _unmap_vma(k, mm, v):
    """Remove a whole VMA and its pages."""
    vma = k.vma
    start = vma[v, V_START]
    end = vma[v, V_END]
    flags = vma[v, V_FLAGS]
    if flags & VM_LOCKED != 0:
        k.mm[mm, MM_LOCKED_VM] -= end - start
        munlock_vma_pages_range(k, mm, v, start, end)
    zap_range(k, mm, v, start, end)
    if flags & VM_ACCOUNT != 0:
        uncharge_commit(k, end - start)
    file = vma[v, V_FILE]
    account_vm(k, mm, flags, file, start - end)
    vma_remove(k, mm, v)
    file_put(k, file)


@compiled
def sys_munmap(k, tid, start, length):
    """munmap(2)."""
    shift = k.geo[G_PAGE_SHIFT]
    mask = (1 << shift) - 1
    k.led[L_SYSCALL] += k.cost[C_MUNMAP_BASE]
    unsigned = (1 << (64 - shift)) - 1
    size = k.mm[k.task[tid, T_MM], MM_TASK_SIZE]
    first = (start >> shift) & unsigned
    bytes_left = (size << shift) - start
    if start & mask != 0 or first > size or length < 0 or length > bytes_left:
        return -EINVAL
    pages = (length + mask) >> shift
    if pages == 0:
        return -EINVAL
    return do_munmap(k, tid, first, pages)


@compiled
def exit_mmap(k, tid):
    """The address space goes: unlock and unmap everything, and free its page tables and its index."""
    mm = k.task[tid, T_MM]
    v = k.mm[mm, MM_FIRST]
    while v != 0:
        following = k.vma[v, V_NEXT]
        _unmap_vma(k, mm, v)
        v = following
    free_all_pgtables(k, mm)
    flush_mm(k, k.sc[SC_CPU], mm)
    pgd_free(k, mm)
    index_destroy(k, mm)
    k.mm[mm, MM_LOCKED_VM] = 0
    k.mm[mm, MM_CPUMASK] = 0
