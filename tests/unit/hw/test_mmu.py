"""What `access_burst` tells its caller: faults, budget, retries, and what it charges, by hand-made numbers."""

from __future__ import annotations

import pytest
from mmu_rig import COSTS, FAR, Rig, access_burst, small_profile, switch_mm

from vmsim.arch.profile import get_profile
from vmsim.hw.burst import ACCESS_BUDGET, ACCESS_DONE, ACCESS_FAULT
from vmsim.hw.tlb import TS_FAULTS, TS_L1_HITS, TS_L2_HITS, TS_WALK_REFS, TS_WALKS
from vmsim.struct import kernel as kn
from vmsim.struct.histogram import bucket_bounds
from vmsim.struct.pages import PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_SHIFT, PTE_SWAP, PTE_WRITE, PTE_YOUNG
from vmsim.struct.tasks import (
    KIND_MAJOR,
    KIND_MINOR,
    KIND_TLB_HIT,
    KIND_WALK,
    NR_KINDS,
    T_ACC_BEGAN,
    T_ACC_KIND,
    T_ACCESSES,
    T_BUF_POS,
)

USER, L2, CACHED, MEMORY, TRAP = (
    COSTS[name] for name in ("user_access", "tlb_l2_hit", "walk_cached_ref", "walk_memory_ref", "trap")
)
PAGE = 1 << PTE_SHIFT | PTE_PRESENT


@pytest.fixture
def rig() -> Rig:
    """x86-64 with pages 0..99 mapped, 0..9 of them writable."""
    made = Rig(get_profile("x86_64"))
    made.map(1, {vpn: PAGE | (PTE_WRITE if vpn < 10 else 0) for vpn in range(100)})
    switch_mm(made.k, 0, 1)
    return made


def test_first_walk_reads_four_tables_second_one(rig: Rig) -> None:
    """4 references from memory at first; then the walk caches spare the three upper ones; then the TLB hits."""
    rig.run([(3, 0)])
    assert rig.ledger() == {"user": USER, "walk": 4 * MEMORY}
    rig.run([(4, 0)])
    assert rig.ledger() == {"user": 2 * USER, "walk": 5 * MEMORY + CACHED}
    rig.run([(3, 0), (4, 0)], work_ns=50)
    assert rig.ledger() == {"user": 4 * USER + 100, "walk": 5 * MEMORY + CACHED}
    assert [rig.stat(c) for c in (TS_L1_HITS, TS_L2_HITS, TS_WALKS, TS_WALK_REFS)] == [2, 0, 2, 5]
    assert rig.kernel.task[1, T_ACCESSES] == 4


def test_second_level_holds_what_the_first_lost(rig: Rig) -> None:
    """Five pages of one set of four ways: the first is gone from L1 and found in L2."""
    rig.map(1, {set_ * 16: PAGE for set_ in range(5)})
    rig.run([(set_ * 16, 0) for set_ in range(5)])
    before = rig.ledger()
    rig.run([(0, 0)])
    assert rig.ledger() == before | {"user": before["user"] + USER, "tlb": L2}


def test_write_to_a_clean_page_walks_once_more(rig: Rig) -> None:
    """x86 sets the dirty bit by a walk even where the TLB holds the page; from then on writes hit."""
    rig.run([(3, 0)])
    assert rig.pte(1, 3) == PAGE | PTE_WRITE | PTE_YOUNG
    rig.run([(3, 1)])
    assert rig.pte(1, 3) == PAGE | PTE_WRITE | PTE_YOUNG | PTE_DIRTY
    rig.run([(3, 1), (3, 0)])
    assert [rig.stat(c) for c in (TS_L1_HITS, TS_WALKS)] == [2, 2]


@pytest.mark.parametrize(
    ("pte", "write"),
    [(0, 0), (PTE_SWAP | 5 << PTE_SHIFT, 0), (PAGE | PTE_PROTNONE, 0), (PAGE | PTE_PROTNONE | PTE_WRITE, 1), (PAGE, 1)],
)
def test_fault_is_reported_at_its_access(rig: Rig, pte: int, write: int) -> None:
    rig.map(1, {50: pte})
    rig.kernel.sc[kn.SC_NOW] = 1_000_000
    assert rig.run([(1, 0), (2, 0), (50, write), (3, 0)]) == ACCESS_FAULT
    assert (rig.kernel.sc[kn.SC_FAULT_VPN], rig.kernel.sc[kn.SC_FAULT_WRITE]) == (50, write)
    assert rig.kernel.task[1, T_BUF_POS] == 2
    assert rig.pte(1, 50) == pte
    assert rig.ledger() == {"user": 2 * USER, "walk": 4 * MEMORY + 2 * (MEMORY + CACHED)}
    assert rig.stat(TS_FAULTS) == 1
    assert rig.kernel.task[1, T_ACC_BEGAN] == 1_000_000 + 2 * USER + 4 * MEMORY + MEMORY + CACHED


def test_fault_at_an_absent_table_ends_the_walk_there(rig: Rig) -> None:
    """A page under an absent last-level table: three references, of which the walk caches spare two."""
    rig.run([(1, 0)])
    before = rig.ledger()["walk"]
    assert rig.run([(1 << 9, 0)]) == ACCESS_FAULT
    assert rig.ledger()["walk"] - before == CACHED + MEMORY


def test_no_page_tables_at_all_fault() -> None:
    rig = Rig(get_profile("x86_64"))
    assert rig.run([(7, 1)]) == ACCESS_FAULT
    assert rig.ledger() == {"walk": MEMORY}


@pytest.mark.parametrize(("name", "page_size"), [("x86_64", 4096), ("arm", 4096), ("aarch64", 65536)])
def test_page_beyond_the_page_tables_faults(name: str, page_size: int) -> None:
    """An address with more bits than the tables index is not taken for the page with the same low bits, in the TLB or
    not.
    """
    rig = Rig(get_profile(name), page_size=page_size)
    switch_mm(rig.k, 0, 1)
    rig.map(1, {3: PAGE | PTE_YOUNG})
    beyond = 1 << sum(rig.bits)
    for vpn in (beyond | 3, 1 << 44 | 3, 1 << 51 | 3):
        assert rig.run([(3, 0)] * 40 + [(vpn, 0), (3, 0)]) == ACCESS_FAULT
        assert rig.kernel.task[1, T_BUF_POS] == 40
        assert rig.kernel.sc[kn.SC_FAULT_VPN] == vpn
        rig.kernel.sc[kn.SC_DEADLINE] = sum(rig.ledger().values()) + 1
        assert rig.run([(vpn, 0)]) == ACCESS_FAULT
        rig.kernel.sc[kn.SC_DEADLINE] = sum(rig.ledger().values())
        assert rig.run([(vpn, 0)]) == ACCESS_BUDGET
        rig.kernel.sc[kn.SC_DEADLINE] = FAR


def test_software_accessed_and_dirty_bits_fault() -> None:
    """ARM: an old page faults, a clean page faults when written, and the MMU changes no entry."""
    rig = Rig(get_profile("arm"))
    switch_mm(rig.k, 0, 1)
    rig.map(1, {0: PAGE | PTE_WRITE, 1: PAGE | PTE_WRITE | PTE_YOUNG, 2: PAGE | PTE_WRITE | PTE_YOUNG | PTE_DIRTY})
    assert rig.run([(0, 0)]) == ACCESS_FAULT
    assert rig.run([(1, 0)]) == ACCESS_DONE
    assert rig.run([(1, 1)]) == ACCESS_FAULT
    assert rig.run([(2, 1)]) == ACCESS_DONE
    assert [rig.pte(1, vpn) & 15 for vpn in range(3)] == [3, 7, 15]


def test_software_refill_pays_a_trap() -> None:
    rig = Rig(small_profile((9, 9), software_refill=True, walk_cache=(0, 0)))
    rig.map(1, {0: PAGE})
    rig.run([(0, 0), (0, 0)])
    assert rig.ledger() == {"user": 2 * USER, "walk": 2 * MEMORY, "trap": TRAP}


def test_budget_is_exceeded_by_one_access_at_most(rig: Rig) -> None:
    """An access begins one ns before the deadline, and not at it."""
    rig.run([(5, 0)])
    used = sum(rig.ledger().values())
    for budget, completed in ((0, 0), (1, 1), (USER, 1), (USER + 1, 2), (3 * USER, 3), (3 * USER + 1, 4)):
        rig.kernel.led[:] = 0
        rig.kernel.led[0] = used
        rig.kernel.sc[kn.SC_DEADLINE] = used + budget
        assert rig.run([(5, 0)] * 100) == ACCESS_BUDGET
        assert rig.kernel.task[1, T_BUF_POS] == completed
    rig.kernel.sc[kn.SC_DEADLINE] = FAR
    assert access_burst(rig.k, 0, 1, 0) == ACCESS_DONE
    assert rig.kernel.task[1, T_BUF_POS] == 100


@pytest.mark.parametrize("kind", [KIND_MINOR, KIND_MAJOR])
def test_latency_of_a_retried_access_counts_from_its_beginning(rig: Rig, kind: int) -> None:
    """Everything since the access began belongs to it, except its own work; the next ones are counted as usual."""
    rig.kernel.sc[kn.SC_NOW] = 90_000
    rig.kernel.task[1, T_ACC_KIND] = kind
    rig.kernel.task[1, T_ACC_BEGAN] = 40_000
    rig.kernel.led[4] = 5_000
    assert rig.run([(5, 0), (5, 0), (6, 0)], work_ns=333) == ACCESS_DONE
    rows = rig.kernel.hist[NR_KINDS : 2 * NR_KINDS]
    assert list(rows.sum(axis=1)) == [1 if k in (KIND_TLB_HIT, KIND_WALK, kind) else 0 for k in range(NR_KINDS)]
    low, high = bucket_bounds(int(rows[kind].argmax()))
    assert low <= 55_000 + USER + 4 * MEMORY < high
    assert rig.kernel.task[1, T_ACC_KIND] == 0
    assert rig.kernel.task[1, T_ACCESSES] == 3


def test_retry_that_faults_again_keeps_its_beginning(rig: Rig) -> None:
    rig.map(1, {50: 0})
    rig.kernel.task[1, T_ACC_KIND] = KIND_MINOR
    rig.kernel.task[1, T_ACC_BEGAN] = 17
    assert rig.run([(50, 0)]) == ACCESS_FAULT
    assert rig.kernel.task[1, T_ACC_BEGAN] == 17
    assert rig.kernel.task[1, T_ACC_KIND] == KIND_MINOR
    assert not rig.kernel.hist.any()
