"""A whole experiment from Python: run it, get its results, no files needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmsim.errors import VmsimError
from vmsim.experiment.plan import jobs_of, sweep_of
from vmsim.experiment.pool import Job, JobFailure, Watcher, run_jobs
from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results, in_order, load_results, open_store
from vmsim.spec.experiment import ExperimentSpec


class Unwatched:
    """A watcher that says nothing."""

    def started(self, job: Job) -> None:
        """A job has begun."""

    def progressed(self, job: Job, sim_ns: int, fraction: float | None) -> None:
        """A job has come to this simulated time."""

    def finished(self, job: Job, run: RunResult) -> None:
        """A job has given its result."""

    def failed(self, job: Job, failure: JobFailure) -> None:
        """A job has raised."""


def run_experiment(
    experiment: ExperimentSpec,
    rows: Sequence[str] = (),
    seeds: int | None = None,
    processes: int = 1,
    out: str | Path | None = None,
    watcher: Watcher | None = None,
) -> Results:
    """Run an experiment (some rows, so many seeds; default: all) and return its results.

    With `out` they are also kept in that directory, and runs that are there already are not made again.  More than one
    process needs a script whose main module can be imported (`if __name__ == "__main__":`).  Raises VmsimError for a
    mistake in the input and RuntimeError, with the traceback of the first, if runs failed through a defect.
    """
    sweep, jobs, seen = sweep_of(experiment), jobs_of(experiment, rows, seeds), watcher or Unwatched()
    if out is None:
        made: list[RunResult] = []
        _raise_first(run_jobs(jobs, made.append, seen, processes))
        return Results(Path(), sweep, tuple(in_order(sweep, made)))
    with open_store(out, sweep) as store:
        missing = [job for job in jobs if job.key not in store.there]
        failures = run_jobs(missing, store.save, seen, processes)
    _raise_first(failures)
    return load_results(out)


def _raise_first(failures: Sequence[JobFailure]) -> None:
    for failure in failures:
        if failure.user_error:
            raise VmsimError(str(failure))
        raise RuntimeError(f"{len(failures)} runs failed, the first of them: {failure}\n{failure.trace}")
