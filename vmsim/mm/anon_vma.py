"""The anon_vma that a VMA gets with its first anonymous page.   Follows mm/rmap.c (anon_vma_prepare) and mm/mmap.c of v4.4."""

from vmsim.mm.vma import AV_VMAS
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_ANON_VMA_NEXT
from vmsim.struct.vmas import (
    V_ANON,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_PGOFF,
    V_PREV,
    V_START,
    VM_EXEC,
    VM_READ,
    VM_SOFTDIRTY,
    VM_WRITE,
)


@compiled
def anon_vma_create(k, v):
    """The first anonymous page of a VMA: a new anon_vma of its own."""
    anon = k.sc[SC_ANON_VMA_NEXT] + 1
    k.sc[SC_ANON_VMA_NEXT] = anon
    k.anon_vma[anon, AV_VMAS] = 1
    k.vma[v, V_ANON] = anon << 1


@compiled
def unlink_anon_vma(k, v):
    """A VMA whose anonymous pages are all gone leaves its anon_vma (unlink_anon_vmas)."""
    if k.vma[v, V_ANON] != 0:
        k.anon_vma[k.vma[v, V_ANON] >> 1, AV_VMAS] -= 1
        k.vma[v, V_ANON] = 0


@compiled
def _compatible(k, low, high):
    """anon_vma_compatible: `low` ends where `high` starts, and they could share an anon_vma."""
    vma = k.vma
    free = VM_READ | VM_WRITE | VM_EXEC | VM_SOFTDIRTY
    return (
        vma[low, V_END] == vma[high, V_START]
        and vma[low, V_FILE] == vma[high, V_FILE]
        and (vma[low, V_FLAGS] ^ vma[high, V_FLAGS]) & ~free == 0
        and vma[high, V_PGOFF] == vma[low, V_PGOFF] + vma[high, V_START] - vma[low, V_START]
    )


@compiled
def anon_vma_prepare(k, v):
    """Give a VMA an anon_vma before its first anonymous page: a neighbour's if it fits, else a new one."""
    vma = k.vma
    if vma[v, V_ANON] != 0:
        return
    after = vma[v, V_NEXT]
    before = vma[v, V_PREV]
    near = 0
    if after != 0 and vma[after, V_ANON] != 0 and vma[after, V_ANON] & 1 == 0 and _compatible(k, v, after):
        near = after
    elif before != 0 and vma[before, V_ANON] != 0 and vma[before, V_ANON] & 1 == 0 and _compatible(k, before, v):
        near = before
    if near == 0:
        anon_vma_create(k, v)
        return
    vma[v, V_ANON] = vma[near, V_ANON]
    k.anon_vma[vma[v, V_ANON] >> 1, AV_VMAS] += 1
