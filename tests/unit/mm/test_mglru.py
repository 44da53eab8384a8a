"""The multi-generational LRU: what the controller evicts, by its formula, and where pages go, by the rules of mm_inline.h."""

from __future__ import annotations

from fractions import Fraction

import pytest
from pydantic import ValidationError
from scenario import run, start

from vmsim.machine.generations import list_of
from vmsim.mm.mglru_tiers import last_tier, type_to_scan
from vmsim.struct import pages as p
from vmsim.struct import reclaim as rc
from vmsim.struct.jit import entry


@entry
def last_tier_of(k, other, base_gain, file, gain):
    return last_tier(k, other, base_gain, file, gain)


@entry
def type_of(k, swappiness):
    return type_to_scan(k, swappiness)


def _comes_back_less(refaulted, total, other_refaulted, other_total, gain, other_gain):
    """Documentation/mm/multigen_lru: a tier is evicted while its refault rate, weighed, isn't above the set point's."""
    if refaulted < p.MIN_LRU_BATCH:
        return True
    return Fraction(refaulted, total * gain) <= Fraction(other_refaulted + 1, (other_total + p.MIN_LRU_BATCH) * other_gain)


@pytest.mark.parametrize("counts", [(0, 0, 500, 900), (400, 900, 500, 900), (10, 2000, 63, 64), (300, 400, 200, 1000)])
@pytest.mark.parametrize("swappiness", [1, 60, 199])
def test_the_kind_that_comes_back_less_often_is_evicted(counts, swappiness):
    kernel = start([], version="6.1", lru_gen=True).kernel
    anon_back, anon_gone, file_back, file_gone = counts
    node = kernel.node
    node[rc.N_REFAULTED], node[rc.N_EVICTED] = anon_back, anon_gone
    node[rc.N_REFAULTED + p.MAX_NR_TIERS], node[rc.N_EVICTED + p.MAX_NR_TIERS] = file_back, file_gone
    expected = _comes_back_less(file_back, file_gone, anon_back, anon_gone, 200 - swappiness, swappiness)
    assert type_of(kernel.k, swappiness) == expected


def test_tiers_are_evicted_up_to_the_first_that_comes_back_too_often():
    kernel = start([], version="6.1", lru_gen=True).kernel
    row = p.MAX_NR_TIERS  # of files
    kernel.node[rc.N_REFAULTED + row : rc.N_REFAULTED + row + 4] = [100, 150, 900, 0]
    kernel.node[rc.N_EVICTED + row : rc.N_EVICTED + row + 4] = [1000, 1000, 1000, 1000]
    rates = [_comes_back_less(back, 1000, 100, 1000, 2, 1) for back in (150, 900, 0)]
    assert rates == [True, False, True]
    assert last_tier_of(kernel.k, 1, 1, 1, 2) == 1


def test_faulted_pages_are_young_and_pages_that_are_read_are_old():
    program = [
        {"mmap": {"length": 40 * 4096, "as": "map"}},
        {"access": {"region": "map", "pattern": {"type": "sequential"}, "count": 40, "op": "write"}},
        {"pread": {"file": "disk", "length": 40 * 4096, "offset": 0}},
    ]
    files = {"disk": {"size": 40 * 4096, "device": "sda"}}
    outcome = run(program, version="6.1", lru_gen=True, files=files, image="none")
    kernel = outcome.built.kernel
    flags = kernel.frame[:, p.P_FLAGS]
    listed = flags[(flags & p.PG_LRU != 0) & (flags & p.PG_SWAPBACKED == 0)]
    assert len(listed) > 0
    assert set(list_of(kernel, listed).tolist()) == {p.LRU_INACTIVE_FILE}


def test_what_is_used_again_and_again_stays_in_memory():
    """A tenth of memory in use all the time beside a stream of three times its size: the walks of page tables see it."""
    pages, hot = 1536, 96
    stream = {"region": "map", "pattern": {"type": "sequential"}, "count": 32, "op": "write"}
    again = {"region": "hot", "pattern": {"type": "sequential"}, "count": hot, "op": "write"}
    program = [
        {"mmap": {"length": hot * 4096, "as": "hot"}},
        {"mmap": {"length": pages * 4096, "as": "map"}},
        {"loop": {"count": 2 * pages // 32, "steps": [{"access": stream}, {"access": again}]}},
    ]
    counts = {}
    for lru_gen in (False, True):
        outcome = run(
            program, version="6.1", lru_gen=lru_gen, ram="4 MiB", swap={"device": "sda", "size": "16 MiB"}, image="none",
            sysctl={"vm.page-cluster": 0, "vm.overcommit_memory": 1},
        )  # fmt: skip
        counts[lru_gen] = outcome.vmstat("pswpin")
    assert counts[True] < 1.2 * counts[False] + 100


def test_kernels_before_6_1_have_none():
    with pytest.raises(ValidationError, match=r"kernel 4\.4 has no multi-generational LRU"):
        start([], version="4.4", lru_gen=True)
