"""The compiled MMU does, access by access, what the naive one does:

same time, same TLBs, same page tables, same histogram.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmu_rig import FAR, Rig, flush_range, hist_bucket, small_profile, switch_mm, tlb_flush_all, tlb_flush_page
from naive_mmu import Cache, NaiveMmu

from vmsim.arch.profile import Profile, get_profile
from vmsim.hw.burst import ACCESS_BUDGET, ACCESS_DONE, ACCESS_FAULT, WIDE_TABLES
from vmsim.hw.tlb import TAG_ASID, TAG_VPN, TAG_WRITE
from vmsim.struct import kernel as kn
from vmsim.struct.pages import PTE_DIRTY, PTE_PRESENT, PTE_PROTNONE, PTE_SHIFT, PTE_WRITE, PTE_YOUNG
from vmsim.struct.tasks import KIND_NAMES, NR_KINDS, T_ACCESSES, T_BUF_POS
from vmsim.struct.vmas import MM_NR_PTES

GEOMETRIES: dict[str, tuple[Profile, int]] = {
    "x86_64": (get_profile("x86_64"), 4096),
    "arm": (get_profile("arm"), 4096),
    "s390x": (get_profile("s390x"), 4096),
    "aarch64-64k": (get_profile("aarch64"), 65536),
    "aarch64-16k": (get_profile("aarch64"), 16384),
    "tiny x86_64": (small_profile((9, 9, 9, 9), l1=(4, 4), l2=(8, 8), walk_cache=(4, 4)), 4096),
    "tiny": (small_profile((3, 2, 3), l1=(2, 1), l2=(6, 3), walk_cache=(1, 1)), 4096),
    "no second level, no walk cache, software refill": (
        small_profile(
            (4, 4),
            page_shift=13,
            l1=(5, 5),
            l2=(0, 0),
            walk_cache=(0, 0),
            hw_young=False,
            hw_dirty=False,
            software_refill=True,
            asid_bits=8,
        ),
        8192,
    ),
    "five levels": (small_profile((4, 4, 4, 4, 4), l1=(4, 2), l2=(16, 8), walk_cache=(8, 4), hw_dirty=False), 4096),
}

STATES = [0, PTE_PRESENT, PTE_PRESENT | PTE_YOUNG, PTE_PRESENT | PTE_WRITE, PTE_PRESENT | PTE_WRITE | PTE_YOUNG]
STATES += [PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY, PTE_PRESENT | PTE_YOUNG | PTE_PROTNONE]


def _sets(rig: Rig, cache: Cache, first: int) -> list[list[tuple[int, bool]]]:
    """Sets of the compiled TLB from entry `first` on, in the shape of `cache`."""
    sets = []
    for number in range(len(cache.sets)):
        base = first + number * cache.ways
        tags = [int(tag) for tag in rig.kernel.tlb_tag[0, base : base + cache.ways] if tag]
        assert all(rig.kernel.tlb_tag[0, base : base + len(tags)]), "an empty way stands before a full one"
        sets.append([((tag & ((1 << TAG_ASID) - 1)) >> TAG_VPN, bool(tag & TAG_WRITE)) for tag in tags])
    return sets


def _compare(rig: Rig, twin: NaiveMmu, accesses: int) -> None:
    assert rig.ledger() == {name: ns for name, ns in twin.ledger.items() if ns}
    l1, l2 = twin.profile.l1, twin.profile.l2
    for cache, first in ((twin.l1, 0), (twin.l2, l1.entries)):
        assert _sets(rig, cache, first) == [[(e[0], e[1]) for e in entries] for entries in cache.sets]
    assert not rig.kernel.tlb_tag[0, l1.entries + l2.entries :].any()
    assert {vpn: rig.pte(1, vpn) for vpn in twin.ptes} == twin.ptes
    histogram: dict[tuple[str, int], int] = {}
    for (kind, ns), count in twin.latencies.items():
        key = kind, hist_bucket(ns)
        histogram[key] = histogram.get(key, 0) + count
    rows = rig.kernel.hist[NR_KINDS : 2 * NR_KINDS]
    assert {
        (KIND_NAMES[kind], int(bucket)): int(rows[kind, bucket]) for kind, bucket in zip(*rows.nonzero(), strict=True)
    } == histogram
    assert rig.kernel.task[1, T_ACCESSES] == accesses


@st.composite
def _scripts(draw: Any) -> tuple[str, dict[int, int], list[tuple[Any, ...]]]:
    """A geometry, page-table entries, and what happens: bursts of accesses, changed entries, flushes."""
    name = draw(st.sampled_from(sorted(GEOMETRIES)))
    profile, page_size = GEOMETRIES[name]
    bits = profile.page_tables[page_size].index_bits
    spans = [sum(bits[level + 1 :]) for level in range(len(bits))]
    indexes = [st.integers(0, min((1 << b) - 1, 2 if level < len(bits) - 1 else 40)) for level, b in enumerate(bits)]
    vpn = st.tuples(*indexes).map(lambda index: sum(i << span for i, span in zip(index, spans, strict=True)))
    pool = draw(st.lists(vpn, min_size=1, max_size=60, unique=True))
    page = st.sampled_from(pool)
    state = st.sampled_from(STATES)
    ptes = {v: draw(state) for v in pool[: draw(st.integers(1, len(pool)))]}
    step = st.one_of(
        st.tuples(
            st.just("burst"),
            st.lists(st.tuples(page, st.integers(0, 1)), min_size=1, max_size=150),
            st.integers(0, 50),
            st.integers(0, 30_000),
        ),
        st.tuples(st.just("set"), page, state),
        st.tuples(st.just("flush_page"), page),
        st.tuples(st.just("flush_range"), page, st.integers(1, 100)),
        st.tuples(st.just("flush_all")),
    )
    return name, ptes, draw(st.lists(step, max_size=12))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_scripts(), st.sampled_from([0, WIDE_TABLES]))
def test_compiled_mmu_equals_naive_mmu(script: tuple[str, dict[int, int], list[tuple[Any, ...]]], tables: int) -> None:
    """`tables`: those of the last level that the address space is said to have, which decides how far the loop looks ahead."""
    name, ptes, steps = script
    profile, page_size = GEOMETRIES[name]
    rig, twin = Rig(profile, page_size=page_size), NaiveMmu(profile, page_size)
    rig.kernel.mm[1, MM_NR_PTES] = tables
    switch_mm(rig.k, 0, 1)
    ptes = {vpn: bits | (number + 1) << PTE_SHIFT if bits else 0 for number, (vpn, bits) in enumerate(ptes.items())}
    rig.map(1, ptes)
    twin.ptes.update(ptes)
    done = 0
    for step in steps:
        done += _take(rig, twin, step)
        _compare(rig, twin, done)


def _take(rig: Rig, twin: NaiveMmu, step: tuple[Any, ...]) -> int:
    """Take one step on both sides; the number of accesses that were completed."""
    if step[0] == "burst":
        return _burst(rig, twin, *step[1:])
    flush_costs = rig.kernel.led.copy()
    if step[0] == "set":
        _, vpn, bits = step
        pte = bits | 77 << PTE_SHIFT if bits else 0
        rig.map(1, {vpn: pte})
        twin.ptes[vpn] = pte
    elif step[0] == "flush_page":
        tlb_flush_page(rig.k, 0, 1, step[1])
        twin.flush(range(step[1], step[1] + 1))
    elif step[0] == "flush_range":
        _, start, pages = step
        flush_range(rig.k, 0, 1, start, start + pages)
        twin.flush(None if pages > twin.profile.flush_ceiling else range(start, start + pages))
    else:
        tlb_flush_all(rig.k, 0)
        twin.flush(None)
    rig.kernel.led[:] = flush_costs
    return 0


def _burst(rig: Rig, twin: NaiveMmu, accesses: list[tuple[int, int]], work_ns: int, budget_ns: int) -> int:
    """Run accesses on both sides until one faults or the budget is used up; the number of those that were completed."""
    deadline = twin.ledger.total() + budget_ns
    expected, done = ACCESS_DONE, 0
    for vpn, write in accesses:
        if twin.ledger.total() >= deadline:
            expected = ACCESS_BUDGET
        elif not twin.access(vpn, write, work_ns):
            expected = ACCESS_FAULT
        if expected != ACCESS_DONE:
            break
        done += 1
    rig.kernel.sc[kn.SC_DEADLINE] = deadline
    assert rig.run(accesses, work_ns=work_ns) == expected
    assert rig.kernel.task[1, T_BUF_POS] == done
    if expected == ACCESS_FAULT:
        assert (rig.kernel.sc[kn.SC_FAULT_VPN], rig.kernel.sc[kn.SC_FAULT_WRITE]) == accesses[done]
    return done


@pytest.mark.parametrize("name", sorted(GEOMETRIES))
def test_a_long_burst_equals_naive_mmu(name: str) -> None:
    """Every geometry, deterministically:

    700 accesses with a linear congruential generator over 90 pages in several tables.
    """
    profile, page_size = GEOMETRIES[name]
    rig, twin = Rig(profile, page_size=page_size), NaiveMmu(profile, page_size)
    switch_mm(rig.k, 0, 1)
    leaf = 1 << profile.page_tables[page_size].index_bits[-1]
    pages = [table * leaf + page for table in range(6) for page in range(min(15, leaf))]
    bits = PTE_PRESENT | PTE_YOUNG | PTE_WRITE | (0 if profile.hw_dirty else PTE_DIRTY)
    entries = {vpn: bits | (number + 1) << PTE_SHIFT for number, vpn in enumerate(pages)}
    rig.map(1, entries)
    twin.ptes.update(entries)
    x, accesses = 12345, []
    for _ in range(700):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        accesses.append((pages[(x >> 8) % len(pages)], (x >> 24) & 1))
    assert _burst(rig, twin, accesses, 5, FAR) == 700
    _compare(rig, twin, 700)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    name=st.sampled_from(["x86_64", "s390x", "aarch64-64k", "tiny x86_64", "tiny", "five levels"]), huge=st.sets(st.integers(0, 11)),
    states=st.lists(st.sampled_from(STATES[2:]), min_size=12, max_size=12), seed=st.integers(1, 1 << 30), work_ns=st.integers(0, 50),
)  # fmt: skip
def test_huge_pages_equal_naive_mmu(name: str, huge: set[int], states: list[int], seed: int, work_ns: int) -> None:
    """Some tables of twelve give way to huge pages: one translation, one entry with the marks, a walk that is a level shorter."""
    profile, page_size = GEOMETRIES[name]
    rig, twin = Rig(profile, page_size=page_size), NaiveMmu(profile, page_size)
    switch_mm(rig.k, 0, 1)
    leaf = 1 << profile.page_tables[page_size].index_bits[-1]
    base = {table * leaf + page: states[table] | (table * leaf + page + 1) << PTE_SHIFT
            for table in range(12) if table not in huge for page in range(min(9, leaf))}  # fmt: skip
    whole = {table * leaf: states[table] | (table + 1) * leaf << PTE_SHIFT for table in sorted(huge)}
    rig.map(1, base)
    rig.map_huge(1, whole)
    twin.ptes.update(base | whole)
    twin.huge.update(whole)
    x, done = seed, 0
    for _ in range(6):
        accesses = []
        for _ in range(80):
            x = (x * 1103515245 + 12345) & 0x7FFFFFFF
            accesses.append(((x >> 8) % 12 * leaf + (x >> 12) % min(9, leaf), (x >> 24) & 1))
        done += _burst(rig, twin, accesses, work_ns, FAR)
        _compare(rig, twin, done)
