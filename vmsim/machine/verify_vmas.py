"""Checking the VMAs of an address space: their list, their index, and the totals that are kept of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import vmas as v
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_RELOCK_COUNTS_TWICE

Ints = NDArray[np.int64]


def vma_list(kernel: Kernel, mm: int) -> Ints:
    """The ids of an address space's VMAs, by address; at most one more than its map_count says."""
    following = kernel.vma[:, v.V_NEXT]
    found: list[int] = []
    at = int(kernel.mm[mm, v.MM_FIRST])
    while at and len(found) <= kernel.mm[mm, v.MM_MAP_COUNT]:
        found.append(at)
        at = int(following[at])
    return np.array(found, np.int64)


def vma_bounds(kernel: Kernel, mm: int) -> tuple[Ints, Ints, Ints]:
    """First page, page after the last, and flags of an address space's VMAs, by address."""
    rows = kernel.vma[vma_list(kernel, mm)]
    return rows[:, v.V_START], rows[:, v.V_END], rows[:, v.V_FLAGS]


def check_vmas(kernel: Kernel, mm: int) -> Iterator[str]:
    """What is wrong with the VMAs of an address space."""
    name = f"address space {mm}"
    ids = vma_list(kernel, mm)
    rows = kernel.vma[ids]
    starts, ends = rows[:, v.V_START], rows[:, v.V_END]
    if len(ids) != kernel.mm[mm, v.MM_MAP_COUNT]:
        yield f"{name}: map_count is {kernel.mm[mm, v.MM_MAP_COUNT]}, but its list has {len(ids)} VMAs or more"
    yield from (
        f"{name}: VMA {i} at page {start} is empty"
        for i, start in zip(ids[ends <= starts], starts[ends <= starts], strict=True)
    )
    overlap = np.flatnonzero(starts[1:] < ends[:-1])
    yield from (f"{name}: VMA {ids[i]} reaches into the next one at page {starts[i + 1]}" for i in overlap)
    back = np.concatenate(([0], ids[:-1])) != rows[:, v.V_PREV] if len(ids) else np.zeros(0, np.bool_)
    yield from (f"{name}: VMA {i} is linked back wrongly" for i in ids[back])
    indexed = _indexed(kernel, int(kernel.mm[mm, v.MM_INDEX]), int(kernel.sc[kn.SC_INDEX_DEPTH]) - 1, 0)
    if indexed != list(zip(starts.tolist(), ids.tolist(), strict=True)):
        yield f"{name}: its index of {len(indexed)} VMAs is not its list of {len(ids)}"
    yield from _check_totals(kernel, mm, rows)


def _indexed(kernel: Kernel, node: int, level: int, first: int) -> list[tuple[int, int]]:
    """(start, id) of all VMAs below a node of the index, in its order; its bitmaps must say the same as its
    children.
    """
    children = kernel.vchild[node]
    used = np.flatnonzero(children)
    bits = kernel.vindex[node, : v.INDEX_WORDS]
    marked = np.flatnonzero((bits[:, None] >> np.arange(32)) & 1)
    summary = np.flatnonzero((kernel.vindex[node, v.INDEX_SUMMARY] >> np.arange(v.INDEX_WORDS)) & 1)
    if (
        used.tolist() != marked.tolist()
        or summary.tolist() != np.flatnonzero(bits).tolist()
        or len(used) != kernel.vindex[node, v.INDEX_COUNT]
    ):
        return [(-1, node)]
    starts = (first + used).tolist() if level == 0 else ((first + used) << v.INDEX_BITS).tolist()
    if level == 0:
        return list(zip(starts, children[used].tolist(), strict=True))
    found: list[tuple[int, int]] = []
    for child, start in zip(children[used].tolist(), starts, strict=True):
        found += _indexed(kernel, child, level - 1, start)
    return found


def _check_totals(kernel: Kernel, mm: int, rows: Ints) -> Iterator[str]:
    pages = rows[:, v.V_END] - rows[:, v.V_START]
    flags = rows[:, v.V_FLAGS]
    is_file = rows[:, v.V_FILE] != 0
    totals = {
        "total_vm": (v.MM_TOTAL_VM, np.full(len(rows), True)),
        "shared_vm": (v.MM_SHARED_VM, is_file),
        "stack_vm": (v.MM_STACK_VM, ~is_file & (flags & v.VM_GROWSDOWN != 0)),
        "locked_vm": (v.MM_LOCKED_VM, flags & v.VM_LOCKED != 0),
    }
    for name, (column, which) in totals.items():
        counted, found = int(kernel.mm[mm, column]), int(pages[which].sum())
        at_least = (
            name == "locked_vm" and kernel.rule[R_RELOCK_COUNTS_TWICE] != 0
        )  # counts a VMA twice that was relocked
        if counted < found or (counted > found and not at_least):
            yield f"address space {mm}: {name} is {counted}, but its VMAs have {found} pages"


def check_objects(kernel: Kernel, spaces: list[int]) -> Iterator[str]:
    """What is wrong with the counts of VMAs of each file and each anon_vma."""
    ids = np.concatenate([vma_list(kernel, mm) for mm in spaces]) if spaces else np.zeros(0, np.int64)
    mapped = np.bincount(kernel.vma[ids, v.V_FILE], minlength=len(kernel.file))
    wrong = np.flatnonzero(mapped[1:] != kernel.file[1:, f.FI_MAPCOUNT]) + 1
    yield from (f"file {i} counts {kernel.file[i, f.FI_MAPCOUNT]} VMAs, but {mapped[i]} map it" for i in wrong.tolist())
    anon = kernel.vma[ids, v.V_ANON] >> 1
    last = int(kernel.sc[kn.SC_ANON_VMA_NEXT])
    sharing = np.bincount(anon, minlength=last + 1)[: last + 1]
    wrong = np.flatnonzero(sharing[1:] != kernel.anon_vma[1 : last + 1, 0]) + 1
    yield from (f"anon_vma {i} counts {kernel.anon_vma[i, 0]} VMAs, but {sharing[i]} share it" for i in wrong.tolist())
