"""Every nanosecond of every CPU and task has one owner: the ledger's columns sum to the time that passed, exactly."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from random_programs import machines
from scenario import PAGE, READ, finish, mmap, phase, run, start, sweep

from vmsim.struct.ledger import L_IDLE, NR_CPU_WORK


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(machine=machines())
def test_random_programs(machine: dict[str, Any]) -> None:
    """A CPU's row sums to the time of the end, a task's to its life; what CPUs worked is what tasks were charged,
    and interrupts.
    """
    outcome = finish(start(**machine))
    kernel, now = outcome.built.kernel, outcome.ending.now_ns
    assert kernel.cpu_led.min() >= 0
    assert kernel.task_led.min() >= 0
    for cpu in range(kernel.cpu_led.shape[0]):
        assert kernel.cpu_led[cpu].sum() == now
    for task in outcome.built.tasks:
        end = task.end_ns if task.end_ns >= 0 else now
        assert kernel.task_led[task.tid].sum() == end - task.start_ns
    worked = kernel.cpu_led[:, :NR_CPU_WORK].sum(axis=0) - kernel.task_led[:, :NR_CPU_WORK].sum(axis=0)
    assert [(column, ns) for column, ns in enumerate(worked.tolist()) if ns < 0] == []


def test_phases_divide_their_time() -> None:
    """The ledger of each phase sums to the phase's elapsed time, also across waits and with two tasks on a CPU."""
    program = [
        phase("map", mmap(512 * PAGE, file="data", prot=READ)), phase("read", sweep(count=512, work="1 us")),
        phase("sleep", {"sleep": "3 ms"}), phase("compute", {"compute": "5 ms"}),
    ]  # fmt: skip
    outcome = run(
        tasks=[{"name": "a", "program": program}, {"name": "b", "program": program}],
        files={"data": {"size": 512 * PAGE}},
    )
    phases = outcome.built.machine.phase_results()
    assert len(phases) == 8
    for found in phases:
        assert sum(found.ledger.values()) == found.elapsed_ns == found.end_ns - found.start_ns


def test_known_costs() -> None:
    """A program whose time can be added up by hand: 1 ms of compute and a sleep of 2 ms, between which the CPU
    idles.
    """
    outcome = run(
        [phase("all", {"compute": "1 ms"}, {"sleep": "2 ms"})],
        image="none",
        costs={"context_switch": "1 us", "tlb_flush_full": "0 ns"},
    )
    assert outcome.phase("all").elapsed_ns == 3_001_000  # with the switch back to the task
    assert outcome.ledger("user") == 1_000_000
    assert outcome.ledger("sleep") == 2_000_000
    assert outcome.ledger("switch") == 2_000
    assert outcome.built.kernel.cpu_led[0, L_IDLE] == 2_000_000
