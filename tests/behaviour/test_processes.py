"""Tasks that programs make: what a child has of its parent, threads, exec, wait, events, and the limit."""

from __future__ import annotations

import pytest
from scenario import IMAGE_VMAS, PAGE, Outcome, mmap, phase, run, sweep

from vmsim.struct import tasks as t
from vmsim.struct.ledger import L_SLEEP

WRITE_M = {"touch": {"addr": "m", "op": "write"}}


def _names(outcome: Outcome) -> list[str]:
    return [outcome.built.machine.tasks[tid].name for tid in sorted(outcome.built.machine.tasks)]


def test_child_has_copies_of_registers() -> None:
    """fork(2): the child goes on with the parent's values, and neither sees what the other sets; it gets 0 as the result."""
    child = [{"set": {"seen": "x", "x": 9, "result": "pid"}}]
    steps = [{"set": {"x": 5, "pid": 77}}, {"fork": {"as": "pid", "steps": child}}, {"wait": {"as": "left"}}]
    outcome = run(steps)
    assert (outcome.register("x"), outcome.register("pid"), outcome.register("left")) == (5, 2, 0)
    registers = outcome.built.registers[0]
    assert [int(outcome.built.kernel.reg[2, registers[name]]) for name in ("seen", "x", "result")] == [5, 9, 0]


def test_thread_shares_memory_and_child_does_not() -> None:
    """CLONE_VM: a page that the thread maps and writes is there for the others; what a forked child maps is not."""
    inside = [mmap(8 * PAGE, "t", addr=1 << 32, flags=["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_FIXED"]), sweep("t", 8, op="write")]
    reads = [phase("read", {"access": {"region": 1 << 32, "length": 8 * PAGE, "pattern": {"type": "sequential"}, "count": 8}})]
    thread = run([{"clone": {"steps": inside}}, {"wait": {}}, *reads])
    assert thread.exit() == "done"
    assert thread.phase("read").counters["ru_minflt"] == 0
    assert thread.task(t.T_TGID, 2) == 1
    child = run([{"fork": {"steps": inside}}, {"wait": {}}, *reads])
    assert child.exit() == "SIGSEGV"


def test_children_usage_counts_those_waited_for() -> None:
    """getrusage(2), RUSAGE_CHILDREN: of children that were waited for, with their own waited-for children; threads are not."""
    grandchild = {"fork": {"steps": [mmap(4 * PAGE), sweep(count=4, op="write")]}}
    child = [mmap(3 * PAGE), sweep(count=3, op="write"), grandchild, {"wait": {}}]
    steps = [{"clone": {"steps": [mmap(5 * PAGE), sweep(count=5, op="write")]}}, {"fork": {"as": "kid", "steps": child}}, {"wait": "kid"}]
    usage = {"getrusage": {"who": "RUSAGE_CHILDREN", "field": "ru_minflt", "as": "usage"}}
    outcome = run([*steps, {"fork": {"steps": [mmap(2 * PAGE), sweep(count=2, op="write")]}}, {"sleep": "1 ms"}, usage])
    assert outcome.task(t.T_CMIN_FLT) == outcome.register("usage") == 3 + 4


def test_wait_without_children_is_echild() -> None:
    """wait(2): ECHILD if there is no such child; a task can't wait for one that isn't its own."""
    outcome = run([{"wait": {"pid": -1, "expect": "ECHILD"}}, {"fork": {"steps": []}}, {"wait": -1}, {"wait": {"pid": 1}}])
    assert outcome.exit() == "wait: ECHILD"


def test_events_count_like_bytes_in_a_pipe() -> None:
    """Three posts let three of four waiting readers go; the machine then stands still and says who waits for what."""
    reader = {"fork": {"name": "reader", "steps": [{"wait_for": "token"}, mmap(PAGE), WRITE_M]}}
    outcome = run([{"loop": {"count": 4, "steps": [reader]}}, {"post": {"event": "token", "count": 3}}, {"wait": {}}])
    assert [outcome.exit(tid) for tid in range(1, 6)].count("done") == 3
    assert outcome.ending.stuck
    assert "waits for event 'token' (1 posts wanted, 0 there)" in outcome.ending.report()
    assert _names(outcome) == ["task", "task/reader-0", "task/reader-1", "task/reader-2", "task/reader-3"]


def test_time_of_waiting_is_sleep() -> None:
    """The parent's wait for a child that computes 10 ms on the other CPU is 10 ms of sleep."""
    outcome = run([{"fork": {"steps": [{"compute": "10 ms"}]}}, {"wait": {}}], cpus=2)
    assert 9_900_000 < outcome.built.kernel.task_led[1, L_SLEEP] <= 10_000_000 + 100_000


def test_exec_replaces_the_address_space() -> None:
    """exec(2): the old memory is free, handlers are gone, the image is the new one, and the next fault of the old page's address fails."""
    old = [mmap(64 * PAGE), sweep(count=64, op="write"), {"on_signal": {"signal": "SIGSEGV", "steps": [{"exit": {}}]}}]
    fresh = [phase("new", mmap(PAGE, "n"), {"touch": {"addr": "n", "op": "write"}}), {"touch": "m"}]
    outcome = run([*old, {"exec": {}}, *fresh])
    assert outcome.exit() == "SIGSEGV"
    assert outcome.task(t.T_VMAS) == IMAGE_VMAS + 1
    assert outcome.task(t.T_RSS) == 1
    assert outcome.vmstat("nr_anon_pages") == 1


def test_exec_of_a_child_leaves_the_parent_alone() -> None:
    """fork and exec, as a shell does: the parent's pages are its own again, and each write to them is a fault without a copy."""
    steps = [mmap(32 * PAGE), sweep(count=32, op="write"), {"fork": {"steps": [{"exec": {}}]}}, {"wait": {}}]
    outcome = run([*steps, phase("again", sweep(count=32, op="write"))])
    assert outcome.phase("again").counters["ru_minflt"] == 32
    assert outcome.vmstat("nr_anon_pages") == 32


def test_exec_with_a_thread_takes_another_address_space() -> None:
    """Model: exec of one thread leaves the others in the old address space (the kernel would kill them)."""
    thread = {"clone": {"steps": [{"wait_for": "go"}, sweep(count=4), {"post": "done"}]}}
    fresh = [{"exec": {}}, {"post": "go"}, {"wait_for": "done"}, {"touch": "m"}]
    outcome = run([mmap(4 * PAGE), sweep(count=4, op="write"), thread, *fresh])
    assert outcome.exit(2) == "done"
    assert outcome.exit(1) == "SIGSEGV"


def test_fork_beyond_the_room_is_eagain() -> None:
    """A loop whose count only the program knows has room for 1,024 children; the next fork fails, as at a limit of processes."""
    steps = [{"set": {"n": 2000}}, {"loop": {"count": "n", "steps": [{"fork": {"steps": []}}, {"wait": {}}]}}]
    outcome = run(steps, image="none")
    assert outcome.exit() == "fork: EAGAIN"
    assert len(outcome.built.machine.tasks) == 1 + 1024


@pytest.mark.parametrize("cpus", [1, 3])
def test_same_run_twice(cpus: int) -> None:
    """Children, threads and their random patterns: the same program and seed give the same counts and times."""
    draw = {"access": {"region": "m", "pattern": {"type": "uniform"}, "count": 200, "write_fraction": 0.5}}
    steps = [mmap(64 * PAGE), {"loop": {"count": 5, "steps": [{"fork": {"steps": [draw]}}, {"clone": {"steps": [draw]}}]}}, {"wait": {}}]
    first, second = run(steps, cpus=cpus), run(steps, cpus=cpus)
    assert first.ending.now_ns == second.ending.now_ns
    assert (first.built.kernel.task_led == second.built.kernel.task_led).all()
    faults = [first.task(t.T_MIN_FLT, tid) for tid in range(2, 12, 2)]
    assert len(set(faults)) > 1 or faults[0] == 64, "children draw sequences of their own"
