"""The command `run`: from an experiment file to its table and plots."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmsim.cli import EXIT_DEFECT, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OK
from vmsim.experiment.plan import jobs_of, sweep_of
from vmsim.experiment.pool import Job, JobFailure, ensure_compiled, run_jobs
from vmsim.experiment.store import ResultStore, load_results, open_store

RESULTS = Path("results")


def run(args: argparse.Namespace) -> int:
    """Make the runs that are not there yet, then print the table and draw the plots. Returns the exit status."""
    from vmsim.spec.load import load_experiment

    experiment = load_experiment(args.file, overrides=args.overrides)
    jobs = jobs_of(experiment, [row for row in (args.rows or "").split(",") if row], args.seeds)
    out = Path(args.out) if args.out else RESULTS / Path(args.file).stem
    store = open_store(out, sweep_of(experiment), args.force)
    try:
        with _ended_like_interrupted(), store:
            failures = _make_missing(store, jobs, args)
    except KeyboardInterrupt:
        kept = sum(job.key in store.there for job in jobs)
        told = f"interrupted; {kept} of {len(jobs)} runs are kept in {out}, the same command goes on from there"
        print(f"\nvmsim: {told}", file=sys.stderr)
        return EXIT_INTERRUPTED
    _report(out, args)
    for failure in failures:
        print(f"vmsim: {failure}", file=sys.stderr)
        if os.environ.get("VMSIM_TRACEBACK"):
            print(failure.trace, file=sys.stderr)
    return _status(failures)


@contextlib.contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does: being ended is no reason to leave workers running or tables unwritten."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_missing(store: ResultStore, jobs: Sequence[Job], args: argparse.Namespace) -> list[JobFailure]:
    missing = [job for job in jobs if job.key not in store.there]
    if len(missing) < len(jobs):
        print(f"{len(jobs) - len(missing)} of {len(jobs)} runs are in {store.path} already", file=sys.stderr)
    if not missing:
        return []
    ensure_compiled(lambda told: print(told, file=sys.stderr, flush=True))
    processes = min(args.jobs or _cores(), len(missing))
    from vmsim.cli_progress import choose_display

    expected_s = {row_id: seconds for (row_id, _), seconds in store.there.items()}
    display = choose_display(args.quiet)(store.sweep.title, missing, processes, expected_s)
    with display:
        return run_jobs(missing, store.save, display, processes, expected_s)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _report(out: Path, args: argparse.Namespace) -> None:
    from vmsim.report.table import table_text

    results = load_results(out)
    if not results.runs:
        return
    print(table_text(results), end="")
    print(f"\nresults: {out}")
    if args.no_plots or not results.sweep.plots:
        print(f"plots: vmsim plot {out}")
        return
    from vmsim.report.plot import draw_plots

    for path in draw_plots(results):
        print(f"plot: {path}")


def _status(failures: Sequence[JobFailure]) -> int:
    if not failures:
        return EXIT_OK
    if all(failure.user_error for failure in failures):
        return EXIT_INPUT
    print("This is a defect of vmsim. VMSIM_TRACEBACK=1 in the environment shows where it arose.", file=sys.stderr)
    return EXIT_DEFECT
