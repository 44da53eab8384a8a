"""Where new mappings are placed.   Follows mm/mmap.c (get_unmapped_area) and arch/x86/kernel/sys_x86_64.c of v4.4 (A.1)."""

from vmsim.mm.vma import find_vma
from vmsim.struct.errno import EINVAL, ENOMEM, EPERM
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_BITS, G_LEVELS, G_MAP_32BIT, G_PAGE_SHIFT, SC_PLACE, SYS_MMAP_MIN_ADDR, SYS_STACK_GUARD_PAGES
from vmsim.struct.rules import R_STACK_GUARD_INSIDE
from vmsim.struct.tasks import CAP_SYS_RAWIO, T_CAPS, T_MM
from vmsim.struct.vmas import (
    MM_FIRST,
    MM_HOLE,
    MM_MMAP_BASE,
    MM_SEARCH,
    MM_TASK_SIZE,
    V_END,
    V_FLAGS,
    V_NEXT,
    V_PREV,
    V_START,
    VM_GROWSDOWN,
)

MAP_FIXED = 0x10
MAP_32BIT = 0x40
_LOW_BEGIN = 0x40000000  # of the area for MAP_32BIT (sys_x86_64.c: find_start_end), bytes
_LOW_END = 0x80000000


@compiled
def vm_start_gap(k, v):
    """The first page that belongs to a VMA, with the guard gap that is kept free below a stack."""
    start = k.vma[v, V_START]
    if k.vma[v, V_FLAGS] & VM_GROWSDOWN == 0 or k.rule[R_STACK_GUARD_INSIDE] != 0:
        return start
    return max(0, start - k.sysctl[SYS_STACK_GUARD_PAGES])


@compiled
def unmapped_area(k, mm, pages):
    """The highest gap of the mapping area that holds so many pages, its upper end taken; -ENOMEM if there is none."""
    row = k.mm[mm]
    vma = k.vma
    top = row[MM_MMAP_BASE]
    largest = 0
    if row[MM_SEARCH] != 0 and pages > row[MM_HOLE]:
        top = row[MM_SEARCH]
        largest = row[MM_HOLE]
    low = (k.sysctl[SYS_MMAP_MIN_ADDR] + (1 << k.geo[G_PAGE_SHIFT]) - 1) >> k.geo[G_PAGE_SHIFT]
    after = find_vma(k, mm, top - 1)
    if after != 0 and vm_start_gap(k, after) < top:
        top = vm_start_gap(k, after)
        before = vma[after, V_PREV]
    else:
        before = vma[after, V_PREV] if after != 0 else _last_vma_below(k, mm, top)
    while True:
        bottom = max(low, vma[before, V_END]) if before != 0 else low
        if top - bottom >= pages:
            row[MM_SEARCH] = top
            row[MM_HOLE] = largest
            return top - pages
        largest = max(largest, top - bottom)
        if before == 0:
            return -ENOMEM
        top = vm_start_gap(k, before)
        before = vma[before, V_PREV]


@compiled
def _last_vma_below(k, mm, vpn):
    v = k.mm[mm, MM_FIRST]
    if v == 0:
        return 0
    low = find_vma(k, mm, vpn)
    if low != 0:
        return k.vma[low, V_PREV]
    while k.vma[v, V_NEXT] != 0:
        v = k.vma[v, V_NEXT]
    return v


@compiled
def range_freed(k, mm, start, end):
    """A range became free: what is known of the gaps above it may no longer hold."""
    row = k.mm[mm]
    if row[MM_SEARCH] == 0 or end <= row[MM_SEARCH]:
        return
    after = find_vma(k, mm, start)
    before = k.vma[after, V_PREV] if after != 0 else _last_vma_below(k, mm, start)
    top = min(k.vma[after, V_START], row[MM_MMAP_BASE]) if after != 0 else row[MM_MMAP_BASE]
    bottom = k.vma[before, V_END] if before != 0 else 0
    if bottom < row[MM_SEARCH]:
        row[MM_SEARCH] = 0
    else:
        row[MM_HOLE] = max(row[MM_HOLE], top - bottom)


@compiled
def _low_end(k, size):
    return min(size, _LOW_END >> k.geo[G_PAGE_SHIFT])


@compiled
def unmapped_area_low(k, mm, pages):
    """The lowest gap of the area for MAP_32BIT that holds so many pages; -ENOMEM if there is none."""
    vpn = _LOW_BEGIN >> k.geo[G_PAGE_SHIFT]
    end = _low_end(k, k.mm[mm, MM_TASK_SIZE])
    v = find_vma(k, mm, vpn)
    while v != 0 and vpn + pages <= end:
        if vm_start_gap(k, v) - vpn >= pages:
            return vpn
        vpn = max(vpn, k.vma[v, V_END])
        v = k.vma[v, V_NEXT]
    return vpn if vpn + pages <= end else -ENOMEM


@compiled
def get_unmapped_area(k, tid, address, pages, flags):
    """The first page of a place for a mapping, or -errno (get_unmapped_area)."""
    mm = k.task[tid, T_MM]
    shift = k.geo[G_PAGE_SHIFT]
    size = k.mm[mm, MM_TASK_SIZE]
    if pages > size:
        return -ENOMEM
    if flags & MAP_FIXED != 0:
        vpn = (address >> shift) & ((1 << (64 - shift)) - 1)
        if vpn > size - pages:
            return -ENOMEM
        if address & ((1 << shift) - 1) != 0:
            return -EINVAL
        if address < k.sysctl[SYS_MMAP_MIN_ADDR] and k.task[tid, T_CAPS] & CAP_SYS_RAWIO == 0:
            return -EPERM
        return vpn
    low = flags & MAP_32BIT != 0 and k.geo[G_MAP_32BIT] != 0
    address &= ~((1 << shift) - 1)  # a hint is rounded down, and up to the lowest address (round_hint_to_min)
    if address != 0:
        if 0 < address < k.sysctl[SYS_MMAP_MIN_ADDR]:
            address = k.sysctl[SYS_MMAP_MIN_ADDR]
        vpn = ((address + (1 << shift) - 1) >> shift) & ((1 << (64 - shift)) - 1)
        v = find_vma(k, mm, vpn)
        if vpn <= (_low_end(k, size) if low else size) - pages and (v == 0 or vm_start_gap(k, v) >= vpn + pages):
            return vpn
    if k.sc[SC_PLACE] != 0:
        v = find_vma(k, mm, k.sc[SC_PLACE])
        if v == 0 or k.vma[v, V_START] >= k.sc[SC_PLACE] + pages:
            return k.sc[SC_PLACE]
    return unmapped_area_low(k, mm, pages) if low else unmapped_area(k, mm, pages)


@compiled
def thp_get_unmapped_area(k, tid, address, pages, flags, pgoff):
    """The same for a file on a disk: placed so that huge pages could map it, if it is large enough for one (thp_get_unmapped_area)."""
    huge = 1 << k.geo[G_BITS + k.geo[G_LEVELS] - 1]
    whole = pgoff + pages - (pgoff + huge - 1 & ~(huge - 1))
    if flags & MAP_FIXED == 0 and whole >= huge and k.sc[SC_PLACE] == 0:
        start = get_unmapped_area(k, tid, address, pages + huge, flags)
        if start > 0 and start == address >> k.geo[G_PAGE_SHIFT]:
            return start
        if start >= 0:
            return start + (pgoff - start & (huge - 1))
    return get_unmapped_area(k, tid, address, pages, flags)
