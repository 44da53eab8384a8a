"""When an allocation gives up on reclaim and calls the OOM killer.   should_reclaim_retry of v4.7 and later (mm/page_alloc.c)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from two_zones import make_kernel

from vmsim.mm import page_alloc_slow, vmscan_direct
from vmsim.struct import pages as p
from vmsim.struct.jit import entry
from vmsim.struct.kernel import Kernel
from vmsim.struct.reclaim import N_KSWAPD_FAILURES, N_SWAP_FREE, S_PROGRESS
from vmsim.struct.tasks import T_NO_PROGRESS
from vmsim.struct.vmstat import NR_FILE_DIRTY, NR_WRITEBACK

TASK = 1
MAX_RECLAIM_RETRIES = 16  # mm/internal.h


@entry
def retries(k, progress):
    return 1 if page_alloc_slow.should_reclaim_retry(k, 1, progress != 0) else 0


@entry
def unthrottled(k):
    return 1 if vmscan_direct.skip_throttle_noprogress(k) else 0


NUMBERS = st.fixed_dictionaries(
    {
        "free": st.integers(0, 20), "min": st.integers(0, 20), "reserve": st.integers(0, 20),
        "lists": st.lists(st.integers(0, 9), min_size=4, max_size=4),
    }
)  # fmt: skip


def fill(kernel: Kernel, zones: list[dict]) -> None:
    for number, zone in enumerate(zones):
        row = kernel.zone[number]
        row[p.Z_FREE], row[p.Z_MIN], row[p.Z_RESERVE + 1] = zone["free"], zone["min"], zone["reserve"]
        row[p.Z_ZONE_LRU : p.Z_ZONE_LRU + 4] = zone["lists"]


def reclaimable(zone: dict, swap_free: int) -> int:
    """zone_reclaimable_pages: the file lists, and the anonymous ones if there is free swap."""
    return sum(zone["lists"][2:]) + (sum(zone["lists"][:2]) if swap_free > 0 else 0)


@settings(max_examples=200, deadline=None)
@given(
    zones=st.lists(NUMBERS, min_size=2, max_size=2),
    swap_free=st.integers(0, 1),
    before=st.integers(0, MAX_RECLAIM_RETRIES + 1),
    progress=st.integers(0, 1),
)
def test_it_retries_while_some_zone_could_meet_its_minimum(zones: list[dict], swap_free: int, before: int, progress: int) -> None:
    """v6.1 in plain words: progress resets the count, the 17th try in a row without is the last; and one zone at least must have more
    pages, free or reclaimable, than its minimum and its reserve against the request."""
    kernel = make_kernel("6.1")
    fill(kernel, zones)
    kernel.node[N_SWAP_FREE] = swap_free
    kernel.task[TASK, T_NO_PROGRESS] = before
    loops = 0 if progress else before + 1
    could = any(zone["free"] + reclaimable(zone, swap_free) > zone["min"] + zone["reserve"] for zone in zones)
    assert retries(kernel.k, progress) == (1 if loops <= MAX_RECLAIM_RETRIES and could else 0)
    assert kernel.task[TASK, T_NO_PROGRESS] == loops


def test_4_4_asks_the_reclaimer() -> None:
    """v4.4: it goes on while pages are freed or a zone is reclaimable (do_try_to_free_pages returns 1), however often."""
    kernel = make_kernel("4.4")
    assert (retries(kernel.k, 0), retries(kernel.k, 1)) == (0, 1)
    kernel.scan[TASK, S_PROGRESS] = 1
    assert [retries(kernel.k, 0) for _ in range(20)] == [1] * 20


@settings(max_examples=100, deadline=None)
@given(
    zones=st.lists(NUMBERS, min_size=2, max_size=2),
    dirty=st.integers(0, 20),
    writeback=st.integers(0, 20),
    failures=st.sampled_from([0, 15, 16]),
)
def test_who_gets_nowhere_sleeps_only_where_pages_wait_for_a_device(zones: list[dict], dirty: int, writeback: int, failures: int) -> None:
    """skip_throttle_noprogress: no sleep once kswapd has failed 16 times, nor unless more than half as many pages as are reclaimable are
    dirty or being written."""
    kernel = make_kernel("6.1")
    fill(kernel, zones)
    kernel.node[N_SWAP_FREE] = 1
    kernel.node[N_KSWAPD_FAILURES] = failures
    kernel.vmstat[NR_FILE_DIRTY], kernel.vmstat[NR_WRITEBACK] = dirty, writeback
    total = sum(reclaimable(zone, 1) for zone in zones)
    assert unthrottled(kernel.k) == (1 if failures >= 16 or 2 * (dirty + writeback) <= total else 0)
