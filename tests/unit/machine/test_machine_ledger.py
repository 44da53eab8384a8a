"""Every nanosecond of every CPU and task has exactly one owner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_lab import Lab

from vmsim.errors import ImpossibleState
from vmsim.struct import ledger as le

INSTRUCTION = st.one_of(
    st.tuples(st.just("cpu"), st.integers(0, 200_000)),
    st.tuples(st.just("read"), st.integers(0, 300), st.integers(1, 4)),
    st.tuples(st.just("ahead"), st.integers(0, 300), st.integers(1, 4)),
    st.tuples(st.just("sleep"), st.integers(0, 300_000)),
)


def check(run):
    assert (run.kernel.cpu_led.sum(axis=1) == run.now).all()
    for task in run.tasks:
        assert run.kernel.task_led[task.tid].sum() == task.end_ns - task.start_ns
    assert run.kernel.cpu_led.min() >= 0
    assert run.kernel.task_led.min() >= 0
    work = [le.L_USER, le.L_SWITCH]
    assert (run.kernel.cpu_led.sum(axis=0)[work] == run.kernel.task_led.sum(axis=0)[work]).all()


@settings(max_examples=60, deadline=None)
@given(
    programs=st.lists(st.lists(INSTRUCTION, max_size=12), min_size=1, max_size=6),
    cpus=st.integers(1, 3),
    costs=st.tuples(st.integers(0, 2000), st.integers(0, 5000)),
    starts=st.lists(st.integers(0, 100_000), min_size=6, max_size=6),
    nices=st.lists(st.integers(-20, 19), min_size=6, max_size=6),
)
def test_random_programs(programs, cpus, costs, starts, nices):
    run = Lab(programs, cpus, starts=starts, nices=nices, switch_ns=costs[0], complete_ns=costs[1])
    assert run.machine.run().reason == "finished"
    check(run)


def test_the_ledger_closes_in_the_middle_too(lab):
    programs = [[("cpu", 30_000), ("read", i, 1), ("sleep", 40_000)] * 5 for i in (10, 20, 30)]
    run = lab(programs, cpus=2, switch_ns=1200, complete_ns=2500)
    for until in range(1, 1_500_000, 13_331):
        if run.machine.run(until_ns=until).reason == "finished":
            break
        assert (run.kernel.cpu_led.sum(axis=1) == run.now).all()
        assert (run.kernel.task_led[1:-1].sum(axis=1)[[task.end_ns < 0 for task in run.tasks]] == run.now).all()
    run.machine.run()
    check(run)


def test_a_nanosecond_too_many_is_found(lab):
    run = lab([[("cpu", 100)], [("cpu", 100)]])
    run.machine.run()
    run.kernel.task_led[2, le.L_RUNQ] += 1
    with pytest.raises(ImpossibleState, match=r"task t2/2 has 201 ns of 200 \(user 100, runq_wait 101\)"):
        run.machine.check_ledger()
    run.kernel.task_led[2, le.L_RUNQ] -= 1
    run.machine.check_ledger()
    run.kernel.cpu_led[0, [le.L_IDLE, le.L_USER]] += np.array([-5, 5])
    with pytest.raises(ImpossibleState, match="CPU 0 has idle -5"):
        run.machine.check_ledger()
