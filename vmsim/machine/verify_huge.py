"""Checking huge pages: their frames, what maps them, and the free blocks that they are taken from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vmsim.hw.walk import NODE_ENTRIES
from vmsim.machine.verify_vmas import vma_bounds
from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import vmstat as vs
from vmsim.struct.kernel import Kernel

Ints = NDArray[np.int64]


def free_blocks(kernel: Kernel, number: int, name: str) -> tuple[Ints, list[str]]:
    """The frames of a zone's whole free blocks, and what is wrong with the counts of its free frames by blocks."""
    zone, bits = kernel.zone[number], int(kernel.sc[kn.SC_HUGE_BITS])
    blocks: list[int] = []
    at = int(zone[p.Z_WHOLE])
    while at and len(blocks) <= zone[p.Z_NR_WHOLE]:
        blocks.append(at)
        at = int(kernel.pageblock[at, p.PB_NEXT])
    problems = []
    if len(blocks) != zone[p.Z_NR_WHOLE]:
        problems.append(f"{name}: {zone[p.Z_NR_WHOLE]} whole blocks, but its list has {len(blocks)}")
    if bits:
        start = int(zone[p.Z_START_PFN])
        stack = kernel.free_stack[start : start + zone[p.Z_NR_STACK]]
        numbers, counts = np.unique(stack >> bits, return_counts=True)
        wrong = numbers[kernel.pageblock[numbers, p.PB_FREE] != counts]
        problems += [f"{name}: block {block} counts {kernel.pageblock[block, p.PB_FREE]} free frames" for block in wrong.tolist()]
        problems += [f"{name}: block {block} is whole, but counts free frames" for block in blocks if kernel.pageblock[block, p.PB_FREE]]
        merged = int(np.sum(counts == 1 << bits))
        if merged != zone[p.Z_MERGED]:
            problems.append(f"{name}: {zone[p.Z_MERGED]} merged blocks, but there are {merged}")
    none = np.zeros(0, np.int64)
    return np.concatenate([none, *(np.arange(block << bits, (block + 1) << bits) for block in blocks)]), problems


def check_huge(kernel: Kernel, used: Ints, mapped: Sequence[tuple[int, int, int]]) -> Iterator[str]:
    """Huge pages are whole, and so are their mappings: `mapped` are address space, first page and table of each."""
    frame, bits = kernel.frame, int(kernel.sc[kn.SC_HUGE_BITS])
    pages = 1 << bits
    heads = used[frame[used, p.P_FLAGS] & p.PG_HEAD != 0]
    tails = used[frame[used, p.P_FLAGS] & p.PG_TAIL != 0]
    expected = np.concatenate([np.zeros(0, np.int64), *(np.arange(head + 1, head + pages) for head in heads.tolist())])
    yield from (f"huge page {head} is not aligned" for head in heads[heads & (pages - 1) != 0].tolist())
    yield from (f"frame {pfn} is part of a huge page, or says so, but not both" for pfn in np.setxor1d(tails, expected).tolist())
    zero = int(kernel.sc[kn.SC_HUGE_ZERO])
    users = 0
    bounds = {mm: vma_bounds(kernel, mm) for mm, _, _ in mapped}
    for mm, first, node in mapped:
        name = f"address space {mm}: huge page at page {first}"
        entries = kernel.pt[node + NODE_ENTRIES : node + NODE_ENTRIES + pages]
        starts, ends, _ = bounds[mm]
        at = int(np.searchsorted(starts, first, "right")) - 1
        if at < 0 or first + pages > ends[at]:
            yield f"{name} reaches out of its VMA"
        if entries[0] & p.PTE_ZERO:
            users += 1
            if not (entries & p.PTE_ZERO).all():
                yield f"{name} is only partly the zero page"
            continue
        head = int(entries[0]) >> p.PTE_SHIFT
        if (entries >> p.PTE_SHIFT != np.arange(head, head + pages)).any() or not (entries & p.PTE_PRESENT).all():
            yield f"{name} maps other frames than those of {head}"
        if not frame[head, p.P_FLAGS] & p.PG_HEAD:
            yield f"{name} maps frame {head}, which is none"
    if users != kernel.sc[kn.SC_HUGE_ZERO_USERS] or (users and not zero):
        yield f"{users} entries map the huge zero page {zero}, but {kernel.sc[kn.SC_HUGE_ZERO_USERS]} are counted"
    anonymous = int(np.sum(frame[heads, p.P_FLAGS] & p.PG_ANON != 0))
    if anonymous != kernel.vmstat[vs.NR_ANON_TRANSPARENT_HUGEPAGES]:
        yield f"nr_anon_transparent_hugepages is {kernel.vmstat[vs.NR_ANON_TRANSPARENT_HUGEPAGES]}, but there are {anonymous}"
    if sorted(heads[frame[heads, p.P_FLAGS] & p.PG_ANON == 0].tolist()) != [zero] * (zero > 0):
        yield "a huge page is neither anonymous nor the huge zero page"
