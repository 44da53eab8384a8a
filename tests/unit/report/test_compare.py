"""Simulated beside published: means and spreads from exact integers, errors in percent, failures that must fail the same way."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import Any

import pytest
import synthetic

from vmsim.experiment.record import PhaseRecord, Published, RowRecord, RunResult, TaskRecord
from vmsim.experiment.store import Results
from vmsim.report.compare import count_of, fact_lines, phase_lines, phases_of


def phase(task: str, name: str, elapsed_ns: int, complete: bool = True, **counters: int) -> PhaseRecord:
    return PhaseRecord(task, name, 0, elapsed_ns, elapsed_ns, complete, counters, {"user": elapsed_ns})


def task(name: str, exit: str = "ok", **counters: int) -> TaskRecord:
    return TaskRecord(name, 1, exit, 3, 7, 18, counters, {"user": 40, "sleep": 2})


def run(
    seed: int, phases: tuple[PhaseRecord, ...], stopped_by: str | None = None, tasks: tuple[TaskRecord, ...] = ()
) -> RunResult:
    return dataclasses.replace(
        synthetic.run(),
        row_id="a",
        seed_index=seed,
        phases=phases,
        tasks=tasks,
        stopped_by=stopped_by,
        status="failed" if stopped_by else "ok",
    )


def results(*runs: RunResult, **row: Any) -> Results:
    return Results(Path("r"), synthetic.sweep(rows=(RowRecord("a", "A", "h", **row),)), runs)


def test_mean_and_spread_are_of_exact_nanoseconds() -> None:
    times = [10**15 + 1, 10**15 + 2, 10**15 + 6]  # a float sum of squares would lose these
    line = phase_lines(results(*(run(seed, (phase("t", "setup", ns),)) for seed, ns in enumerate(times))))[0]
    assert line.simulated_ns == 10**15 + 3
    assert line.spread_ns == pytest.approx(statistics.stdev([1, 2, 6]))


def test_one_run_has_no_spread() -> None:
    assert phase_lines(results(run(0, (phase("t", "setup", 5),))))[0].spread_ns is None


@pytest.mark.parametrize(
    ("simulated", "error", "within"), [(105, 5.0, True), (106, 6.0, False), (95, -5.0, True), (94, -6.0, False)]
)
def test_five_percent_is_the_default_on_both_sides(simulated: int, error: float, within: bool) -> None:
    line = phase_lines(results(run(0, (phase("t", "setup", simulated),)), published={"setup": Published(100)}))[0]
    assert (line.error_percent, line.within) == (error, within)


@pytest.mark.parametrize(("simulated", "within"), [(49, False), (50, True), (200, True), (201, False)])
def test_a_factor_of_two_is_a_tolerance_of_unequal_sides(simulated: int, within: bool) -> None:
    held = results(
        run(0, (phase("t", "setup", simulated),)),
        published={"setup": Published(100)},
        tolerance={"setup": (50.0, 100.0)},
    )
    assert phase_lines(held)[0].within is within


def test_nothing_published_is_neither_right_nor_wrong() -> None:
    line = phase_lines(results(run(0, (phase("t", "setup", 5),))))[0]
    assert (line.published_ns, line.error_percent, line.within, line.kind) == (None, None, None, "predicted")


FAILS = {"processing": Published(fails="ENOMEM", call="mprotect")}


@pytest.mark.parametrize(
    ("stopped_by", "within"),
    [("mprotect: ENOMEM", True), ("mlock: ENOMEM", False), ("mprotect: EINVAL", False), ("SIGSEGV", False)],
)
def test_a_published_failure_must_fail_in_the_same_call_with_the_same_error(stopped_by: str, within: bool) -> None:
    cut = phase("t", "processing", 9, complete=False, nr_signals=33_597)
    line = phase_lines(results(run(0, (cut,), stopped_by), published=FAILS))[0]
    assert (line.simulated_ns, line.stopped_by, line.stopped_after_signals, line.within) == (
        None,
        stopped_by,
        33_597,
        within,
    )
    assert line.published_fails == "ENOMEM from mprotect"


def test_a_published_failure_that_does_not_happen_is_wrong() -> None:
    assert phase_lines(results(run(0, (phase("t", "processing", 9),)), published=FAILS))[0].within is False


def test_a_published_time_that_is_not_reached_is_wrong() -> None:
    line = phase_lines(results(run(0, (), "mmap: ENOMEM"), published={"setup": Published(100)}))[0]
    assert (line.phase, line.simulated_ns, line.within, line.stopped_by) == ("setup", None, False, "mmap: ENOMEM")


def test_a_mean_is_over_the_runs_that_completed() -> None:
    held = results(
        run(0, (phase("t", "setup", 100),)), run(1, (phase("t", "setup", 3, complete=False),), "mlock: EAGAIN")
    )
    line = phase_lines(held)[0]
    assert (line.runs, line.stopped_runs, line.simulated_ns) == (2, 1, 100)


def test_tasks_with_the_same_phase_are_told_apart_and_share_what_is_published() -> None:
    held = results(
        run(0, (phase("a/0", "work", 100), phase("a/1", "work", 102), phase("b", "wait", 1))),
        published={"work": Published(100)},
    )
    lines = phase_lines(held)
    assert [line.phase for line in lines] == ["work (a/0)", "work (a/1)", "wait"]
    assert [line.published_ns for line in lines] == [100, 100, None]


def test_a_task_without_phases_is_timed_as_a_whole() -> None:
    phases = phases_of(run(0, (phase("a", "work", 1),), tasks=(task("a"), task("b", exit="mlock: EPERM"))))
    assert list(phases) == ["work", "total"]
    assert (phases["total"].elapsed_ns, phases["total"].complete) == (42, False)


def test_counts_are_found_in_tasks_then_vmstat_then_phases() -> None:
    counted = run(
        0, (phase("a", "setup", 1, ru_minflt=5),), tasks=(task("a", nr_signals=2, ru_minflt=8), task("b", nr_signals=3))
    )
    found = {
        name: count_of(counted, name)
        for name in ("signals", "ru_minflt", "setup.ru_minflt", "pgfault", "vma_count", "nonsense")
    }
    assert found == {
        "signals": 5,
        "ru_minflt": 8,
        "setup.ru_minflt": 5,
        "pgfault": 81_995,
        "vma_count": 36,
        "nonsense": None,
    }


@pytest.mark.parametrize(("stated", "within"), [(100, True), (101, True), (102, False), (0, False)])
def test_facts_agree_within_one_percent(stated: int, within: bool) -> None:
    line = fact_lines(results(run(0, (), tasks=(task("a", nr_signals=100),)), facts={"signals": stated}))[0]
    assert (line.stated, line.simulated, line.within) == (stated, 100, within)


def test_a_fact_that_nobody_counts_is_wrong_and_a_true_zero_is_right() -> None:
    lines = fact_lines(results(run(0, (), tasks=(task("a", ru_majflt=0),)), facts={"ru_majflt": 0, "pswpin": 4}))
    assert [(line.simulated, line.within) for line in lines] == [(0, True), (None, False)]
