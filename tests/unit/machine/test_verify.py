"""The checks of `verify`: each kind of damage to the tables is found and named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scenario import PAGE, mmap, run, sweep

from vmsim.errors import ImpossibleState
from vmsim.machine.verify import verify
from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import vmas as v
from vmsim.struct import vmstat as vs
from vmsim.struct.kernel import Kernel


def sound() -> Kernel:
    """A machine at the end of a run: anonymous, file and locked pages, a table of each level, some frames freed."""
    steps = [
        mmap(40 * PAGE),
        sweep(count=40, op="write"),
        {"mlock": {"addr": "m", "length": 8 * PAGE}},
        {"munmap": {"addr": "m + 64 KiB", "length": 4 * PAGE}},
        mmap(32 * PAGE, "f", file="data", prot=["PROT_READ"]),
        sweep("f", 32),
    ]
    files = {"data": {"size": 32 * PAGE, "cached": "all"}}
    return run(steps, image="none", files=files, ram="16 MiB").built.kernel


def frame_of(kernel: Kernel, flags: int, without: int = 0) -> int:
    """The first frame with these flags and none of the others."""
    return int((kernel.frame[:, p.P_FLAGS] & (flags | without) == flags).nonzero()[0][0])


def first_vma(kernel: Kernel) -> int:
    return int(kernel.mm[1, v.MM_FIRST])


def lose_a_frame(kernel: Kernel) -> None:
    kernel.zone[0, p.Z_NR_STACK] -= 1


def free_a_frame_twice(kernel: Kernel) -> None:
    zone = kernel.zone[0]
    at = int(zone[p.Z_START_PFN] + zone[p.Z_NR_STACK])
    kernel.free_stack[at] = kernel.free_stack[at - 1]
    zone[p.Z_NR_STACK] += 1


def free_a_used_frame(kernel: Kernel) -> None:
    pfn = frame_of(kernel, p.PG_ANON)
    zone = kernel.zone[0]
    kernel.free_stack[zone[p.Z_START_PFN] + zone[p.Z_NR_STACK]] = pfn
    zone[p.Z_NR_STACK] += 1
    zone[p.Z_FREE] += 1


def unlink_from_the_list(kernel: Kernel) -> None:
    pfn = frame_of(kernel, p.PG_ANON)
    before, after = kernel.frame[pfn, [p.P_PREV, p.P_NEXT]]
    kernel.frame[before, p.P_NEXT] = after
    kernel.frame[after, p.P_PREV] = before


def break_a_link(kernel: Kernel) -> None:
    kernel.frame[frame_of(kernel, p.PG_ANON), p.P_PREV] = 1


def change_a_count(table: str, row: int, column: int) -> Callable[[Kernel], None]:
    def change(kernel: Kernel) -> None:
        getattr(kernel, table)[row, column] += 1

    return change


def change_vmstat(index: int) -> Callable[[Kernel], None]:
    def change(kernel: Kernel) -> None:
        kernel.vmstat[index] += 1

    return change


def change_flags(flags: int, toggled: int, without: int = 0) -> Callable[[Kernel], None]:
    def change(kernel: Kernel) -> None:
        kernel.frame[frame_of(kernel, flags, without), p.P_FLAGS] ^= toggled

    return change


def map_count(kernel: Kernel) -> None:
    kernel.frame[frame_of(kernel, p.PG_ANON), p.P_MAPCOUNT] += 1


def reverse_mapping(kernel: Kernel) -> None:
    kernel.frame[frame_of(kernel, p.PG_ANON), p.P_RMAP] += 1


def shorten_a_vma(kernel: Kernel) -> None:
    kernel.vma[first_vma(kernel), v.V_END] -= 1


def take_away_rights(kernel: Kernel) -> None:
    for vma in range(1, int(kernel.sc[kn.SC_VMA_NEXT]) + 1):
        kernel.vma[vma, v.V_FLAGS] &= ~v.VM_WRITE


def forget_an_index_entry(kernel: Kernel) -> None:
    node = int(kernel.vchild.any(axis=1).nonzero()[0][-1])
    slot = int(kernel.vchild[node].nonzero()[0][0])
    kernel.vchild[node, slot] = 0


def page_cache_slot(kernel: Kernel) -> None:
    slot = int(kernel.file[1, f.FI_CACHE])
    kernel.pcache[[slot, slot + 1]] = kernel.pcache[[slot + 1, slot]]


def known_entry(kernel: Kernel, known: int) -> int:
    """The first entry of which that is known."""
    slots = np.arange(4 * len(kernel.ready))
    return int(slots[kernel.ready[slots >> 2] >> (slots & 3) * 2 & 3 == known][0])


def age_an_entry(kernel: Kernel) -> None:
    kernel.pt[known_entry(kernel, p.READY_READ)] &= ~p.PTE_YOUNG


def take_a_clean_entry_for_dirty(kernel: Kernel) -> None:
    slot = known_entry(kernel, p.READY_READ)
    kernel.ready[slot >> 2] ^= np.array(p.READY_WRITE << (slot & 3) * 2).astype(np.int8)


DAMAGE = {
    "free stack|nr_free": lose_a_frame,
    "frames on the free stack": free_a_frame_twice,
    "is free, but not clear": free_a_used_frame,
    "is on no list": unlink_from_the_list,
    "linked back": break_a_link,
    "length": change_a_count("zone", 0, p.Z_LRU + p.LRU_ACTIVE_ANON),
    "LRU counters": change_vmstat(vs.NR_LRU_BASE + p.LRU_INACTIVE_FILE),
    "doesn't belong there": change_flags(p.PG_ANON | p.PG_ACTIVE, p.PG_ACTIVE, without=p.PG_UNEVICTABLE),
    "nr_free_pages": change_vmstat(vs.NR_FREE_PAGES),
    "nr_page_table_pages": change_vmstat(vs.NR_PAGETABLE),
    "neither free nor used|page tables": change_flags(p.PG_TABLE, p.PG_TABLE),
    "has mapcount": map_count,
    "mapped elsewhere": reverse_mapping,
    "anonymous RSS": change_a_count("mm", 1, v.MM_ANONPAGES),
    "file RSS": change_a_count("mm", 1, v.MM_FILEPAGES),
    "nr_anon_pages": change_vmstat(vs.NR_ANON_PAGES),
    "nr_mapped": change_vmstat(vs.NR_FILE_MAPPED),
    "nr_ptes": change_a_count("mm", 1, v.MM_NR_PTES),
    "map_count": change_a_count("mm", 1, v.MM_MAP_COUNT),
    "total_vm": change_a_count("mm", 1, v.MM_TOTAL_VM),
    "shared_vm": change_a_count("mm", 1, v.MM_SHARED_VM),
    "outside any VMA": shorten_a_vma,
    "can be written": take_away_rights,
    "its index": forget_an_index_entry,
    "slot 0": page_cache_slot,
    "nrpages": change_a_count("file", 1, f.FI_NRPAGES),
    "counts 2 VMAs, but 1 map": change_a_count("file", 1, f.FI_MAPCOUNT),
    "nr_file_pages": change_vmstat(vs.NR_FILE_PAGES),
    "nr_mlock": change_vmstat(vs.NR_MLOCK),
    "is taken for": age_an_entry,
    "is taken for 3": take_a_clean_entry_for_dirty,
    "nr_mlock is": change_flags(p.PG_MLOCKED, p.PG_MLOCKED),
}


def test_a_sound_machine_passes() -> None:
    verify(sound())


@pytest.mark.parametrize("message", DAMAGE)
def test_damage_is_found(message: str) -> None:
    """One number is wrong: the report names it."""
    kernel = sound()
    DAMAGE[message](kernel)
    with pytest.raises(ImpossibleState, match=message):
        verify(kernel)


def test_locked_vm_may_only_be_too_large_where_relocking_counts_twice() -> None:
    """4.4 leaves a residue in locked_vm (quirk 12); too small a count is wrong there, too."""
    kernel = sound()
    kernel.mm[1, v.MM_LOCKED_VM] += 1
    verify(kernel)
    kernel.mm[1, v.MM_LOCKED_VM] -= 2
    with pytest.raises(ImpossibleState, match="locked_vm"):
        verify(kernel)
