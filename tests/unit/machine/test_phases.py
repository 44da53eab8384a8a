"""Phases and series: what passed between two marks, and counters at exact times."""

from __future__ import annotations

import pytest

from vmsim.errors import ImpossibleState, VmsimError
from vmsim.machine.machine import Options
from vmsim.machine.series import Series
from vmsim.struct import tasks as t

FAULT = ("count", t.T_MIN_FLT)


def test_a_phase_divides_its_time_exactly(lab):
    program = [("cpu", 100), ("mark", 0, 1), ("cpu", 50), ("read", 1, 1), FAULT, ("mark", 0, 0), ("cpu", 7), FAULT]
    run = lab([program], switch_ns=10, complete_ns=3, options=Options(phase_names=("setup",)))
    run.machine.run()
    (phase,) = run.machine.phase_results()
    assert (phase.task, phase.tid, phase.phase, phase.passes, phase.complete) == ("t1", 1, "setup", 1, True)
    assert (phase.start_ns, phase.end_ns) == (110, 110 + 50 + 100_003 + 10)
    assert phase.elapsed_ns == phase.end_ns - phase.start_ns == sum(phase.ledger.values())
    wanted = {"user": 50, "read_wait": 100_003, "switch": 10}
    assert {name: ns for name, ns in phase.ledger.items() if ns} == wanted
    assert {name: count for name, count in phase.counters.items() if count} == {
        "ru_minflt": 1,
        "ru_nvcsw": 1,
        "pgfault": 1,
    }


def test_passes_add_up(lab):
    program = [("mark", 0, 1), ("cpu", 10), ("mark", 0, 0), ("cpu", 5)] * 3
    run = lab([program], options=Options(phase_names=("loop",)))
    run.machine.run()
    (phase,) = run.machine.phase_results()
    assert (phase.passes, phase.start_ns, phase.end_ns, phase.elapsed_ns) == (3, 0, 40, 30)


def test_a_phase_ends_with_its_task(lab):
    program = [("mark", 1, 1), ("mark", 0, 1), ("cpu", 10)]
    run = lab([program], options=Options(phase_names=("inner", "outer")))
    run.machine.run()
    phases = run.machine.phase_results()
    assert [(phase.phase, phase.elapsed_ns, phase.complete) for phase in phases] == [
        ("outer", 10, False),
        ("inner", 10, False),
    ]


def test_each_task_has_its_own_phases(lab):
    program = [("mark", 0, 1), ("cpu", 1000), ("mark", 0, 0)]
    run = lab([program, program], cpus=2, starts=[0, 300], options=Options(phase_names=("p",)))
    run.machine.run()
    assert [(p.tid, p.start_ns, p.end_ns) for p in run.machine.phase_results()] == [(1, 0, 1000), (2, 300, 1300)]


def test_time_on_the_run_queue_is_part_of_a_phase(lab):
    """Two tasks on one CPU: task 2 gets its turn when task 1 sleeps, and task 1 waits for it."""
    programs = [[("mark", 0, 1), ("sleep", 10), ("mark", 0, 0)], [("cpu", 500_000)]]
    run = lab(programs, options=Options(phase_names=("p",)))
    run.machine.run()
    (phase,) = run.machine.phase_results()
    assert phase.ledger["sleep"] == 10
    assert phase.elapsed_ns == sum(phase.ledger.values())
    assert phase.ledger["runq_wait"] == phase.elapsed_ns - 10


@pytest.mark.parametrize(("program", "message"), [
    ([("mark", 0, 1), ("mark", 0, 1)], "begins inside itself"),
    ([("mark", 0, 0)], "ends without having begun"),
    ([("mark", 1, 1)], "phase 1 of 1"),
])  # fmt: skip
def test_impossible_marks(lab, program, message):
    with pytest.raises(ImpossibleState, match=message):
        lab([program], options=Options(phase_names=("p",))).machine.run()


def test_a_series_samples_at_its_interval_and_at_the_end(lab):
    series = Series(100, ["pgmajfault", "pgfault"])
    run = lab([[FAULT, ("cpu", 150), FAULT, ("cpu", 100)]], options=Options(series=series))
    run.machine.run()
    assert series.t_ns == [0, 100, 200, 250]
    assert series.column("pgfault") == [0, 1, 2, 2]
    assert series.column("pgmajfault") == [0, 0, 0, 0]
    assert run.began(1, "cpu") == [0, 100, 150, 200]  # no slice reaches past a sample


def test_bad_series():
    with pytest.raises(VmsimError, match="no counter 'pgfaults'"):
        Series(100, ["pgfaults"])
    with pytest.raises(VmsimError, match="positive"):
        Series(0, ["pgfault"])
