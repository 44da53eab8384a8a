"""Flushing and switching:

what is dropped where, what it costs, and address-space identifiers.   Section numbers: mm of v4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mmu_rig import (
    COSTS,
    Rig,
    flush_cpus,
    flush_mm,
    flush_range,
    should_defer_flush,
    small_profile,
    switch_mm,
    tlb_flush_all,
    tlb_flush_mm,
    tlb_flush_page,
)

from vmsim.arch.profile import get_profile
from vmsim.hw.tlb import ASID_MASK, TS_INTERRUPTED_NS, TS_IPIS, TS_L1_HITS, TS_LAZY, TS_WALKS
from vmsim.struct.costs import C_IPI_RECEIVED
from vmsim.struct.kernel import G_ASIDS, SC_ASID_NEXT
from vmsim.struct.ledger import L_IPI, L_SYSCALL
from vmsim.struct.pages import PTE_DIRTY, PTE_PRESENT, PTE_SHIFT, PTE_WRITE, PTE_YOUNG
from vmsim.struct.rules import R_LAZY_TLB_SKIPPED
from vmsim.struct.tasks import T_MM
from vmsim.struct.vmas import MM_ASID, MM_CPUMASK

READY = PTE_PRESENT | PTE_YOUNG | PTE_WRITE | PTE_DIRTY
PAGE_NS, FULL_NS, IPI_NS = COSTS["tlb_flush_page"], COSTS["tlb_flush_full"], COSTS["ipi"]


def _shared(name: str, cpus: int = 2, pages: int = 60) -> Rig:
    """One address space on all CPUs, each with pages 0..pages-1 in its TLB."""
    rig = Rig(get_profile(name), cpus)
    rig.map(1, {vpn: READY | vpn + 1 << PTE_SHIFT for vpn in range(pages)})
    for cpu in range(cpus):
        rig.kernel.task[cpu + 1, T_MM] = 1
        switch_mm(rig.k, cpu, 1)
        rig.run([(vpn, 0) for vpn in range(pages)], cpu)
    rig.kernel.led[:] = 0
    return rig


def _held(rig: Rig, cpu: int, pages: int = 60, mm: int = 1) -> list[int]:
    """The pages whose access finds them in a CPU's TLB; looks into it without changing it."""
    first = (int(rig.kernel.mm[mm, MM_ASID]) & ASID_MASK) << 44 if rig.kernel.geo[G_ASIDS] else 0
    tags = {int(tag) >> 2 for tag in rig.tags(cpu) if tag}
    return [vpn for vpn in range(pages) if first | vpn in tags]


def test_ranged_flush_up_to_the_ceiling_drops_pages_one_by_one() -> None:
    """x86: 33 pages are 33 INVLPGs on every CPU and one IPI; the rest of the TLB stays."""
    rig = _shared("x86_64")
    flush_range(rig.k, 0, 1, 10, 43)
    for cpu in range(2):
        assert _held(rig, cpu) == [*range(10), *range(43, 60)]
    assert rig.ledger() == {"syscall": 33 * PAGE_NS, "ipi": IPI_NS}


def test_ranged_flush_above_the_ceiling_drops_everything() -> None:
    rig = _shared("x86_64")
    flush_range(rig.k, 0, 1, 10, 44)
    assert not rig.tags(0).any() and not rig.tags(1).any()
    assert rig.ledger() == {"syscall": FULL_NS, "ipi": IPI_NS}


def test_flush_interrupts_only_cpus_that_may_hold_entries() -> None:
    """Four CPUs, two of them run the address space: one is interrupted; none, when the other has left."""
    rig = Rig(get_profile("x86_64"), cpus=4)
    for cpu, mm in enumerate((1, 1, 2, 2)):
        switch_mm(rig.k, cpu, mm)
    assert rig.kernel.mm[1, MM_CPUMASK] == 0b0011
    flush_range(rig.k, 0, 1, 0, 1)
    assert (rig.spent(L_IPI), rig.stat(TS_IPIS)) == (IPI_NS, 1)
    switch_mm(rig.k, 1, 2)
    flush_range(rig.k, 0, 1, 0, 1)
    assert (rig.spent(L_IPI), rig.stat(TS_IPIS)) == (IPI_NS, 1)
    flush_mm(rig.k, 1, 2)
    assert (rig.spent(L_IPI), rig.stat(TS_IPIS, 1)) == (2 * IPI_NS, 2)


def test_flush_from_a_cpu_that_runs_another_address_space() -> None:
    """x86: nothing is dropped here, and everything on the CPU that runs it, however small the range is."""
    rig = _shared("x86_64", cpus=2)
    rig.map(2, {0: READY})
    rig.kernel.task[2, T_MM] = 2
    switch_mm(rig.k, 1, 2)
    rig.run([(0, 0)], cpu=1)
    rig.kernel.led[:] = 0
    flush_range(rig.k, 1, 1, 3, 4)
    assert not rig.tags(0).any() and rig.tags(1).any()
    assert rig.ledger() == {"ipi": IPI_NS}


def test_broadcast_flush_needs_no_interrupt() -> None:
    """ARM: the instruction reaches both CPUs, page by page without a ceiling."""
    rig = _shared("arm")
    flush_range(rig.k, 0, 1, 0, 40)
    assert _held(rig, 0) == _held(rig, 1) == list(range(40, 60))
    assert rig.ledger() == {"syscall": 40 * PAGE_NS}
    flush_range(rig.k, 0, 1, 0, 700_000)
    assert _held(rig, 0) == _held(rig, 1) == []
    assert rig.spent(L_SYSCALL) == 700_040 * PAGE_NS


def test_s390_flushes_the_whole_address_space() -> None:
    rig = _shared("s390x")
    flush_range(rig.k, 1, 1, 5, 6)
    assert _held(rig, 0) == _held(rig, 1) == []
    assert rig.ledger() == {"syscall": FULL_NS}


def test_flushed_page_makes_room_in_its_set() -> None:
    """After flushes of any ways, walks refill a set until it is full again before anything else is lost."""
    rig = Rig(small_profile(l1=(4, 4), l2=(4, 4)))
    switch_mm(rig.k, 0, 1)
    rig.map(1, dict.fromkeys(range(4), READY))
    for flushed in ([0], [3], [1, 2], [0, 2], [0, 1, 2, 3]):
        rig.run([(vpn, 0) for vpn in range(4)])
        for vpn in flushed:
            tlb_flush_page(rig.k, 0, 1, vpn)
        walks = rig.stat(TS_WALKS)
        rig.run([(vpn, 0) for vpn in (*flushed, *range(4), *range(4))])
        assert rig.stat(TS_WALKS) - walks == len(flushed)


@pytest.mark.parametrize(
    "flush", [lambda k: tlb_flush_all(k, 0), lambda k: tlb_flush_mm(k, 0, 1), lambda k: tlb_flush_page(k, 0, 1, 3)]
)
def test_flush_drops_the_walk_caches(flush: Callable[[Any], None]) -> None:
    """Intel SDM vol. 3, 4.10.4.1: INVLPG too drops all of them, so the next walk reads all four tables."""
    rig = _shared("x86_64", cpus=1, pages=4)
    for number in range(1, 200):
        flush(rig.k)
        rig.run([(3, 0)])
        assert rig.ledger()["walk"] == number * 4 * COSTS["walk_memory_ref"]


def test_switch_without_identifiers_drops_the_tlb() -> None:
    """Section G: every switch to a different mm drops all; none for a thread of the same one."""
    rig = _shared("x86_64", cpus=1)
    assert switch_mm(rig.k, 0, 1) == 0
    assert _held(rig, 0) == list(range(60))
    assert switch_mm(rig.k, 0, 2) == FULL_NS
    assert not rig.tags(0).any()
    assert (rig.kernel.mm[1, MM_CPUMASK], rig.kernel.mm[2, MM_CPUMASK]) == (0, 1)
    assert rig.ledger() == {}


@pytest.mark.parametrize("name", ["arm", "s390x", "aarch64"])
def test_switch_with_identifiers_keeps_the_tlb(name: str) -> None:
    """Two address spaces with the same pages: each finds its own entries again, and never the other's."""
    rig = Rig(get_profile(name))
    for mm in (1, 2):
        rig.map(mm, dict.fromkeys(range(4), READY | mm << PTE_SHIFT))
    for mm, walks, hits in ((1, 4, 0), (2, 8, 0), (1, 8, 4), (2, 8, 8)):
        rig.kernel.task[1, T_MM] = mm
        assert switch_mm(rig.k, 0, mm) == 0
        rig.run([(vpn, 1) for vpn in range(4)])
        assert (rig.stat(TS_WALKS), rig.stat(TS_L1_HITS)) == (walks, hits)
    tlb_flush_mm(rig.k, 0, 1)
    assert (_held(rig, 0, 4, mm=1), _held(rig, 0, 4, mm=2)) == ([], [0, 1, 2, 3])


def test_identifiers_run_out() -> None:
    """Three bits:

    7 identifiers (0 is none). The eighth address space begins a new generation and flushes every TLB; who runs
    elsewhere keeps its identifier, which nobody else gets.
    """
    rig = Rig(small_profile(asid_bits=3, broadcast_flush=True), cpus=2)
    rig.kernel.task[2, T_MM] = 1
    rig.map(1, {0: READY})
    switch_mm(rig.k, 1, 1)
    rig.run([(0, 0)], cpu=1)
    assert [switch_mm(rig.k, 0, mm) for mm in range(2, 8)] == [0] * 6
    assert sorted(int(asid) & ASID_MASK for asid in rig.kernel.mm[1:8, MM_ASID]) == list(range(1, 8))
    kept = int(rig.kernel.mm[1, MM_ASID]) & ASID_MASK
    assert rig.tags(1).any()
    rig.kernel.mm[8, MM_ASID] = 0
    assert switch_mm(rig.k, 0, 8) == FULL_NS
    assert not rig.tags(1).any()
    assert int(rig.kernel.mm[1, MM_ASID]) & ASID_MASK == kept
    assert switch_mm(rig.k, 1, 1) == 0
    for mm in range(9, 14):
        assert switch_mm(rig.k, 0, mm) == 0
    live = [int(asid) for asid in rig.kernel.mm[:, MM_ASID] if int(asid) >> 16 == int(rig.kernel.mm[8, MM_ASID]) >> 16]
    assert len(live) == len(set(live)) == 7
    assert switch_mm(rig.k, 0, 14) == FULL_NS


def test_sixteen_bit_identifiers_run_out_too() -> None:
    """65,535 address spaces one after the other in the same row, then the next generation."""
    rig = Rig(get_profile("s390x"))
    rig.kernel.sc[SC_ASID_NEXT] = 1 << 16 | 65_534
    seen = []
    for mm in (1, 2, 3, 4):
        seen.append((switch_mm(rig.k, 0, mm), int(rig.kernel.mm[mm, MM_ASID]) & ASID_MASK))
    assert seen == [(0, 65_534), (0, 65_535), (FULL_NS, 1), (0, 2)]


def test_more_cpus_than_bits_in_the_mask() -> None:
    """CPUs from 62 on share a bit; a flush still reaches exactly those that run the address space."""
    rig = Rig(get_profile("x86_64"), cpus=70)
    for cpu, mm in ((0, 1), (62, 1), (69, 1), (65, 2)):
        switch_mm(rig.k, cpu, mm)
    flush_range(rig.k, 69, 1, 0, 1)
    assert rig.stat(TS_IPIS, 69) == 2


def test_a_batch_is_flushed_with_one_interrupt_and_nobody_leaves() -> None:
    """mm/rmap.c of v4.4 (try_to_unmap_flush): all of the TLB on every CPU of the mask; a lazy CPU is interrupted and stays in its mask."""
    rig = _shared("x86_64", cpus=2)
    rig.kernel.tlb_stat[1, TS_LAZY] = 1
    assert should_defer_flush(rig.k, 0, 1)
    flush_cpus(rig.k, 0, int(rig.kernel.mm[1, MM_CPUMASK]))
    assert not rig.tags(0).any() and not rig.tags(1).any()
    assert rig.kernel.mm[1, MM_CPUMASK] == 0b11
    assert (rig.spent(L_IPI), rig.stat(TS_IPIS)) == (IPI_NS, 1)
    assert rig.kernel.tlb_stat[1, TS_INTERRUPTED_NS] == rig.kernel.cost[C_IPI_RECEIVED]


def test_a_lazy_cpu_leaves_at_its_first_flush_and_is_spared_from_4_20_on() -> None:
    """arch/x86/mm/tlb.c of v4.4 (flush_tlb_func, leave_mm): interrupted once, not again. 145f573b89a6 (4.20): not even once."""
    for spared, interrupts in ((0, 1), (1, 0)):
        rig = _shared("x86_64", cpus=2)
        rig.kernel.rule[R_LAZY_TLB_SKIPPED] = spared
        rig.kernel.tlb_stat[1, TS_LAZY] = 1
        for _ in range(2):
            flush_range(rig.k, 0, 1, 10, 11)
        assert rig.stat(TS_IPIS) == interrupts
        assert not rig.tags(1).any()
