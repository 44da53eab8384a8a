"""VMAs: finding, linking, splitting and merging them.   Follows mm/mmap.c of v4.4 (section A.2 of the behaviour notes)."""

from vmsim.mm.huge_split import vma_adjust_trans_huge
from vmsim.mm.interval import index_floor, index_insert, index_remove
from vmsim.struct.bits import bit_length
from vmsim.struct.costs import C_VMA_CACHED_LEVEL, C_VMA_CACHED_LEVELS, C_VMA_CHANGE, C_VMA_TREE_LEVEL
from vmsim.struct.errno import ENOMEM
from vmsim.struct.files import FI_MAPCOUNT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_TASK, SC_VMA_FREE, SC_VMA_NEXT, SYS_MAX_MAP_COUNT
from vmsim.struct.ledger import L_VMA
from vmsim.struct.rules import R_MERGE_UNFAULTED_NEIGHBOUR, R_MMAP_EXTENDS_NEXT_FIRST
from vmsim.struct.tasks import T_VMACACHE, T_VMACACHE_SEQ
from vmsim.struct.vmas import (
    MM_FIRST,
    MM_MAP_COUNT,
    MM_VMACACHE_SEQ,
    V_ANON,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_PREV,
    V_START,
    VM_SOFTDIRTY,
    VM_SPECIAL,
    VMA_COLUMNS,
)

# Columns of `anon_vma`.
AV_VMAS = 0  # VMAs in its interval tree
AV_SWAP_RA = 2  # what its VMAs remember of swap read-ahead (mm/swap_vma.py)
AV_MM = 1  # address space from which reclaim last unmapped a page of it

_MM_BITS = 24  # of an address space's id, in T_VMACACHE_SEQ


@compiled
def tree_walk_ns(k, nodes):
    """One descent (or rebalancing ascent) of a balanced tree of `nodes`: the top levels are cached, the rest are not."""
    levels = bit_length(nodes)
    cached = min(levels, k.cost[C_VMA_CACHED_LEVELS])
    return cached * k.cost[C_VMA_CACHED_LEVEL] + (levels - cached) * k.cost[C_VMA_TREE_LEVEL]


@compiled
def charge_vma_adjust(k, mm, v):
    """A VMA's boundary moves: it leaves and re-enters its object trees, and the gaps above it are recomputed (vma_adjust)."""
    ns = tree_walk_ns(k, k.mm[mm, MM_MAP_COUNT])
    if k.vma[v, V_FILE] != 0:
        ns += 2 * tree_walk_ns(k, k.file[k.vma[v, V_FILE], FI_MAPCOUNT])
    if k.vma[v, V_ANON] != 0:
        ns += 2 * tree_walk_ns(k, k.anon_vma[k.vma[v, V_ANON] >> 1, AV_VMAS])
    k.led[L_VMA] += ns


@compiled
def charge_vma_link(k, mm, v):
    """A VMA enters (or leaves) all its trees: descent and rebalancing in the mm's, one pass in each object's."""
    ns = 2 * tree_walk_ns(k, k.mm[mm, MM_MAP_COUNT]) + k.cost[C_VMA_CHANGE]
    if k.vma[v, V_FILE] != 0:
        ns += tree_walk_ns(k, k.file[k.vma[v, V_FILE], FI_MAPCOUNT])
    if k.vma[v, V_ANON] != 0:
        ns += tree_walk_ns(k, k.anon_vma[k.vma[v, V_ANON] >> 1, AV_VMAS])
    k.led[L_VMA] += ns


@compiled
def vma_alloc(k):
    """A zeroed VMA row."""
    v = k.sc[SC_VMA_FREE]
    if v != 0:
        k.sc[SC_VMA_FREE] = k.vma[v, V_NEXT]
        k.vma[v, V_NEXT] = 0
        return v
    v = k.sc[SC_VMA_NEXT] + 1
    k.sc[SC_VMA_NEXT] = v
    return v


@compiled
def vma_free(k, v):
    """Give a row back, zeroed."""
    for column in range(VMA_COLUMNS):
        k.vma[v, column] = 0
    k.vma[v, V_NEXT] = k.sc[SC_VMA_FREE]
    k.sc[SC_VMA_FREE] = v


@compiled
def object_get(k, v):
    """Count a VMA in the trees of its file and its anon_vma."""
    if k.vma[v, V_FILE] != 0:
        k.file[k.vma[v, V_FILE], FI_MAPCOUNT] += 1
    if k.vma[v, V_ANON] != 0:
        k.anon_vma[k.vma[v, V_ANON] >> 1, AV_VMAS] += 1


@compiled
def object_put(k, v):
    """The reverse of `object_get`."""
    if k.vma[v, V_FILE] != 0:
        k.file[k.vma[v, V_FILE], FI_MAPCOUNT] -= 1
    if k.vma[v, V_ANON] != 0:
        k.anon_vma[k.vma[v, V_ANON] >> 1, AV_VMAS] -= 1


@compiled
def find_vma(k, mm, vpn):
    """The first VMA that ends above `vpn`, 0 if there is none; it need not contain it."""
    v = index_floor(k, mm, vpn)
    if v == 0:
        return k.mm[mm, MM_FIRST]
    return v if k.vma[v, V_END] > vpn else k.vma[v, V_NEXT]


@compiled
def vma_before(k, mm, vpn):
    """The VMA before the page `vpn`, which no VMA contains; 0 if there is none."""
    return index_floor(k, mm, vpn)


@compiled
def find_vma_charged(k, mm, vpn):
    """`find_vma` through the task's cache of found VMAs; a miss costs a descent of the mm's tree (mm/vmacache.c)."""
    task = k.task[k.sc[SC_TASK]]
    slot = T_VMACACHE + (vpn & 3)
    valid_for = k.mm[mm, MM_VMACACHE_SEQ] << _MM_BITS | mm
    if task[T_VMACACHE_SEQ] != valid_for:
        task[T_VMACACHE_SEQ] = valid_for
        for i in range(4):
            task[T_VMACACHE + i] = 0
    v = task[slot]
    if v != 0 and k.vma[v, V_START] <= vpn and vpn < k.vma[v, V_END]:
        k.led[L_VMA] += k.cost[C_VMA_CACHED_LEVEL]
        return v
    k.led[L_VMA] += tree_walk_ns(k, k.mm[mm, MM_MAP_COUNT])
    v = find_vma(k, mm, vpn)
    task[slot] = v
    return v


@compiled
def vma_link(k, mm, v):
    """Enter a VMA, whose range is free, into the address space."""
    vma = k.vma
    prev = index_floor(k, mm, vma[v, V_START])
    after = k.mm[mm, MM_FIRST] if prev == 0 else vma[prev, V_NEXT]
    vma[v, V_PREV] = prev
    vma[v, V_NEXT] = after
    if prev == 0:
        k.mm[mm, MM_FIRST] = v
    else:
        vma[prev, V_NEXT] = v
    if after != 0:
        vma[after, V_PREV] = v
    index_insert(k, mm, vma[v, V_START], v)
    k.mm[mm, MM_MAP_COUNT] += 1


@compiled
def vma_unlink(k, mm, v):
    """Take a VMA out of the address space, leaving its row."""
    vma = k.vma
    prev = vma[v, V_PREV]
    after = vma[v, V_NEXT]
    if prev == 0:
        k.mm[mm, MM_FIRST] = after
    else:
        vma[prev, V_NEXT] = after
    if after != 0:
        vma[after, V_PREV] = prev
    index_remove(k, mm, vma[v, V_START])
    k.mm[mm, MM_MAP_COUNT] -= 1
    k.mm[mm, MM_VMACACHE_SEQ] += 1


@compiled
def vma_remove(k, mm, v):
    """A VMA that a neighbour swallowed, or that was unmapped, ceases to exist."""
    charge_vma_link(k, mm, v)
    object_put(k, v)
    vma_unlink(k, mm, v)
    vma_free(k, v)


@compiled
def move_start(k, mm, v, vpn):
    """Move a VMA's start, and its page offset with it."""
    index_remove(k, mm, k.vma[v, V_START])
    k.vma[v, V_PGOFF] += vpn - k.vma[v, V_START]
    k.vma[v, V_START] = vpn
    index_insert(k, mm, vpn, v)


@compiled
def split_vma_unlimited(k, mm, v, vpn):
    """Cut a VMA in two at `vpn`: it keeps the lower part; returns the new upper part (__split_vma)."""
    vma = k.vma
    vma_adjust_trans_huge(k, mm, vpn)
    upper = vma_alloc(k)
    vma[upper, V_START] = vpn
    vma[upper, V_END] = vma[v, V_END]
    vma[upper, V_FLAGS] = vma[v, V_FLAGS]
    vma[upper, V_FILE] = vma[v, V_FILE]
    vma[upper, V_PGOFF] = vma[v, V_PGOFF] + vpn - vma[v, V_START]
    vma[upper, V_ANON] = vma[v, V_ANON]
    charge_vma_adjust(k, mm, v)
    charge_vma_link(k, mm, upper)
    object_get(k, upper)
    vma[v, V_END] = vpn
    after = vma[v, V_NEXT]
    vma[upper, V_PREV] = v
    vma[upper, V_NEXT] = after
    vma[v, V_NEXT] = upper
    if after != 0:
        vma[after, V_PREV] = upper
    index_insert(k, mm, vpn, upper)
    k.mm[mm, MM_MAP_COUNT] += 1
    return upper


@compiled
def split_vma(k, mm, v, vpn):
    """`split_vma_unlimited`, or -ENOMEM when the address space has max_map_count VMAs."""
    if k.mm[mm, MM_MAP_COUNT] >= k.sysctl[SYS_MAX_MAP_COUNT]:
        return -ENOMEM
    return split_vma_unlimited(k, mm, v, vpn)


@compiled
def _singular(anon):
    """The chain of anon_vmas has exactly one link: written to, and never inherited through fork."""
    return anon != 0 and anon & 1 == 0


@compiled
def _anon_compatible(anon1, anon2, chain):
    """is_mergeable_anon_vma; `chain` is the neighbour's V_ANON, or -1 when no chain is asked about."""
    if (anon1 == 0 or anon2 == 0) and (chain == -1 or _singular(chain)):
        return True
    return anon1 >> 1 == anon2 >> 1


@compiled
def _joins(k, area, near):
    """Whether an area whose V_ANON is `area` may join its neighbour, whose V_ANON is `near`."""
    if near == 0 and area != 0 and k.rule[R_MERGE_UNFAULTED_NEIGHBOUR] != 0:
        return _singular(area)
    return _anon_compatible(area, near, near)


@compiled
def _mergeable(k, v, flags, file):
    return (k.vma[v, V_FLAGS] ^ flags) & ~VM_SOFTDIRTY == 0 and k.vma[v, V_FILE] == file


@compiled
def _import_anon(k, to, source):
    """A VMA that grows over another's pages takes over its anon_vma if it had none."""
    if k.vma[to, V_ANON] == 0 and k.vma[source, V_ANON] != 0:
        k.vma[to, V_ANON] = k.vma[source, V_ANON]
        k.anon_vma[k.vma[to, V_ANON] >> 1, AV_VMAS] += 1


@compiled
def vma_merge(k, mm, prev, start, end, flags, like, file, pgoff):
    """Merge [start, end), which gets `flags`, with its neighbours; the VMA that then holds it, or 0 (vma_merge).

    `prev` is the VMA before `start` (or the one that `start` lies inside); `like` is the V_ANON of the area.  What the
    area covers now is a free range, a whole VMA or one end of a VMA, as for mmap, mprotect and mlock.
    """
    if flags & VM_SPECIAL != 0:
        return 0
    vma = k.vma
    area = vma[prev, V_NEXT] if prev != 0 else k.mm[mm, MM_FIRST]
    after = area
    covered = area != 0 and vma[area, V_START] < end  # an existing VMA begins in the area
    if after != 0 and vma[after, V_END] == end:
        after = vma[after, V_NEXT]
    merged = 0
    to_next = _joins_next(k, after, end, flags, like, file, pgoff + end - start)
    if _joins_prev(k, prev, start, flags, like, file, pgoff):
        if to_next and _anon_compatible(vma[prev, V_ANON], vma[after, V_ANON], -1):
            merged = _merge_three(k, mm, prev, area if covered else 0, after)
        else:
            merged = _merge_prev(k, mm, prev, area if covered else 0, end)
    elif to_next:
        merged = _merge_next(k, mm, prev, after, start, end)
    if merged != 0 and like != 0 and vma[merged, V_ANON] == 0:
        vma[merged, V_ANON] = like
        k.anon_vma[like >> 1, AV_VMAS] += 1
    return merged


@compiled
def vma_merge_new(k, mm, prev, start, end, flags, file, pgoff):
    """`vma_merge` of a new mapping, whose range is free."""
    if k.rule[R_MMAP_EXTENDS_NEXT_FIRST] != 0 and flags & VM_SPECIAL == 0 and prev != 0:
        after = k.vma[prev, V_NEXT]
        if _joins_next(k, after, end, flags, 0, file, pgoff + end - start) and k.vma[after, V_ANON] != 0:
            if not _anon_compatible(k.vma[after, V_ANON], k.vma[prev, V_ANON], k.vma[prev, V_ANON]):
                return _merge_next(k, mm, prev, after, start, end)
    return vma_merge(k, mm, prev, start, end, flags, 0, file, pgoff)


@compiled
def _joins_prev(k, prev, start, flags, like, file, pgoff):
    """Whether an area from `start` on may join the VMA before it (can_vma_merge_after)."""
    vma = k.vma
    return (
        prev != 0
        and vma[prev, V_END] == start
        and _mergeable(k, prev, flags, file)
        and _joins(k, like, vma[prev, V_ANON])
        and vma[prev, V_PGOFF] + vma[prev, V_END] - vma[prev, V_START] == pgoff
    )


@compiled
def _joins_next(k, after, end, flags, like, file, pgoff):
    """Whether an area up to `end` may join the VMA after it, which would begin at `pgoff` then (can_vma_merge_before)."""
    vma = k.vma
    return (
        after != 0
        and vma[after, V_START] == end
        and _mergeable(k, after, flags, file)
        and _joins(k, like, vma[after, V_ANON])
        and vma[after, V_PGOFF] == pgoff
    )


@compiled
def _merge_three(k, mm, prev, area, after):
    """Cases 1 and 6: previous VMA, area and next VMA become one."""
    charge_vma_adjust(k, mm, prev)
    end = k.vma[after, V_END]
    if area != 0:
        _import_anon(k, prev, area)
        vma_remove(k, mm, area)
    _import_anon(k, prev, after)
    vma_remove(k, mm, after)
    k.vma[prev, V_END] = end
    return prev


@compiled
def _merge_prev(k, mm, prev, area, end):
    """Cases 2, 5 and 7: the previous VMA grows over the area, which is free, or all or the beginning of a VMA."""
    charge_vma_adjust(k, mm, prev)
    if area != 0:
        _import_anon(k, prev, area)
        if k.vma[area, V_END] == end:
            vma_remove(k, mm, area)
        else:
            vma_adjust_trans_huge(k, mm, end)
            charge_vma_adjust(k, mm, area)
            move_start(k, mm, area, end)
    k.vma[prev, V_END] = end
    return prev


@compiled
def _merge_next(k, mm, prev, after, start, end):
    """Cases 3, 4 and 8: the next VMA grows down over the area, which is free, or all or the end of a VMA."""
    vma = k.vma
    charge_vma_adjust(k, mm, after)
    if prev != 0 and vma[prev, V_END] > start:  # case 4: the area is the end of `prev`
        vma_adjust_trans_huge(k, mm, start)
        charge_vma_adjust(k, mm, prev)
        _import_anon(k, after, prev)
        vma[prev, V_END] = start
        move_start(k, mm, after, start)
        return after
    area = vma[after, V_PREV]
    if area != 0 and vma[area, V_START] == start:  # case 8: the area's VMA survives, the next goes
        last = vma[after, V_END]
        _import_anon(k, area, after)
        vma_remove(k, mm, after)
        vma[area, V_END] = last
        return area
    move_start(k, mm, after, start)
    return after
