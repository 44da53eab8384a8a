"""A machine of nothing but an MMU: page tables filled by hand, and entries into the compiled MMU for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vmsim.arch.profile import PageTables, Profile, TlbLevel, geometry
from vmsim.hw import mmu, tlb, walk
from vmsim.struct import histogram, ledger
from vmsim.struct import kernel as kn
from vmsim.struct.costs import COST_NAMES
from vmsim.struct.jit import entry
from vmsim.struct.kernel import Kernel, table_rows
from vmsim.struct.pages import READY_SHIFT
from vmsim.struct.tasks import T_BUF_LEN, T_BUF_POS, T_MM
from vmsim.struct.vmas import MM_PGD

FAR = 1 << 60  # a deadline that never comes

COSTS = {"user_access": 7, "tlb_l2_hit": 3, "walk_cached_ref": 11, "walk_memory_ref": 101, "trap": 1009}
COSTS |= {"tlb_flush_page": 20011, "tlb_flush_full": 30011, "ipi": 500009, "ipi_received": 40009}


@entry
def access_burst(k, cpu, tid, work_ns):
    return mmu.access_burst(k, cpu, tid, work_ns)


@entry
def tlb_flush_all(k, cpu):
    tlb.tlb_flush_all(k, cpu)


@entry
def tlb_flush_page(k, cpu, mm, vpn):
    tlb.tlb_flush_page(k, cpu, mm, vpn)


@entry
def tlb_flush_mm(k, cpu, mm):
    tlb.tlb_flush_mm(k, cpu, mm)


@entry
def flush_range(k, cpu, mm, start, end):
    tlb.flush_range(k, cpu, mm, start, end)


@entry
def flush_cpus(k, cpu, mask):
    tlb.flush_cpus(k, cpu, mask)


@entry
def should_defer_flush(k, cpu, mm):
    return 1 if tlb.should_defer_flush(k, cpu, mm) else 0


@entry
def flush_mm(k, cpu, mm):
    tlb.flush_mm(k, cpu, mm)


@entry
def leaf_slot(k, mm, vpn):
    return walk.leaf_slot(k, mm, vpn)


@entry
def leaf_table(k, mm, vpn):
    return walk.leaf_table(k, mm, vpn)


@entry
def hist_bucket(ns):
    return histogram.hist_bucket(ns)


switch_mm = tlb.switch_mm


def small_profile(
    index_bits: Sequence[int] = (9, 9, 9, 9),
    page_shift: int = 12,
    l1: tuple[int, int] = (8, 2),
    l2: tuple[int, int] = (32, 4),
    walk_cache: tuple[int, int] = (4, 2),
    **facts: Any,
) -> Profile:
    """An architecture for tests: x86's manners unless `facts` say otherwise."""
    va_bits = page_shift + sum(index_bits)
    tables = {1 << page_shift: PageTables(tuple(index_bits), va_bits, 1 << (va_bits - 1))}
    given: dict[str, Any] = {"asid_bits": 0, "hw_young": True, "hw_dirty": True, "flush_ceiling": 33}
    given |= {"broadcast_flush": False, "syscalls": {}, "sources": {}} | facts
    return Profile("test", "a test's", tables, TlbLevel(*l1), TlbLevel(*l2), TlbLevel(*walk_cache), **given)


@dataclass
class Rig:
    """CPUs with one task each (task c + 1 on CPU c, in address space c + 1 unless told otherwise) and nothing else."""

    profile: Profile
    cpus: int = 1
    page_size: int | None = None
    kernel: Kernel = field(init=False)

    def __post_init__(self) -> None:
        self.kernel = Kernel(table_rows(4096, self.cpus, self.cpus + 16, 1, 1, 1, 1))
        self.k = self.kernel.k
        self.kernel.geo[:] = geometry(self.profile, self.page_size or self.profile.page_sizes[0])
        self.kernel.cost[:] = [COSTS.get(name, 0) for name in COST_NAMES]
        self.kernel.sc[kn.SC_NR_CPUS] = self.cpus
        self.kernel.sc[kn.SC_DEADLINE] = FAR
        self.next_table = walk.END_OF_NOTHING
        for cpu in range(self.cpus):
            self.kernel.task[cpu + 1, T_MM] = cpu + 1

    @property
    def bits(self) -> list[int]:
        """Index bits of the page tables, top level first."""
        geo = self.kernel.geo
        return [int(b) for b in geo[kn.G_BITS : kn.G_BITS + int(geo[kn.G_LEVELS])]]

    def _table(self, level: int) -> int:
        node = self.next_table
        self.next_table += 2 + (1 << self.bits[level])
        return node

    def slot(self, mm: int, vpn: int) -> int:
        """The slot of a page's entry, with all tables made that it needs."""
        pt, bits = self.kernel.pt, self.bits
        if self.kernel.mm[mm, MM_PGD] == 0:
            self.kernel.mm[mm, MM_PGD] = self._table(0)
        node = int(self.kernel.mm[mm, MM_PGD])
        for level in range(len(bits) - 1):
            index = node + 2 + ((vpn >> sum(bits[level + 1 :])) & ((1 << bits[level]) - 1))
            if pt[index] == 0:
                pt[index] = self._table(level + 1)
            node = int(pt[index])
        return node + 2 + (vpn & ((1 << bits[-1]) - 1))

    def map(self, mm: int, entries: Mapping[int, int]) -> None:
        """Set page-table entries by vpn."""
        for vpn, pte in entries.items():
            self.kernel.pt[self.slot(mm, vpn)] = pte
            self.kernel.ready[self.slot(mm, vpn) >> READY_SHIFT] = 0

    def map_huge(self, mm: int, entries: Mapping[int, int]) -> None:
        """Map huge pages in the place of tables, by their first pages."""
        self.kernel.sc[kn.SC_HUGE_BITS] = self.bits[-1]
        self.map(mm, entries)
        for vpn in entries:
            self.kernel.pt[self.slot(mm, vpn) - 1] |= walk.TABLE_HUGE

    def pte(self, mm: int, vpn: int) -> int:
        """A page's entry."""
        return int(self.kernel.pt[self.slot(mm, vpn)])

    def run(self, accesses: Sequence[tuple[int, int]], cpu: int = 0, work_ns: int = 0) -> int:
        """Run accesses (vpn, write) as the task of a CPU, in bursts: the reason why they stopped."""
        tid = cpu + 1
        reason = 0
        for first in range(0, len(accesses), 1000):
            burst = accesses[first : first + 1000]
            self.kernel.abuf[tid, : len(burst)] = [vpn << 1 | write for vpn, write in burst]
            self.kernel.task[tid, T_BUF_POS] = 0
            self.kernel.task[tid, T_BUF_LEN] = len(burst)
            reason = access_burst(self.k, cpu, tid, work_ns)
            if reason != 0:
                break
        return reason

    def stat(self, column: int, cpu: int = 0) -> int:
        """A counter of a CPU's TLB."""
        return int(self.kernel.tlb_stat[cpu, column])

    def spent(self, column: int) -> int:
        """A column of the slice's ledger, ns."""
        return int(self.kernel.led[column])

    def ledger(self) -> dict[str, int]:
        """The slice's ledger by name, without zeros."""
        return {name: int(ns) for name, ns in zip(ledger.LEDGER_NAMES, self.kernel.led, strict=True) if ns}

    def tags(self, cpu: int = 0) -> np.ndarray:
        """All tags of a CPU's two TLB levels."""
        geo = self.kernel.geo
        entries = int(geo[kn.G_L1_SETS] * geo[kn.G_L1_WAYS] + geo[kn.G_L2_SETS] * geo[kn.G_L2_WAYS])
        return self.kernel.tlb_tag[cpu, :entries].copy()
