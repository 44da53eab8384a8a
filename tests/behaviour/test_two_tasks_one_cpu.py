"""Two tasks share a CPU: each gets its part by weight, one computes while the other waits, and pages of a file are
shared.
"""

from __future__ import annotations

import pytest
from scenario import PAGE, READ, mmap, phase, run, sweep

from vmsim.machine.task import WEIGHTS
from vmsim.struct.ledger import L_IDLE

COMPUTE = [phase("work", {"compute": "100 ms"})]


def test_equal_tasks_share_the_cpu() -> None:
    """Two tasks of 100 ms of work: 200 ms of work in all; each waits about as long as the other runs, less its last
    turn.
    """
    outcome = run(tasks=[{"name": "a", "program": COMPUTE}, {"name": "b", "program": COMPUTE}])
    a, b = outcome.phase("work", "a"), outcome.phase("work", "b")
    assert a.ledger["user"] == b.ledger["user"] == 100_000_000
    assert max(a.end_ns, b.end_ns) == pytest.approx(200e6, rel=0.01)
    assert min(a.ledger["runq_wait"], b.ledger["runq_wait"]) > 80_000_000


@pytest.mark.parametrize("nice", [5, 10])
def test_nice_gives_by_weight(nice: int) -> None:
    """While both run, CPU time is divided as the weights of kernel/sched (nice 0: 1024): when the nice-0 task ends
    after its 100 ms,
    the other has had 100 ms * its weight / 1024."""
    outcome = run(tasks=[{"name": "a", "program": COMPUTE}, {"name": "b", "nice": nice, "program": COMPUTE}])
    had = outcome.phase("work", "a").end_ns - 100_000_000
    assert had == pytest.approx(100e6 * WEIGHTS[20 + nice] / 1024, rel=0.15)


def test_one_computes_while_the_other_waits_for_the_disk() -> None:
    """A reader that mostly waits and 20 ms of computing: at least half of the computing is hidden in the waits."""
    read = [
        mmap(2000 * PAGE, file="data", prot=READ),
        {"madvise": {"addr": "m", "length": 2000 * PAGE, "advice": "MADV_RANDOM"}},
    ]
    reader = {"name": "reader", "program": [*read, sweep(count=2000)]}
    worker = {"name": "worker", "program": [{"compute": "20 ms"}]}
    files = {"data": {"size": 2000 * PAGE}}
    alone = run(tasks=[reader], files=files)
    both = run(tasks=[reader, worker], files=files)
    assert alone.ledger("read_wait") > 100_000_000
    assert both.ending.now_ns < alone.ending.now_ns + 10_000_000
    assert both.built.kernel.cpu_led[0, L_IDLE] < alone.built.kernel.cpu_led[0, L_IDLE]


def test_pages_of_a_file_are_shared() -> None:
    """The second task finds what the first has read: no request of its own, one frame for both, mapped twice while
    both live.
    """
    read = [mmap(64 * PAGE, file="data", prot=READ), sweep(count=64)]
    keep = [*read, {"sleep": "20 ms"}]
    tasks = [{"name": "first", "program": keep}, {"name": "second", "start": "10 ms", "program": read}]
    outcome = run(tasks=tasks, files={"data": {"size": 64 * PAGE}})
    assert outcome.vmstat("pgpgin") == 64 * 4
    assert outcome.task(7, tid=1) > 0  # the first one's major faults
    assert outcome.task(7, tid=2) == 0
    assert outcome.vmstat("nr_file_pages") == 64 + sum((14, 453, 37))  # and the images' files


def test_memory_of_an_ended_task_is_free_again() -> None:
    """The first task's 1000 pages and its page tables are given back while the second lives on."""
    first = {"name": "first", "image": "none", "program": [mmap(1000 * PAGE), sweep(count=1000, op="write")]}
    second = {"name": "second", "image": "none", "start": "50 ms", "program": [{"compute": "1 us"}]}
    alone = run(tasks=[{**second}])
    both = run(tasks=[first, second])
    assert both.vmstat("pgfree") >= 1000
    assert both.vmstat("nr_anon_pages") == 0
    assert both.free_pages == alone.free_pages


def test_empty_upper_page_tables_go_with_their_task() -> None:
    """A.3: munmap frees no table that spans a neighbouring mapping, empty or not; the task's end frees that one too."""
    steps = [
        mmap(PAGE, "low", addr=1 << 30),
        mmap(PAGE, "high", addr=3 << 30),
        {"touch": {"addr": "high", "op": "write"}},
        {"munmap": {"addr": "high", "length": PAGE}},
        {"sleep": "1 ms"},
    ]
    second = {"name": "second", "image": "none", "start": "50 ms", "program": [{"compute": "1 us"}]}
    alone = run(tasks=[second])
    both = run(tasks=[{"name": "first", "image": "none", "program": steps}, second])
    assert both.vmstat("nr_page_table_pages") == alone.vmstat("nr_page_table_pages")
    assert both.free_pages == alone.free_pages
