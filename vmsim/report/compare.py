"""Simulated times and counts beside the published ones: one line for each row and phase, one for each stated fact.

Means and spreads are taken over the seeds from exact integer nanoseconds; the spread is the sample standard deviation.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from vmsim.experiment.record import DAEMON, OK, PhaseRecord, Published, RowRecord, RunResult, TaskRecord
from vmsim.experiment.store import Results

TOTAL = "total"
"""The phase of a task that marks none: its whole life."""

PREDICTED = "predicted"
DEFAULT_TOLERANCE = (5.0, 5.0)
FACT_TOLERANCE = 1.0
PERCENTILES = (50, 90, 99, 99.9, 99.99)

T = TypeVar("T")

_FACT_COUNTERS = {"signals": "nr_signals"}
_TASK_COLUMNS = ("vm_lck_pages", "vm_rss_pages", "vma_count")


@dataclass(frozen=True)
class PhaseLine:
    """A row's phase over all its runs. Times are mean nanoseconds; None where nothing is published or no run completed it."""

    row_id: str
    row: str
    phase: str
    kind: str
    runs: int
    stopped_runs: int
    published_ns: int | None
    published_fails: str | None
    simulated_ns: float | None
    spread_ns: float | None
    stopped_by: str | None
    stopped_after_signals: float | None
    error_percent: float | None
    within: bool | None


@dataclass(frozen=True)
class FactLine:
    """A stated count beside the simulated one (mean over the seeds; None where no run counts it)."""

    row_id: str
    row: str
    fact: str
    stated: int
    simulated: float | None
    spread: float | None
    error_percent: float | None
    within: bool


def phase_lines(results: Results) -> list[PhaseLine]:
    """All rows and phases of a result directory, in the order of the experiment; rows without runs are left out."""
    return [line for row, runs in rows_with_runs(results) for line in _lines_of_row(row, runs)]


def rows_with_runs(results: Results) -> list[tuple[RowRecord, list[RunResult]]]:
    """The rows that have runs, in the experiment's order, each with its runs by seed."""
    found = ((row, [run for run in results.runs if run.row_id == row.row_id]) for row in results.sweep.rows)
    return [(row, runs) for row, runs in found if runs]


def phases_of(run: RunResult) -> dict[str, PhaseRecord]:
    """A run's phases by their label: the name alone, or `name (task)` where more than one task has a phase of that name."""
    marked = {phase.task for phase in run.phases}
    phases = [*run.phases, *(_whole_life(task) for task in run.tasks if task.task not in marked and task.exit != DAEMON)]
    names = [phase.phase for phase in phases]
    return {p.phase if names.count(p.phase) == 1 else f"{p.phase} ({p.task})": p for p in phases}


def _whole_life(task: TaskRecord) -> PhaseRecord:
    lived_ns = sum(task.ledger.values())
    return PhaseRecord(task.task, TOTAL, 0, lived_ns, lived_ns, task.exit == OK, task.counters, task.ledger)


def _lines_of_row(row: RowRecord, runs: Sequence[RunResult]) -> list[PhaseLine]:
    phases = [phases_of(run) for run in runs]
    labels = list(dict.fromkeys(label for of_run in phases for label in of_run))
    labels += [label for label in row.published if not any(_named(label, known) for known in labels)]
    return [_line(row, label, runs, phases) for label in labels]


def _named(name: str, label: str) -> bool:
    return label == name or label.startswith(f"{name} (")


def _by_label(values: Mapping[str, T], label: str, default: T) -> T:
    return next((value for name, value in values.items() if _named(name, label)), default)


def _line(
    row: RowRecord, label: str, runs: Sequence[RunResult], phases: Sequence[Mapping[str, PhaseRecord]]
) -> PhaseLine:
    published = _by_label(row.published, label, Published())
    done = [of_run[label].elapsed_ns for of_run in phases if label in of_run and of_run[label].complete]
    cut = [
        (run, of_run.get(label))
        for run, of_run in zip(runs, phases, strict=True)
        if label not in of_run or not of_run[label].complete
    ]
    signals = [phase.counters.get("nr_signals", 0) for _, phase in cut if phase is not None]
    line = PhaseLine(
        row_id=row.row_id,
        row=row.row_name,
        phase=label,
        kind=_by_label(row.kind, label, PREDICTED),
        runs=len(runs),
        stopped_runs=len(cut),
        published_ns=published.ns,
        published_fails=f"{published.fails} from {published.call}"
        if published.fails and published.call
        else published.fails,
        simulated_ns=mean(done),
        spread_ns=spread(done),
        stopped_by=next((run.stopped_by or "not reached" for run, _ in cut), None),
        stopped_after_signals=mean(signals) or None,
        error_percent=None,
        within=None,
    )
    error, within = _judged(line, published, _by_label(row.tolerance, label, DEFAULT_TOLERANCE))
    return replace(line, error_percent=error, within=within)


def _judged(line: PhaseLine, published: Published, tolerance: tuple[float, float]) -> tuple[float | None, bool | None]:
    """The error in percent and whether it lies within the tolerance; a published failure must fail the same way."""
    if published.fails is not None:
        by = line.stopped_by or ""
        return None, line.stopped_runs == line.runs and published.fails in by and (published.call or "") in by
    if published.ns is None:
        return None, None
    if line.simulated_ns is None or line.stopped_runs:
        return None, False
    error = percent_off(line.simulated_ns, published.ns)
    return error, error is not None and -tolerance[0] <= error <= tolerance[1]


def fact_lines(results: Results) -> list[FactLine]:
    """All stated counts of the rows that have runs."""
    return [
        _fact(row, name, stated, runs) for row, runs in rows_with_runs(results) for name, stated in row.facts.items()
    ]


def _fact(row: RowRecord, name: str, stated: int, runs: Sequence[RunResult]) -> FactLine:
    counted = [value for value in (count_of(run, name) for run in runs) if value is not None]
    simulated = mean(counted)
    error = None if simulated is None else percent_off(simulated, stated)
    within = simulated == stated if error is None else abs(error) <= FACT_TOLERANCE
    return FactLine(row.row_id, row.row_name, name, stated, simulated, spread(counted), error, within)


def count_of(run: RunResult, name: str) -> int | None:
    """What a run counted under a name, or None: a counter of its tasks (summed), of /proc/vmstat, or `PHASE.counter`."""
    phase, _, counter = name.rpartition(".")
    counter = _FACT_COUNTERS.get(counter, counter)
    if phase:
        return _summed(counter, (p.counters for label, p in phases_of(run).items() if _named(phase, label)))
    if counter in _TASK_COLUMNS:
        return sum(int(getattr(task, counter)) for task in run.tasks)
    in_tasks = _summed(counter, (task.counters for task in run.tasks))
    return run.vmstat.get(counter) if in_tasks is None else in_tasks


def _summed(counter: str, counters: Iterable[Mapping[str, int]]) -> int | None:
    values = [found[counter] for found in counters if counter in found]
    return sum(values) if values else None


def percentile(counts: Mapping[int, int], share: float) -> int:
    """The least value that is not exceeded by `share` percent of what is counted: values with how often each occurs."""
    wanted = share * sum(counts.values()) / 100
    passed = 0
    for value, count in sorted(counts.items()):
        passed += count
        if passed >= wanted:
            return value
    return 0


def mean(values: Sequence[int]) -> float | None:
    """The mean of integers, or None of none."""
    return sum(values) / len(values) if values else None


def spread(values: Sequence[int]) -> float | None:
    """The sample standard deviation, or None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def percent_off(simulated: float, stated: int) -> float | None:
    """How far the simulated value is above the stated one, in percent of it; None where that is zero."""
    return 100.0 * (simulated - stated) / stated if stated else None
