"""A task that reclaims waits while others have isolated too many pages.   too_many_isolated and shrink_inactive_list of v4.4 and v6.1."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from two_zones import make_kernel

from vmsim.mm import vmscan
from vmsim.struct import pages as p
from vmsim.struct.jit import entry
from vmsim.struct.kernel import Kernel
from vmsim.struct.reclaim import DEF_PRIORITY, S_IS_KSWAPD, S_LRU_NR, S_PRIORITY, S_TO_RECLAIM
from vmsim.struct.tasks import T_WAIT, T_WAIT_ARG, WAIT_ISOLATED

TASK = 1
PLANNED = 40  # pages of the inactive file list that the pass is to scan
LISTS = (p.LRU_INACTIVE_ANON, p.LRU_INACTIVE_FILE)


@entry
def too_many(k, lruvec, lru):
    return 1 if vmscan.too_many_isolated(k, lruvec, lru) else 0


@entry
def begin(k):
    """Another pass of the task over the lists."""
    vmscan.shrink_lruvec_begin(k, k.scan[1], 0)


@entry
def step(k):
    """One round of the pass; where it stalls, the task's wait as well."""
    outcome = vmscan.shrink_lruvec_step(k, k.scan[1], 0)
    if outcome == vmscan.SHRINK_STALLED:
        vmscan.isolated_wait(k, 1)
    return outcome


def scanning(version: str, inactive: int, isolated: int, kswapd: int = 0) -> Kernel:
    """A pass that has only the first zone's inactive file list left to scan."""
    kernel = make_kernel(version, cpus=2)
    kernel.zone[0, p.Z_LRU + p.LRU_INACTIVE_FILE] = inactive
    kernel.zone[0, p.Z_ISOLATED + 1] = isolated
    kernel.scan[TASK, S_LRU_NR + p.LRU_INACTIVE_FILE] = PLANNED
    kernel.scan[TASK, S_TO_RECLAIM] = 32
    kernel.scan[TASK, S_IS_KSWAPD] = kswapd
    kernel.scan[TASK, S_PRIORITY] = DEF_PRIORITY
    return kernel


@settings(max_examples=200, deadline=None)
@given(version=st.sampled_from(["4.4", "6.1"]), inactive=st.integers(0, 600), isolated=st.tuples(st.integers(0, 80), st.integers(0, 80)))
def test_an_eighth_of_the_inactive_list_may_be_isolated(version: str, inactive: int, isolated: tuple[int, int]) -> None:
    """The zone's pages count, or since 4.8 the node's; anonymous and file pages apart."""
    for kind, lru in enumerate(LISTS):
        kernel = make_kernel(version, cpus=2)
        kernel.zone[0, p.Z_LRU + lru] = inactive
        for zone in range(2):
            kernel.zone[zone, p.Z_ISOLATED + kind] = isolated[zone]
        taken = isolated[0] if version == "4.4" else sum(isolated)
        assert too_many(kernel.k, 0, lru) == (1 if taken > inactive >> 3 else 0)
        assert too_many(kernel.k, 0, LISTS[1 - kind]) == 0


@pytest.mark.parametrize("version", ["4.4", "6.1"])
def test_kswapd_never_waits_nor_does_a_task_where_few_are_isolated(version: str) -> None:
    for kernel in (scanning(version, 80, 11, kswapd=1), scanning(version, 80, 10)):
        assert step(kernel.k) != vmscan.SHRINK_STALLED
        assert kernel.scan[TASK, S_LRU_NR + p.LRU_INACTIVE_FILE] == PLANNED - 32


def test_a_task_waits_100_ms_at_a_time_until_pages_are_back() -> None:
    """4.4: congestion_wait(BLK_RW_ASYNC, HZ/10) in a loop; what the pass has to scan stays to be scanned."""
    kernel = scanning("4.4", inactive=80, isolated=11)
    for _ in range(3):
        assert step(kernel.k) == vmscan.SHRINK_STALLED
        assert kernel.task[TASK, [T_WAIT, T_WAIT_ARG]].tolist() == [WAIT_ISOLATED, 100_000_000]
        assert kernel.scan[TASK, S_LRU_NR + p.LRU_INACTIVE_FILE] == PLANNED
    kernel.zone[0, p.Z_ISOLATED + 1] = 10
    assert step(kernel.k) == vmscan.SHRINK_ON
    assert kernel.scan[TASK, S_LRU_NR + p.LRU_INACTIVE_FILE] == PLANNED - 32


def test_a_wait_that_was_given_up_does_not_count_for_the_next_pass() -> None:
    """Read-ahead reclaims without waiting: the task's next pass waits before it passes over a batch."""
    kernel = scanning("6.1", inactive=80 << 12, isolated=40 << 12)  # enough that the pass scans some at its priority
    assert step(kernel.k) == vmscan.SHRINK_STALLED
    begin(kernel.k)
    assert step(kernel.k) == vmscan.SHRINK_STALLED


def test_later_a_task_waits_20_ms_once_a_batch_and_passes_over_it() -> None:
    """6.1: reclaim_throttle for HZ/50; if there are still too many, the batch reclaims nothing."""
    kernel = scanning("6.1", inactive=80, isolated=11)
    for left in (PLANNED - 32, 0):
        assert step(kernel.k) == vmscan.SHRINK_STALLED
        assert kernel.task[TASK, [T_WAIT, T_WAIT_ARG]].tolist() == [WAIT_ISOLATED, 20_000_000]
        assert step(kernel.k) != vmscan.SHRINK_STALLED
        assert kernel.scan[TASK, S_LRU_NR + p.LRU_INACTIVE_FILE] == left
