"""From an experiment to its jobs and its record, and a whole sweep from Python."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import synthetic

import vmsim
from vmsim.errors import VmsimError
from vmsim.experiment.plan import jobs_of, model_fingerprint, sweep_of
from vmsim.experiment.record import Published, RunResult, sweep_from_json, sweep_to_json
from vmsim.experiment.sweep import run_experiment
from vmsim.spec.experiment import ExperimentSpec
from vmsim.spec.load import make_experiment

TOUCH = {"mmap": {"length": "1 MiB", "prot": ["PROT_READ"], "flags": ["MAP_PRIVATE", "MAP_ANONYMOUS"], "as": "map"}}


def experiment(**changes: Any) -> ExperimentSpec:
    rows: list[dict[str, Any]] = [
        {
            "name": "The first",
            "id": "onfault",
            "published": {"setup": "0.189 ms", "processing": {"fails": "ENOMEM", "call": "mprotect"}},
        },
        {
            "name": "The second",
            "id": "plain",
            "tolerance": {"setup": [50, 100]},
            "kind": {"setup": "fitted"},
            "facts": {"signals": 3},
        },
    ]
    data = {
        "title": "Two rows",
        "machine": {"title": "Tiny", "description": "d", "source": "s", "arch": "x86_64", "cpus": 1, "ram": "64 MiB"},
        "program": [
            {"phase": {"name": "setup", "steps": [TOUCH]}},
            {"phase": {"name": "processing", "steps": [{"compute": "1 us"}]}},
        ],
        "rows": rows,
        "seeds": [4, 9],
        "seed": 7,
        **changes,
    }
    return make_experiment(data)


@pytest.fixture(autouse=True)
def simulation(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Synthetic results instead of a simulation; `run_one` may be replaced."""
    module = types.ModuleType("vmsim.experiment.run")
    module.run_one = lambda run, seed_index, **given: synthetic.run(run.row_id, seed_index)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vmsim.experiment.run", module)
    monkeypatch.setattr(vmsim, "__version__", "0.1.0", raising=False)
    return module


def test_the_record_holds_what_is_published_and_the_resolved_spec() -> None:
    sweep = sweep_of(experiment(plots=["bars"]))
    first, second = sweep.rows
    assert first.published == {"setup": Published(189_000), "processing": Published(fails="ENOMEM", call="mprotect")}
    assert (second.tolerance, second.kind, second.facts) == ({"setup": (50, 100)}, {"setup": "fitted"}, {"signals": 3})
    assert (sweep.seed, sweep.plots, sweep.version) == (7, ("bars",), "0.1.0")
    assert sweep.spec["onfault"]["kernel"]["version"] == "4.4"
    assert sweep_from_json(sweep_to_json(sweep)) == sweep


def test_a_row_is_another_when_what_is_simulated_changes_and_only_then() -> None:
    hashes = [row.spec_hash for row in sweep_of(experiment()).rows]
    assert hashes[0] == hashes[1]  # these two rows differ only in what is published
    assert [row.spec_hash for row in sweep_of(experiment(title="Other", seeds=3, plots=["bars"])).rows] == hashes
    for change in (
        {"kernel": {"version": "4.3"}},
        {"outputs": {"histogram": False}},
        {"program": [TOUCH], "rows": [{"name": "x"}]},
    ):
        assert sweep_of(experiment(**change)).rows[0].spec_hash != hashes[0]


def test_there_is_a_job_for_each_row_and_seed() -> None:
    assert [job.key for job in jobs_of(experiment())] == [("onfault", 4), ("onfault", 9), ("plain", 4), ("plain", 9)]
    assert [job.key for job in jobs_of(experiment(), ["plain"], 3)] == [("plain", 0), ("plain", 1), ("plain", 2)]
    assert {job.seed for job in jobs_of(experiment())} == {7}
    with pytest.raises(VmsimError, match="no row 'plane'; did you mean 'plain'"):
        jobs_of(experiment(), ["plane"])


def test_the_fingerprint_is_of_the_model_and_stable() -> None:
    assert model_fingerprint() == model_fingerprint()
    assert len(model_fingerprint()) == 64


def test_an_experiment_runs_from_python_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = run_experiment(experiment(), seeds=1)
    assert list(results.runs) == [synthetic.run("onfault", 0), synthetic.run("plain", 0)]
    assert not list(tmp_path.iterdir())


def test_an_experiment_run_from_python_can_be_kept_and_resumed(tmp_path: Path, simulation: types.ModuleType) -> None:
    first = run_experiment(experiment(), seeds=1, out=tmp_path / "r")
    simulation.run_one = None  # type: ignore[attr-defined] - nothing is left to run
    assert run_experiment(experiment(), seeds=1, out=tmp_path / "r").runs == first.runs


@pytest.mark.parametrize(
    ("error", "kind"), [(ZeroDivisionError("oh"), RuntimeError), (VmsimError("sda is too small"), VmsimError)]
)
def test_failures_raise_in_python(simulation: types.ModuleType, error: Exception, kind: type[Exception]) -> None:
    def failing(run: Any, seed_index: int, **given: Any) -> RunResult:
        raise error

    simulation.run_one = failing  # type: ignore[attr-defined]
    with pytest.raises(kind, match=str(error)):
        run_experiment(experiment(), seeds=1)
