"""A machine runs its tasks to their end, in simulated time that adds up, and says how it ended."""

from __future__ import annotations

import pytest

from vmsim.errors import ImpossibleState, VmsimError
from vmsim.machine.ending import FINISHED, STUCK, UNTIL
from vmsim.machine.machine import Options
from vmsim.machine.task import Task
from vmsim.struct import ledger as le
from vmsim.struct import tasks as t
from vmsim.struct.kernel import SC_NR_NEW_BIOS
from vmsim.units import NS_PER_MS, NS_PER_US


def test_one_task_one_cpu(lab):
    run = lab([[("cpu", 5000)]], switch_ns=1200)
    ending = run.machine.run()
    assert (ending.reason, ending.now_ns) == (FINISHED, 6200)
    assert run.tasks[0].end_ns == 6200
    assert run.cpu(le.L_SWITCH) == run.led(le.L_SWITCH) == 1200
    assert run.cpu(le.L_USER) == run.led(le.L_USER) == 5000


def test_no_tasks(lab):
    assert lab([]).machine.run().reason == FINISHED


def test_a_read_takes_the_device_time_and_not_a_nanosecond_more(lab):
    run = lab([[("cpu", 1000), ("read", 7, 1), ("cpu", 500)]], switch_ns=10, complete_ns=3)
    run.machine.run()
    assert run.models[0].seen == [(1010, 0, 7 * 4096, 4096)]
    assert run.led(le.L_WAIT_READ) == 100_003  # until the interrupt handler has unlocked the page
    assert run.led(le.L_RUNQ) == 0
    assert run.now == 10 + 1000 + 100_003 + 10 + 500
    assert run.cpu(le.L_IO) == 3
    assert run.cpu(le.L_IDLE) == 100_000
    assert run.kernel.task[1, t.T_NVCSW] == 1


def test_sleep_ends_exactly_when_it_should(lab):
    run = lab([[("cpu", 123), ("sleep", 1_000_000), ("cpu", 1)]])
    run.machine.run(until_ns=1_000_122)
    assert run.began(1, "cpu") == [0]
    assert run.machine.run(until_ns=1_000_123).reason == UNTIL
    assert run.began(1, "cpu") == [0]
    run.machine.run()
    assert run.began(1, "cpu") == [0, 1_000_123]
    assert run.led(le.L_SLEEP) == 1_000_000


def test_a_sleep_of_nothing_is_no_sleep(lab):
    run = lab([[("sleep", 0), ("cpu", 1)]], switch_ns=100)
    run.machine.run()
    assert run.now == 101
    assert run.kernel.task[1, t.T_NVCSW] == 0


def test_tasks_start_when_they_should(lab):
    run = lab([[("cpu", 10)], [("cpu", 10)]], starts=[0, 5_000_000])
    run.machine.run()
    assert run.began(2, "cpu") == [5_000_000]
    assert run.kernel.task[2, t.T_START_NS] == 5_000_000
    assert run.kernel.task_led[2].sum() == 10


def test_a_slice_ends_where_a_timer_is_due(lab):
    run = lab([[("cpu", 10 * NS_PER_MS)], [("sleep", 3 * NS_PER_MS), ("cpu", 1)]], cpus=2)
    run.machine.run()
    assert 3 * NS_PER_MS in run.began(1, "cpu")
    assert run.began(2, "cpu") == [3 * NS_PER_MS]


def test_a_page_that_came_during_the_slice_is_not_waited_for(lab):
    """The read ahead has ended when the task comes to wait for it: there is nothing to sleep for."""
    run = lab([[("ahead", 1, 1), ("cpu", 200_000), ("wait", t.WAIT_PAGE, 2), ("cpu", 1)]])
    run.machine.run()
    assert run.led(le.L_WAIT_READ) == 0
    assert run.kernel.task[1, t.T_NVCSW] == 0
    assert run.now == 200_001


def test_swap_cache_pages_are_waited_for_apart(lab):
    from vmsim.struct.pages import P_FLAGS, PG_SWAPCACHE

    run = lab([[("read", 1, 1)]])
    run.kernel.frame[2, P_FLAGS] = PG_SWAPCACHE
    run.machine.run()
    assert (run.led(le.L_WAIT_READ), run.led(le.L_WAIT_SWAP)) == (0, 100_000)


def test_waiters_of_one_page_wake_in_the_order_in_which_they_came(lab):
    first = [("read", 1, 1), ("cpu", 1000)]
    others = [[("cpu", 10 * i), ("wait", t.WAIT_PAGE, 2), ("cpu", 1000)] for i in (3, 1, 2)]
    run = lab([first, *others], cpus=4)
    run.machine.run()
    woken = [(when, who) for when, who, what in run.log if what == ("cpu", 1000)]
    assert woken == [(100_000, 1), (100_000, 3), (100_000, 4), (100_000, 2)]


def test_an_interrupt_during_a_slice_lengthens_it(lab):
    """Task 2 computes while the read of task 1 completes: the interrupt's time is its own, and the CPU's."""
    run = lab([[("read", 1, 1)], [("cpu", 1_000_000)]], complete_ns=2500)
    run.machine.run()
    assert run.led(le.L_IO, 2) == 2500
    assert run.cpu(le.L_IO) == 2500
    assert run.now == 1_002_500


def test_an_interrupt_of_cpu_0_delays_the_task_on_cpu_1(lab):
    """CPU 0 sleeps, and handles the interrupt; the page is there when its handler is done, for CPU 1 as well."""
    run = lab([[("sleep", 10)], [("cpu", 5), ("read", 1, 1), ("cpu", 1)]], cpus=2, complete_ns=2500)
    run.machine.run()
    assert run.tasks[1].cpu == 1
    assert run.began(2, "cpu") == [0, 5 + 100_000 + 2500]
    assert run.cpu(le.L_IO, 0) == 2500
    assert run.cpu(le.L_IO, 1) == 0


def test_the_last_interrupt_may_outlast_the_last_task(lab):
    run = lab([[("ahead", 1, 1)], [("cpu", 100_001)]], cpus=2, complete_ns=2500)
    run.machine.run()
    assert run.tasks[1].end_ns == 100_001  # on CPU 1, while CPU 0 is in the handler
    assert run.now == 102_500
    assert run.kernel.cpu_led.sum(axis=1).tolist() == [102_500, 102_500]


def test_stuck_says_who_waits_for_what(lab):
    run = lab([[("cpu", 5), ("wait", t.WAIT_MEMORY, 0)], [("wait", t.WAIT_TASK, 1)], [("cpu", 3)]])
    ending = run.machine.run()
    assert ending.stuck
    assert ending.reason == STUCK
    report = ending.report()
    assert "task t1/1: waits for free memory since 5 ns" in report
    assert "task t2/2: waits for the end of task 1" in report
    assert "task t3/3: has ended at 8 ns" in report
    assert run.machine.run().stuck  # and stays so


def test_a_stalled_device_is_named(lab, fixed_model):
    run = lab([[("read", 1, 1)], [("cpu", 1), ("read", 9, 1)]], devices=[fixed_model(1 << 62)])
    ending = run.machine.run()
    assert ending.stuck
    assert "frame 2 (mapping 0, index 0; locked)" in ending.report()
    assert "device sd0: 1 requests in service without an end, 1 queued" in ending.report()


def test_samples_do_not_keep_a_stuck_machine_running(lab):
    from vmsim.machine.series import Series

    run = lab([[("wait", t.WAIT_MEMORY, 0)]], options=Options(series=Series(1000, ["pgfault"])))
    assert run.machine.run().stuck
    assert run.now == 0


def test_a_series_of_too_many_samples_ends_with_a_word_on_its_interval(lab, monkeypatch):
    """A hundred values are two counters at 50 times; the 51st, after 50 intervals, is too many."""
    from vmsim.machine import series

    monkeypatch.setattr(series, "MOST_VALUES", 100)
    for count, times in ((49, 50), (50, None)):
        sampled = series.Series(1000, ["pgfault", "pgfree"])
        run = lab([[("sleep", count * 1000), ("cpu", 0)]], options=Options(series=sampled))
        if times is None:
            with pytest.raises(VmsimError, match=r"50 samples .*outputs.series.interval"):
                run.machine.run()
        else:
            run.machine.run()
            assert len(sampled.t_ns) == times


def test_memory_waits_end_by_time_or_by_memory(lab):
    run = lab([[("wait", t.WAIT_MEMORY, 100_000), ("cpu", 1)], [("wait", t.WAIT_MEMORY, 0), ("cpu", 1)]])
    run.machine.at(150_000, lambda now: run.machine.waits.memory_freed(now))
    run.machine.clock.at(200_000, lambda: None)  # something that keeps it from being stuck
    run.machine.run()
    assert (run.led(le.L_WAIT_MEMORY, 1), run.led(le.L_WAIT_MEMORY, 2)) == (100_000, 150_000)


def test_waiting_for_a_task(lab):
    run = lab(
        [[("cpu", 700)], [("wait", t.WAIT_TASK, 1), ("cpu", 1)], [("cpu", 800), ("wait", t.WAIT_TASK, 1)]], cpus=3
    )
    run.machine.run()
    assert run.began(2, "cpu") == [700]
    assert run.tasks[2].end_ns == 800  # task 1 was dead already


def test_an_unknown_wait_is_impossible(lab):
    with pytest.raises(ImpossibleState, match="waits for nothing known"):
        lab([[("wait", 99, 0)]]).machine.run()


@pytest.mark.parametrize("promised", [1, 2])
def test_a_request_that_is_not_there_is_impossible(lab, promised):
    run = lab([[("cpu", 10)]])
    run.kernel.sc[SC_NR_NEW_BIOS] = promised
    with pytest.raises(ImpossibleState, match=f"{promised} requests were submitted that are not in the table"):
        run.machine.run()


def test_a_slice_without_time_is_impossible(lab):
    class Endless(list):
        def __bool__(self):
            return True

        def __getitem__(self, index):
            return ("wait", t.WAIT_PAGE, 5)

        def pop(self, index):
            return None

    run = lab([[("cpu", 1)]])
    run.programs[0] = Endless()
    with pytest.raises(ImpossibleState, match="no time passes"):
        run.machine.run()


def test_until_and_on_gives_the_same_as_straight_through(lab):
    programs = [[("cpu", 40_000), ("read", 3, 1), ("cpu", 20_000)], [("sleep", 70_000), ("cpu", 5000)]]
    straight = lab(programs, cpus=2)
    straight.machine.run()
    halting = lab(programs, cpus=2)
    for until in range(0, 160_000, 7_000):
        halting.machine.run(until_ns=until)
    assert halting.machine.run().reason == FINISHED
    assert halting.now == straight.now
    assert [task.end_ns for task in halting.tasks] == [task.end_ns for task in straight.tasks]


def test_until_in_the_past(lab):
    run = lab([[("cpu", 100)]])
    run.machine.run(until_ns=50)
    with pytest.raises(ValueError, match="in the past"):
        run.machine.run(until_ns=49)


def test_progress_is_told_and_changes_nothing(lab):
    told = []
    run = lab([[("cpu", 350 * NS_PER_MS)]])
    run.machine.run(progress=told.append)
    assert told == [100 * NS_PER_MS, 200 * NS_PER_MS, 300 * NS_PER_MS]
    assert run.now == 350 * NS_PER_MS


def test_at_a_time(lab):
    seen = []
    run = lab([[("cpu", 1000)]])
    run.machine.at(400, lambda now: seen.append((now, len(run.log))))
    run.machine.run()
    assert seen == [(400, 1)]
    assert run.began(1, "cpu") == [0, 400]


def test_the_same_run_twice(lab):
    def history():
        programs = [
            [("cpu", 900 * i), ("read", 50 * i, i), ("cpu", 77), ("sleep", 1000 * i), ("cpu", 5)] for i in range(1, 9)
        ]
        run = lab(programs, cpus=3, switch_ns=100, complete_ns=50)
        run.machine.run()
        return run.log, run.kernel.task_led.tolist(), run.kernel.cpu_led.tolist()

    assert history() == history()


def test_halving_the_quantum_changes_little(lab):
    def end(quantum):
        programs = [[("cpu", 50_000), ("read", 100 * i + j, 1)] * 40 for i in range(4) for j in (1,)]
        run = lab(programs, cpus=2, switch_ns=1000, complete_ns=500, options=Options(quantum_ns=quantum))
        run.machine.run()
        return run.now

    assert end(50 * NS_PER_US) == pytest.approx(end(100 * NS_PER_US), rel=0.02)


def test_two_tasks_of_one_tid(lab):
    run = lab([[("cpu", 1)]])
    with pytest.raises(ValueError, match="tid"):
        run.machine.add_task(run.tasks[0])


def test_a_daemon_does_not_keep_the_machine_running(lab):
    run = lab([[("cpu", 1000)]], cpus=2)
    run.programs.append([("sleep", 600), ("cpu", 10)] * 1000)
    run.machine.add_task(Task(2, "kswapd", daemon=True))
    assert run.machine.run().now_ns == 1000
