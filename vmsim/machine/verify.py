"""Checking a machine between two slices: frames are conserved, and every count agrees with what it counts.

A disagreement is a defect of vmsim. The tables are read whole, so this is for the end of a run and for tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import ImpossibleState
from vmsim.hw.walk import TABLE_HUGE
from vmsim.machine.differs import differs
from vmsim.machine.generations import generation_lists, generation_sizes, list_of, page_counts, zone_lists
from vmsim.machine.verify_huge import check_huge, free_blocks
from vmsim.machine.verify_slab import check_slab
from vmsim.machine.verify_swap import check_swap
from vmsim.machine.verify_vmas import check_objects, check_vmas, vma_bounds
from vmsim.machine.verify_writeback import check_writeback
from vmsim.mm.rmap import CH_MAPPING, CH_NEXT
from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import reclaim as rc
from vmsim.struct import vmas as v
from vmsim.struct import vmstat as vs
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_LRU_GEN, R_NODE_LRU

Ints = NDArray[np.int64]
_NODE_ENTRIES = 2  # a table's entries follow its frame and its count
_SHOWN = 20


@dataclass(frozen=True)
class Mappings:
    """All entries of all page tables that map a frame, and the tables themselves."""

    mm: Ints
    vpn: Ints
    entry: Ints
    tables: tuple[int, ...]  # frames of page tables
    huge: tuple[tuple[int, int, int], ...] = ()  # address space, first page and table of each huge page that is mapped; one entry above

    @property
    def pfn(self) -> Ints:
        """The frame of each entry, 0 for a swapped page."""
        return frames_of(self.entry)


def frames_of(entry: Ints) -> Ints:
    """The frames of page-table entries, 0 where one is a swap entry."""
    return np.where(entry & p.PTE_SWAP == 0, entry >> p.PTE_SHIFT, 0)


def verify(kernel: Kernel) -> None:
    """Raise ImpossibleState, with what disagrees and where, unless the tables of a machine between two slices agree.

    Every frame of the allocator is free, a page table, on exactly one LRU list, locked for I/O or taken by the kernel; lists are linked
    both
    ways; map counts, reverse mappings and RSS equal the page-table entries; VMAs, their index and the totals of their
    address space agree; the counters of /proc/vmstat equal what they count; what is dirty is known to a flusher, and no dirty page is gone.
    """
    wrong = list(_disagreements(kernel))
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise ImpossibleState(f"at {kernel.sc[kn.SC_NOW]} ns the tables disagree: " + "; ".join(wrong[:_SHOWN]) + more)


def _disagreements(kernel: Kernel) -> Iterator[str]:
    used, problems = _used_frames(kernel)
    yield from problems
    yield from _check_lists(kernel, used)
    for mm in address_spaces(kernel):
        yield from check_vmas(kernel, mm)
    yield from check_objects(kernel, address_spaces(kernel))
    mappings, problems = _read_page_tables(kernel)
    yield from problems
    yield from _check_use(kernel, used, mappings)
    yield from _check_rmap(kernel, used, mappings)
    yield from check_huge(kernel, used, mappings.huge)
    yield from _check_rss(kernel, mappings)
    yield from _check_rights(kernel, mappings)
    yield from _check_page_cache(kernel, used)
    yield from check_slab(kernel, used)
    yield from check_swap(kernel, mappings.mm, mappings.entry)
    yield from _check_counters(kernel, used)
    here = _resident(mappings)
    yield from check_writeback(kernel, used, mappings.pfn[here], mappings.entry[here])


def address_spaces(kernel: Kernel) -> list[int]:
    """The ids of the address spaces that have page tables."""
    return [int(mm) for mm in np.flatnonzero(kernel.mm[:, v.MM_PGD])]


def _used_frames(kernel: Kernel) -> tuple[Ints, list[str]]:
    """The frames that the allocator has handed out, and what is wrong with the free ones."""
    problems: list[str] = []
    used = []
    zones = kernel.zone[: kernel.sc[kn.SC_NR_ZONES]]
    for number, zone in enumerate(zones):
        start = int(zone[p.Z_START_PFN])
        first = int(zone[p.Z_FIRST_PFN])
        last = first + int(zone[p.Z_MANAGED])
        name = f"zone {number}"
        whole, found = free_blocks(kernel, number, name)
        problems += found
        stack = np.concatenate([kernel.free_stack[start : start + zone[p.Z_NR_STACK]], whole])
        free = set(stack.tolist())
        problems += differs(f"{name}: frames on the free stack", len(stack), len(free))
        listed = int(kernel.pcp[:, number].sum())
        new = range(int(zone[p.Z_NEXT_NEW]), int(zone[p.Z_NEW_END]))
        problems += differs(f"{name}: nr_free", int(zone[p.Z_FREE]) + listed, len(free) + len(new))
        outside = [pfn for pfn in free if not first <= pfn < last or pfn in new]
        problems += [f"{name}: frame {pfn} is on the free stack, but was never handed out" for pfn in outside]
        handed = np.concatenate([np.arange(first, new.start), np.arange(new.stop, last)])
        in_use = handed[~np.isin(handed, stack)]
        used.append(in_use)
        problems += [f"frame {pfn} is free, but not clear" for pfn in stack[kernel.frame[stack].any(axis=1)].tolist()]
        flags = kernel.frame[in_use, p.P_FLAGS]
        problems += [f"frame {pfn} is in use without PG_inuse" for pfn in in_use[flags & p.PG_INUSE == 0].tolist()]
    problems += differs("nr_free_pages", int(kernel.vmstat[vs.NR_FREE_PAGES]), int(zones[:, p.Z_FREE].sum()))
    return np.concatenate(used), problems


def _check_lists(kernel: Kernel, used: Ints) -> Iterator[str]:
    """Walk each LRU list once around: its pages say that they are on it, and no other page says so."""
    frame = kernel.frame
    starts = kernel.zone[: kernel.sc[kn.SC_NR_ZONES], p.Z_START_PFN]
    nr_frames = int(kernel.sc[kn.SC_NR_FRAMES])
    node_lru = bool(kernel.rule[R_NODE_LRU])
    seen: list[int] = []
    lengths = np.zeros(p.NR_LRU_LISTS, np.int64)
    for zone in range(len(starts)):
        for lru in range(p.NR_LRU_LISTS):
            name = f"list {lru} of zone {zone}"
            sentinel = nr_frames + zone * p.NR_LRU_LISTS + lru
            pages, problem = _walk(frame, sentinel, len(used))
            if problem:
                yield f"{name}: {problem}"
                continue
            flags = frame[pages, p.P_FLAGS]
            length = int(page_counts(kernel, pages).sum())
            own = np.zeros(len(pages), np.int64) if node_lru else np.searchsorted(starts, pages, "right") - 1
            belongs = (flags & p.PG_LRU != 0) & (list_of(kernel, flags) == lru) & (own == zone)
            yield from (f"{name} holds frame {pfn}, which doesn't belong there" for pfn in pages[~belongs].tolist())
            if not kernel.rule[R_LRU_GEN] or lru == p.LRU_UNEVICTABLE:
                yield from differs(f"{name}: length", int(kernel.zone[zone, p.Z_LRU + lru]), length)
            lengths[lru] += length
            seen += pages.tolist()
    if kernel.rule[R_LRU_GEN]:
        pages, problems = _generations(kernel, starts, len(used))
        yield from problems
        lengths += np.bincount(list_of(kernel, frame[pages, p.P_FLAGS]), minlength=p.NR_LRU_LISTS)
        yield from differs("lengths of the lists", kernel.zone[0, p.Z_LRU : p.Z_LRU + 4].tolist(), lengths[:4].tolist())
        seen += pages.tolist()
    on_list = used[frame[used, p.P_FLAGS] & p.PG_LRU != 0]
    yield from (f"frame {pfn} has PG_lru, but is on no list" for pfn in np.setdiff1d(on_list, seen).tolist())
    listed = np.array(seen, np.int64)
    for zone, found in enumerate(zone_lists(kernel, listed)):
        lists = kernel.zone[zone, p.Z_ZONE_LRU : p.Z_ZONE_LRU + p.NR_LRU_LISTS].tolist()
        yield from differs(f"zone {zone}: pages on lists", lists, found)
    counted = kernel.vmstat[vs.NR_LRU_BASE : vs.NR_LRU_BASE + p.NR_LRU_LISTS]
    yield from differs("LRU counters", counted.tolist(), lengths.tolist())


def _generations(kernel: Kernel, starts: Ints, most: int) -> tuple[Ints, list[str]]:
    """The pages on lists of generations, and what is wrong with them."""
    found: list[int] = []
    problems: list[str] = []
    for name, row, file, zone in generation_lists(kernel):
        pages, problem = _walk(kernel.frame, row, most)
        flags = kernel.frame[pages, p.P_FLAGS]
        own = np.searchsorted(starts, pages, "right") - 1
        belongs = (flags & p.PG_LRU != 0) & (flags & p.PG_GEN_MASK != 0) & ((flags & p.PG_SWAPBACKED == 0) == file) & (own == zone)
        problems += [f"{name}: {problem}"] if problem else []
        problems += [f"{name} holds frame {pfn}, which doesn't belong there" for pfn in pages[~belongs].tolist()]
        found += pages.tolist()
    listed = np.array(found, np.int64)
    return listed, [*problems, *generation_sizes(kernel, listed)]


def _walk(frame: Ints, sentinel: int, most: int) -> tuple[Ints, str]:
    """The pages of the list behind a sentinel, and what is wrong with its links."""
    pages: list[int] = []
    at = int(frame[sentinel, p.P_NEXT])
    before = sentinel
    while at != sentinel:
        if frame[at, p.P_PREV] != before:
            return np.array(
                pages, np.int64
            ), f"frame {at} comes after {before}, but is linked back to {frame[at, p.P_PREV]}"
        if len(pages) > most:
            return np.array(pages, np.int64), "it does not end"
        pages.append(at)
        before, at = at, int(frame[at, p.P_NEXT])
    if frame[sentinel, p.P_PREV] != before:
        return np.array(pages, np.int64), f"its last page is {before}, but the head says {frame[sentinel, p.P_PREV]}"
    return np.array(pages, np.int64), ""


def _read_page_tables(kernel: Kernel) -> tuple[Mappings, list[str]]:
    """Walk all page tables: their entries, and what is wrong with the tables."""
    geo = kernel.geo
    levels = int(geo[kn.G_LEVELS])
    problems: list[str] = []
    tables: list[int] = []
    parts: list[tuple[Ints, Ints, Ints]] = []
    huge: list[tuple[int, int, int]] = []
    for mm in address_spaces(kernel):
        nodes = [(int(kernel.mm[mm, v.MM_PGD]), 0)]
        by_level = []
        for level in range(levels):
            by_level.append(len(nodes))
            below: list[tuple[int, int]] = []
            for node, first in nodes:
                row = kernel.pt[node + _NODE_ENTRIES : node + _NODE_ENTRIES + (1 << int(geo[kn.G_BITS + level]))]
                full = np.flatnonzero(row)
                where = f"address space {mm}: table of level {level} at page {first}"
                problems += differs(f"{where}: its count", int(kernel.pt[node + 1]) & ~TABLE_HUGE, len(full))
                if kernel.pt[node + 1] & TABLE_HUGE:
                    huge.append((mm, first, node))
                    full = full[:1]
                tables.append(int(kernel.pt[node]))
                vpns = first + (full << int(geo[kn.G_SHIFT + level]))
                if level == levels - 1:
                    problems += _check_ready(kernel, where, node, row)
                    parts.append((np.full(len(full), mm), vpns, row[full]))
                else:
                    below += zip(row[full].tolist(), vpns.tolist(), strict=True)
            nodes = below
        problems += differs(
            f"address space {mm}: nr_ptes", int(kernel.mm[mm, v.MM_NR_PTES]), by_level[-1] if levels > 1 else 0
        )
        problems += differs(
            f"address space {mm}: nr_pmds", int(kernel.mm[mm, v.MM_NR_PMDS]), by_level[-2] if levels > 2 else 0
        )
    none = np.zeros(0, np.int64)
    mms, vpns, entries = (np.concatenate([none, *(part[i] for part in parts)]) for i in range(3))
    return Mappings(mms, vpns, entries, tuple(tables), tuple(huge)), problems


def _check_ready(kernel: Kernel, where: str, node: int, row: Ints) -> Iterator[str]:
    """What is known of the entries of a last-level table must be so: nothing is known of one that the MMU would still have to change."""
    slots = node + _NODE_ENTRIES + np.arange(len(row))
    known = kernel.ready[slots >> p.READY_SHIFT] >> (slots & p.READY_LOW) * p.READY_BITS & p.READY_MASK
    writes = row & (p.PTE_WRITE | p.PTE_DIRTY) == p.PTE_WRITE | p.PTE_DIRTY
    usable = row & (p.PTE_PRESENT | p.PTE_YOUNG | p.PTE_PROTNONE) == p.PTE_PRESENT | p.PTE_YOUNG
    right = (known == 0) | usable & (known == np.where(writes, p.READY_READ | p.READY_WRITE, p.READY_READ))
    yield from (f"{where}: entry {i} ({row[i]:#x}) is taken for {known[i]}" for i in np.flatnonzero(~right))


def _check_use(kernel: Kernel, used: Ints, mappings: Mappings) -> Iterator[str]:
    """Each frame in use is one thing: a page table, on an LRU list or on its way there, or locked for I/O."""
    flags = kernel.frame[used, p.P_FLAGS]
    table = flags & p.PG_TABLE != 0
    listed = flags & (p.PG_LRU | p.PG_PAGEVEC | p.PG_LOCKED | p.PG_RESERVED | p.PG_TAIL | p.PG_ISOLATED) != 0
    yield from (
        f"frame {pfn} (flags {fl:#x}) is neither free nor used"
        for pfn, fl in zip(used[~table & ~listed], flags[~table & ~listed], strict=True)
    )
    yield from (f"frame {pfn} is a page table and on a list" for pfn in used[table & listed].tolist())
    yield from differs("frames of page tables", sorted(used[table].tolist()), sorted(mappings.tables))
    yield from _check_batches(kernel, used)
    yield from differs("nr_page_table_pages", int(kernel.vmstat[vs.NR_PAGETABLE]), len(mappings.tables))


def _check_batches(kernel: Kernel, used: Ints) -> Iterator[str]:
    """The pages that are isolated are those in the reclaimers' batches, on no list."""
    flags = kernel.frame[used, p.P_FLAGS]
    isolated = flags & p.PG_ISOLATED != 0
    batches = [row[rc.S_BATCH : rc.S_BATCH + row[rc.S_BATCH_TAKEN]] for row in kernel.scan if row[rc.S_BATCH_TAKEN]]
    held = sorted(int(pfn) for batch in batches for pfn in batch)
    yield from differs("isolated frames", sorted(used[isolated].tolist()), held)
    yield from (f"frame {pfn} is isolated and on a list" for pfn in used[isolated & (flags & p.PG_LRU != 0)].tolist())
    counted = kernel.vmstat[vs.NR_ISOLATED_ANON : vs.NR_ISOLATED_ANON + 2]
    yield from differs("nr_isolated_anon and nr_isolated_file", int(counted.sum()), len(held))
    yield from differs("nr_isolated_*", counted.tolist(), kernel.zone[:, p.Z_ISOLATED : p.Z_ISOLATED + 2].sum(axis=0).tolist())


def _resident(mappings: Mappings) -> NDArray[np.bool_]:
    """Which entries map a frame of their own (not the zero page, not swapped out)."""
    resident: NDArray[np.bool_] = mappings.entry & (p.PTE_PRESENT | p.PTE_ZERO) == p.PTE_PRESENT
    return resident


def _check_rmap(kernel: Kernel, used: Ints, mappings: Mappings) -> Iterator[str]:
    """Map counts and reverse mappings are exactly the page-table entries."""
    frame = kernel.frame
    here = _resident(mappings)
    pfns, packed = mappings.pfn[here], mappings.mm[here] << p.RMAP_SHIFT | mappings.vpn[here]
    stray = np.setdiff1d(pfns, used)
    yield from (f"a page-table entry maps frame {pfn}, which is not in use" for pfn in stray.tolist())
    count = np.bincount(pfns, minlength=int(used.max(initial=0)) + 1)[used]
    wrong = used[frame[used, p.P_MAPCOUNT] != count]
    yield from (
        f"frame {pfn} has mapcount {frame[pfn, p.P_MAPCOUNT]}, but {np.sum(pfns == pfn)} entries map it"
        for pfn in wrong.tolist()
    )
    single = frame[pfns, p.P_MAPCOUNT] == 1
    bad = pfns[single & (frame[pfns, p.P_RMAP] != packed)]
    yield from (f"frame {pfn} is mapped elsewhere than its reverse mapping says" for pfn in bad.tolist())
    shared: dict[int, set[int]] = {}
    for pfn, mapping in zip(pfns[~single].tolist(), packed[~single].tolist(), strict=True):
        shared.setdefault(pfn, set()).add(mapping)
    for pfn, expected in shared.items():
        link = -int(frame[pfn, p.P_RMAP]) - 1
        found: list[int] = []
        while 0 < link < len(kernel.chain) and len(found) <= len(expected):
            found.append(int(kernel.chain[link, CH_MAPPING]))
            link = int(kernel.chain[link, CH_NEXT])
        yield from differs(f"frame {pfn}: chain of reverse mappings", sorted(found), sorted(expected))


def _check_rss(kernel: Kernel, mappings: Mappings) -> Iterator[str]:
    """RSS and the counters of mapped pages are exactly the page-table entries."""
    here = _resident(mappings)
    anon = kernel.frame[mappings.pfn, p.P_FLAGS] & p.PG_ANON != 0
    pages = page_counts(kernel, mappings.pfn)
    for mm in address_spaces(kernel):
        mine = here & (mappings.mm == mm)
        row = kernel.mm[mm]
        yield from differs(f"address space {mm}: anonymous RSS", int(row[v.MM_ANONPAGES]), int(pages[mine & anon].sum()))
        yield from differs(
            f"address space {mm}: file RSS", int(row[v.MM_FILEPAGES] + row[v.MM_SHMEMPAGES]), int(np.sum(mine & ~anon))
        )
    mapped = np.unique(mappings.pfn[here])
    is_anon = kernel.frame[mapped, p.P_FLAGS] & p.PG_ANON != 0
    yield from differs("nr_anon_pages", int(kernel.vmstat[vs.NR_ANON_PAGES]), int(page_counts(kernel, mapped[is_anon]).sum()))
    yield from differs("nr_mapped", int(kernel.vmstat[vs.NR_FILE_MAPPED]), int((~is_anon).sum()))


def _check_rights(kernel: Kernel, mappings: Mappings) -> Iterator[str]:
    """Entries lie inside VMAs and allow no more than these.

    A page of a locked VMA need not be mlocked: an mlock that meets a hole has locked what lies before it, but populates nothing.
    """
    for mm in address_spaces(kernel):
        mine = mappings.mm == mm
        vpn, entry = mappings.vpn[mine], mappings.entry[mine]
        starts, ends, flags = vma_bounds(kernel, mm)
        at = np.searchsorted(starts, vpn, "right") - 1
        inside = (at >= 0) & (vpn < ends[at]) if len(starts) else np.zeros(len(vpn), np.bool_)
        name = f"address space {mm}: page"
        yield from (f"{name} {page} is mapped outside any VMA" for page in vpn[~inside].tolist())
        vpn, entry, rights = vpn[inside], entry[inside], flags[at[inside]] if len(starts) else flags
        writes = (entry & p.PTE_PRESENT != 0) & (entry & p.PTE_WRITE != 0) & (rights & v.VM_WRITE == 0)
        yield from (f"{name} {page} can be written, but its VMA can not" for page in vpn[writes].tolist())
        here = entry & p.PTE_PRESENT != 0  # what is in swap gets its rights when it comes back
        barred = here & ((entry & p.PTE_PROTNONE != 0) != (rights & v.VM_ACCESS == 0))
        yield from (
            f"{name} {page} has PTE_PROTNONE where its VMA has access, or the other way"
            for page in vpn[barred].tolist()
        )
        zero_write = (entry & p.PTE_ZERO != 0) & (entry & p.PTE_WRITE != 0)
        yield from (f"{name} {page} can write to the zero page" for page in vpn[zero_write].tolist())


def _check_page_cache(kernel: Kernel, used: Ints) -> Iterator[str]:
    """Each file's slots and the pages that say they are in them are the same."""
    frame = kernel.frame
    total = 0
    for number in range(1, int(kernel.sc[kn.SC_FILE_NEXT]) + 1):
        row = kernel.file[number]
        slots = kernel.pcache[row[f.FI_CACHE] : row[f.FI_CACHE] + row[f.FI_CAPACITY]]
        index = np.flatnonzero(slots > 0)
        pfns = slots[index]
        yield from differs(f"file {number}: nrpages", int(row[f.FI_NRPAGES]), len(index))
        bad = (frame[pfns, p.P_MAPPING] != -number - 1) | (frame[pfns, p.P_INDEX] != index)
        yield from (f"file {number}: slot {slot} holds a frame that says otherwise" for slot in index[bad].tolist())
        total += len(index)
    cached = used[frame[used, p.P_MAPPING] < 0]
    yield from differs("pages that say they are cached", len(cached), total)
    total += int(kernel.node[rc.N_SWAP_CACHE])
    yield from differs("nr_file_pages", int(kernel.vmstat[vs.NR_FILE_PAGES]), total)


def _check_counters(kernel: Kernel, used: Ints) -> Iterator[str]:
    """nr_mlock, and the pages committed."""
    flags = kernel.frame[used, p.P_FLAGS]
    yield from differs("nr_mlock", int(kernel.vmstat[vs.NR_MLOCK]), int(page_counts(kernel, used[flags & p.PG_MLOCKED != 0]).sum()))
    lost = (flags & p.PG_MLOCKED != 0) & (kernel.frame[used, p.P_MAPCOUNT] == 0)
    yield from (f"frame {pfn} is mlocked, but not mapped" for pfn in used[lost].tolist())
    committed = int(kernel.file[1 : int(kernel.sc[kn.SC_FILE_NEXT]) + 1, f.FI_COMMITTED].sum())
    for mm in address_spaces(kernel):
        starts, ends, vm_flags = vma_bounds(kernel, mm)
        committed += int((ends - starts)[vm_flags & v.VM_ACCOUNT != 0].sum())
    yield from differs("committed pages", int(kernel.sc[kn.SC_COMMITTED]), committed)
