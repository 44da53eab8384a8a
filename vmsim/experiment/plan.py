"""From a checked experiment to what has to be run: the record of the sweep, and a job for each row and seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vmsim
from vmsim.errors import VmsimError, unknown_name
from vmsim.experiment.inputs import digest_of, identity, input_files
from vmsim.experiment.pool import Job
from vmsim.experiment.record import Curves, Published, RowRecord, SweepRecord, spec_hash
from vmsim.spec.experiment import ExperimentSpec, ResolvedRun
from vmsim.spec.published import Failure

_MODEL = (
    *(f"{room}/**/*.py" for room in ("struct", "arch", "hw", "mm", "workload", "machine")),
    "units.py",
    "experiment/run*.py",
)
"""The sources that decide what a resolved spec and a seed give."""

_ABOUT = frozenset({"row_id", "row_name", "published", "kind", "tolerance", "facts", "at", "line"})
"""What a resolved run says for people and tables only."""


def model_fingerprint() -> str:
    """SHA-256 (hexadecimal) of the sources of the simulated machine."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for source in sorted(source for pattern in _MODEL for source in package.glob(pattern)):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0")
        digest.update(source.read_bytes())
    return digest.hexdigest()


def sweep_of(experiment: ExperimentSpec) -> SweepRecord:
    """The record of an experiment's sweep, under which its runs are stored."""
    outputs = experiment.outputs.model_dump(mode="json")
    specs = {
        run.row_id: {**run.model_dump(mode="json", exclude=set(_ABOUT)), "outputs": outputs} for run in experiment.runs
    }
    return SweepRecord(
        title=experiment.title,
        description=experiment.description,
        experiment=experiment.path,
        version=vmsim.__version__,
        model=model_fingerprint(),
        seed=experiment.seed,
        rows=tuple(_row(run, specs[run.row_id]) for run in experiment.runs),
        plots=experiment.plots,
        overrides=experiment.overrides,
        spec=specs,
        curves=Curves(experiment.curves.x or "", experiment.curves.y, dict(experiment.curves.marks)),
    )


def _row(run: ResolvedRun, spec: Mapping[str, Any]) -> RowRecord:
    return RowRecord(
        row_id=run.row_id,
        row_name=run.row_name,
        spec_hash=spec_hash(identity(dict(spec), {path: digest_of(path) for path in input_files(run)})),
        published={phase: _published(value) for phase, value in run.published.items()},
        kind=dict(run.kind),
        tolerance=dict(run.tolerance),
        facts=dict(run.facts),
        at=dict(run.at),
        line=run.line or "",
    )


def _published(value: int | Failure) -> Published:
    return Published(fails=value.fails, call=value.call) if isinstance(value, Failure) else Published(ns=value)


def jobs_of(experiment: ExperimentSpec, rows: Sequence[str] = (), seeds: int | None = None) -> list[Job]:
    """A job for each row (of those named, or of all) and each seed (the first so many, or those of the file).

    Raises VmsimError for a row that the experiment doesn't have.
    """
    known = [run.row_id for run in experiment.runs]
    for row in rows:
        if row not in known:
            raise VmsimError(unknown_name("row", row, known))
    numbers = experiment.seeds if seeds is None else tuple(range(seeds))
    chosen = [run for run in experiment.runs if not rows or run.row_id in rows]
    return [Job(run.row_id, number, run, experiment.seed, experiment.outputs) for run in chosen for number in numbers]
