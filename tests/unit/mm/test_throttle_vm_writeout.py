"""A reclaimer waits while too much is being written.   throttle_vm_writeout of v4.4 (mm/page-writeback.c; C.8)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from scenario import PAGE, Outcome, mmap, phase, run, sweep

from vmsim.arch.rules import rules_of
from vmsim.mm import vmscan
from vmsim.struct.jit import entry
from vmsim.struct.kernel import G_PAGE_SHIFT, SYS_DIRTY_BYTES, Kernel, table_rows
from vmsim.struct.tasks import T_WAIT, T_WAIT_ARG, WAIT_CONGESTION
from vmsim.struct.vmstat import NR_WRITEBACK
from vmsim.struct.writeback import DOM_DIRTY_LIMIT


@entry
def throttled(k):
    return 1 if vmscan.throttle_vm_writeout(k, 1) else 0


@settings(max_examples=100, deadline=None)
@given(pages=st.integers(1, 50), slow=st.integers(0, 60), writeback=st.integers(0, 80), version=st.sampled_from(["4.3", "4.4", "6.1"]))
def test_it_sleeps_above_a_tenth_over_the_limit(pages: int, slow: int, writeback: int, version: str) -> None:
    """The limit is the greater of the threshold, here set in bytes, and what is left of an earlier one (hard_dirty_limit)."""
    kernel = Kernel(table_rows(frames=41, cpus=1, tasks=2, pcache=1, code=1, patterns=1, pattern_table=1))
    for rule, holds in enumerate(rules_of(version)):
        kernel.rule[rule] = holds
    kernel.geo[G_PAGE_SHIFT] = 12
    kernel.sysctl[SYS_DIRTY_BYTES] = pages * PAGE
    kernel.domain[DOM_DIRTY_LIMIT] = slow
    kernel.vmstat[NR_WRITEBACK] = writeback
    limit = max(pages, slow)
    sleeps = version != "6.1" and writeback > limit + limit // 10
    assert throttled(kernel.k) == (1 if sleeps else 0)
    assert not sleeps or kernel.task[1, [T_WAIT, T_WAIT_ARG]].tolist() == [WAIT_CONGESTION, 100_000_000]


def swapping(**given: object) -> Outcome:
    """A program that needs more memory than there is, where next to nothing may be dirty."""
    steps = [mmap("6 MiB"), phase("fill", sweep(count=1536, op="write"))]
    sysctl = {"vm.overcommit_memory": 1, "vm.dirty_bytes": 8192, "vm.dirty_background_bytes": 4096}
    return run(steps, ram="4 MiB", image="none", swap={"device": "sda", "size": "16 MiB"}, sysctl=sysctl, **given)


def test_swapping_is_slow_where_little_may_be_dirty() -> None:
    """Each pass that leaves more than two pages under writeback costs 100 ms; with the rule off pages go out at the device's pace."""
    with_it, without = swapping(version="4.4"), swapping(version="4.4", rules={"throttle_vm_writeout": False})
    assert with_it.exit() == without.exit() == "done"
    assert with_it.vmstat("pswpout") > 0
    times = [outcome.phase("fill").elapsed_ns for outcome in (with_it, without)]
    assert times[0] > 100_000_000 + times[1]
