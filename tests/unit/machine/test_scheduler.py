"""CFS, as kernel/sched/fair.c of v4.4 has it: shares, periods, placement and preemption."""

from __future__ import annotations

import pytest

from vmsim.errors import VmsimError
from vmsim.machine.scheduler import Scheduler
from vmsim.machine.task import QUEUED, RUNNING, WEIGHTS, Task
from vmsim.struct import ledger as le
from vmsim.struct import tasks as t
from vmsim.units import NS_PER_MS

MS = NS_PER_MS


class FakeCpu:
    def __init__(self, idle=False):
        self.idle = idle
        self.task = None
        self.handed = []

    def hand(self, task):
        self.idle = False
        self.handed.append(task)


def scheduler(*running_vruntimes, idle=0):
    """A scheduler whose first CPUs run tasks of these virtual times, and that has `idle` more."""
    sched = Scheduler()
    cpus = [FakeCpu() for _ in running_vruntimes] + [FakeCpu(idle=True) for _ in range(idle)]
    sched.attach(cpus)
    for number, vruntime in enumerate(running_vruntimes):
        task = Task(100 + number, "running")
        cpus[number].idle = True
        sched.wake(task)
        cpus[number].task = task
        task.vruntime = vruntime
        task.state = RUNNING
    return sched


def test_a_step_of_nice_is_a_quarter():
    """Documentation/scheduler/sched-nice-design.txt: a nice level is worth 1.25 times the CPU time, at any level."""
    assert WEIGHTS[20] == 1024
    for nice, weight in enumerate(WEIGHTS, start=-20):
        assert weight == pytest.approx(1024 / 1.25**nice, rel=0.06)


def test_nice_out_of_range():
    with pytest.raises(VmsimError, match="nice is from -20 to 19, got 20"):
        Task(1, "x", nice=20)


@pytest.mark.parametrize(("cpus", "factor"), [(1, 1), (2, 2), (3, 2), (4, 3), (8, 4), (64, 4)])
def test_latencies_grow_with_the_logarithm_of_the_cpus(cpus, factor):
    sched = Scheduler()
    sched.attach([FakeCpu() for _ in range(cpus)])
    assert sched.latency_ns == 6 * MS * factor
    assert sched.min_granularity_ns == 750_000 * factor
    assert sched.wakeup_granularity_ns == 1 * MS * factor


def test_two_equal_tasks_alternate_every_half_period(lab):
    run = lab([[("cpu", 60 * MS)], [("cpu", 60 * MS)]])
    run.machine.run()
    begins = [(when, who) for when, who, _ in run.log]
    turns = [begins[0], *(now for before, now in zip(begins, begins[1:], strict=False) if before[1] != now[1])]
    # Task 1 started alone, a whole period behind; task 2 half a period: it gets one slice more before they are even.
    assert turns[:5] == [(0, 1), (3 * MS, 2), (9 * MS, 1), (12 * MS, 2), (15 * MS, 1)]
    assert [when for when, _ in turns[4:-1]] == [15 * MS + 3 * MS * i for i in range(len(turns) - 5)]
    assert run.kernel.task[1, t.T_NIVCSW] == sum(who == 1 for _, who in turns)  # the last time just before its end
    assert run.led(le.L_RUNQ, 1) == pytest.approx(60 * MS, abs=3 * MS)


@pytest.mark.parametrize("nice", [1, 5, -5, 10])
def test_time_is_shared_by_weight(lab, nice):
    run = lab([[("cpu", 4000 * MS)], [("cpu", 4000 * MS)]], nices=[0, nice])
    run.machine.run(until_ns=1000 * MS)
    weight = WEIGHTS[20 + nice]
    assert run.led(le.L_USER, 1) == pytest.approx(1000 * MS * 1024 / (1024 + weight), abs=6 * MS)
    assert run.led(le.L_USER, 1) + run.led(le.L_USER, 2) == run.now


def test_many_tasks_get_the_minimum_granularity(lab):
    """More than 8 runnable: the period is 0.75 ms for each, and so is the slice of each equal task."""
    run = lab([[("cpu", 10 * MS)] for _ in range(12)])
    run.machine.run(until_ns=90 * MS)
    turns = [(when, who) for i, (when, who, _) in enumerate(run.log) if i == 0 or run.log[i - 1][1] != who]
    assert {when % 750_000 for when, _ in turns} == {0}
    assert {after[0] - before[0] for before, after in zip(turns[-24:], turns[-23:], strict=False)} == {750_000}
    assert all(run.led(le.L_USER, tid) == pytest.approx(7.5 * MS, abs=3 * MS) for tid in range(1, 13))


def test_three_tasks_share_two_cpus(lab):
    run = lab([[("cpu", 400 * MS)] for _ in range(3)], cpus=2)
    run.machine.run(until_ns=300 * MS)
    for tid in (1, 2, 3):
        assert run.led(le.L_USER, tid) == pytest.approx(200 * MS, abs=13 * MS)  # within a period
    assert run.cpu(le.L_IDLE, 0) == run.cpu(le.L_IDLE, 1) == 0


def test_an_idle_cpu_takes_what_waits(lab):
    run = lab([[("cpu", 2 * MS)], [("cpu", 10 * MS)], [("cpu", 4 * MS)]], cpus=2)
    run.machine.run()
    assert run.began(3, "cpu")[0] == 2 * MS
    assert run.tasks[2].cpu == 0
    assert run.led(le.L_RUNQ, 3) == 2 * MS


def test_a_woken_task_goes_where_it_ran_before(lab):
    programs = [[("sleep", 5 * MS), ("cpu", 10)] for _ in range(3)]
    run = lab(programs, cpus=3)
    run.machine.run()
    assert [task.cpu for task in run.tasks] == [0, 1, 2]
    assert run.switched == [(0, 1), (1, 2), (2, 3)]  # each CPU's TLB keeps its address space through the idle time


def test_a_woken_task_goes_to_any_idle_cpu_if_its_own_works(lab):
    """Task 2 last ran on CPU 0, which task 3 has meanwhile; CPU 1 is free."""
    run = lab([[("cpu", MS)], [("cpu", 5 * MS)]], cpus=2, starts=[0, 0])
    run.tasks[1].cpu = 0
    run.machine.run()
    assert run.tasks[1].cpu == 1
    assert run.led(le.L_RUNQ, 2) == 0


def test_a_switch_costs_where_the_task_changes(lab):
    run = lab([[("cpu", 7 * MS)], [("cpu", 3 * MS)]], switch_ns=1000)
    run.machine.run()
    turns = [who for i, (_, who, _) in enumerate(run.log) if i == 0 or run.log[i - 1][1] != who]
    assert turns == [1, 2, 1]
    assert run.cpu(le.L_SWITCH) == 3000
    assert (run.led(le.L_SWITCH, 1), run.led(le.L_SWITCH, 2)) == (2000, 1000)
    assert [mm for _, mm in run.switched] == [1, 2, 1]


def test_a_new_task_starts_one_slice_behind():
    sched = scheduler(20 * MS)
    task = Task(1, "new")
    sched.start(task)
    assert task.vruntime == 20 * MS + 3 * MS


@pytest.mark.parametrize(("own", "placed"), [(0, 17), (16, 17), (17, 17), (18, 18), (40, 40)])
def test_a_sleeper_gets_half_a_period_of_credit(own, placed):
    sched = scheduler(20 * MS)
    task = Task(1, "sleeper")
    task.vruntime = own * MS
    sched.wake(task)
    assert task.vruntime == placed * MS


def test_the_least_virtual_time_never_goes_back():
    sched = scheduler(20 * MS)
    running = sched.cpus[0].task
    sched.leave(running)
    sched.cpus[0].task = None
    sched.cpus[0].idle = True
    task = Task(1, "long asleep")
    sched.wake(task)
    assert task.vruntime == 17 * MS


@pytest.mark.parametrize(("lead_ns", "gives_way"), [(1 * MS, False), (1 * MS + 1, True)])
def test_wakeup_preemption_begins_past_its_granularity(lead_ns, gives_way):
    sched = scheduler(20 * MS)
    woken = Task(1, "woken")
    woken.vruntime = 20 * MS - lead_ns
    sched.wake(woken)
    assert sched.must_yield(sched.cpus[0].task, 100_000, woken=True) is gives_way
    assert sched.must_yield(sched.cpus[0].task, 100_000, woken=False) is False


def test_wakeup_granularity_is_longer_for_a_light_task():
    sched = scheduler(20 * MS)
    woken = Task(1, "woken", nice=5)
    woken.vruntime = 20 * MS - 2 * MS
    sched.wake(woken)
    assert not sched.must_yield(sched.cpus[0].task, 100_000, woken=True)  # 1 ms * 1024 / 335 = 3.06 ms
    woken.vruntime = 0


@pytest.mark.parametrize(("ran_ns", "lead_ns", "gives_way"), [
    (3 * MS, 0, True), (3 * MS - 1, 0, False),  # the slice is used up
    (750_000, 3 * MS + 1, True), (750_000, 3 * MS, False), (749_999, 3 * MS + 1, False),  # or far ahead of the first
])  # fmt: skip
def test_preemption_in_time(ran_ns, lead_ns, gives_way):
    sched = scheduler(20 * MS)
    other = Task(1, "other")
    sched.wake(other)
    sched.take()
    other.vruntime = 20 * MS - lead_ns
    other.state = QUEUED
    sched.requeue(other)
    assert sched.must_yield(sched.cpus[0].task, ran_ns, woken=False) is gives_way


def test_nobody_waits_nobody_yields():
    sched = scheduler(20 * MS)
    assert not sched.must_yield(sched.cpus[0].task, 10_000 * MS, woken=True)


def test_a_woken_task_preempts_at_once(lab):
    """The timer is a due event, so the slice of task 1 ends there, and the sleeper's credit of 3 ms beats 1 ms."""
    run = lab([[("cpu", 50 * MS)], [("sleep", 20 * MS), ("cpu", 1000)]])
    run.machine.run()
    woke = run.led(le.L_SLEEP, 2)
    assert woke == 20 * MS
    assert run.began(2, "cpu")[0] == run.began(2, "sleep")[0] + 20 * MS
    assert run.kernel.task[1, t.T_NIVCSW] == 2


def test_tasks_leave_the_queue_in_the_order_of_virtual_time_then_arrival():
    sched = scheduler(0)
    for tid, vruntime in ((1, 30), (2, 10), (3, 10), (4, 20)):
        task = Task(tid, "x")
        task.vruntime = vruntime
        sched.requeue(task)
    assert [sched.take().tid for _ in range(4)] == [2, 3, 4, 1]
    assert sched.queue == []
