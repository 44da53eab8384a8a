"""More memory than there is: the run ends with a report of who waits for what, it does not hang."""

from __future__ import annotations

from scenario import PAGE, Outcome, mmap, start, sweep

from vmsim.machine.ending import STUCK

RAM = "4 MiB"
TOO_MUCH = 1200  # pages; 4 MiB are 1024
WRITER = {"name": "writer", "image": "none", "program": [mmap(TOO_MUCH * PAGE), sweep(count=TOO_MUCH, op="write")]}


def end(*tasks: dict) -> Outcome:
    built = start(tasks=list(tasks), ram=RAM, sysctl={"vm.overcommit_memory": 1})
    return Outcome(built, built.machine.run())


def test_a_task_that_needs_too_much_is_stuck() -> None:
    """No swap, nothing to reclaim: every frame is used, the task waits for free memory, and the report says so."""
    outcome = end(WRITER)
    assert outcome.ending.reason == STUCK
    assert outcome.vmstat("nr_free_pages") == 0
    assert "writer" in outcome.ending.report()
    assert "free memory" in outcome.ending.report()


def test_it_goes_on_when_another_task_ends() -> None:
    """A task that holds half of the memory ends after 50 ms: the one that waits for memory gets it, and both are
    done.
    """
    holder = {
        "name": "holder",
        "image": "none",
        "program": [mmap(500 * PAGE), sweep(count=500, op="write"), {"sleep": "50 ms"}],
    }
    writer = {**WRITER, "start": "10 ms", "program": [mmap(700 * PAGE), sweep(count=700, op="write")]}
    outcome = end(holder, writer)
    assert outcome.ending.reason == "finished"
    assert (outcome.exit(1), outcome.exit(2)) == ("done", "done")
    assert outcome.ledger("memory_wait", tid=2) > 30_000_000


def test_it_goes_on_when_another_task_unmaps() -> None:
    """The same, but the first task lives on and gives the memory back with munmap."""
    free = {"munmap": {"addr": "m", "length": 500 * PAGE}}
    program = [mmap(500 * PAGE), sweep(count=500, op="write"), {"sleep": "50 ms"}, free, {"sleep": "50 ms"}]
    writer = {**WRITER, "start": "10 ms", "program": [mmap(700 * PAGE), sweep(count=700, op="write")]}
    outcome = end({"name": "holder", "image": "none", "program": program}, writer)
    assert (outcome.exit(1), outcome.exit(2)) == ("done", "done")
    assert 30_000_000 < outcome.ledger("memory_wait", tid=2) < 60_000_000


def test_mlock_reports_eagain() -> None:
    """A.7 step 10: out of memory while populating is EAGAIN, not a wait."""
    program = [mmap(TOO_MUCH * PAGE), {"mlock": {"addr": "m", "length": TOO_MUCH * PAGE, "expect": "EAGAIN"}}]
    task = {"name": "locker", "image": "none", "capabilities": ["CAP_IPC_LOCK"], "program": program}
    assert end(task).exit() == "done"
