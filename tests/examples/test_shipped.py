"""Every machine and experiment that comes with vmsim checks, and runs at a reduced scale."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vmsim.cli import main
from vmsim.experiment.run import run_one
from vmsim.spec.load import load_experiment, make_experiment

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))

# Values of an experiment's own constants that make a run small; those that the experiment lacks are left out.
SMALL = {
    "size": "2 MiB", "accesses": "2000", "used": "32", "file": "2 MiB", "noise": "4 MiB", "noise_accesses": "200", "rounds": "50",
    "random": "100", "warm": "100",
}  # fmt: skip
MOST_ROWS = 8  # of a sweep
RAM = "128 MiB"


def small(path: Path) -> list[str]:
    """Options that reduce an experiment."""
    constants = yaml.safe_load(path.read_text("utf-8")).get("constants", {})
    return ["machine.ram=" + RAM, *(f"constants.{name}={value}" for name, value in SMALL.items() if name in constants)]


@pytest.mark.parametrize("path", [*CONFIGS, *EXPERIMENTS], ids=lambda path: path.stem)
def test_checks(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(path)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiment_runs_at_reduced_scale(path: Path) -> None:
    """Each row (a few of a sweep's) runs to its end, and each nanosecond of its tasks and CPUs has an owner."""
    experiment = load_experiment(path, small(path))
    for run in experiment.runs[:: -(-len(experiment.runs) // MOST_ROWS)]:
        result = run_one(run, 0, seed=experiment.seed, outputs=experiment.outputs)
        assert result.status == "ok", (run.row_id, result.stopped_by)
        assert all(phase.complete and sum(phase.ledger.values()) == phase.elapsed_ns for phase in result.phases)
        assert all(sum(cpu.ledger.values()) == result.sim_ns for cpu in result.cpus)
        assert sum(task.counters["accesses"] + task.counters["syscalls"] for task in result.tasks) > 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_machine_runs_a_program(path: Path) -> None:
    """A cold file is read through a mapping, and anonymous memory is written, on every machine."""
    pages = 8
    size = f"{pages} * PAGE_SIZE"
    experiment = make_experiment(
        {
            "title": "Every machine",
            "machine": path.stem,
            "files": {"file": {"size": "1 MiB", "cached": "none", **_device(path)}},
            "tasks": [
                {
                    "name": "reader",
                    "program": [
                        {"mmap": {"length": size, "prot": ["READ"], "file": "file", "as": "map"}},
                        {"access": {"region": "map", "pattern": {"type": "sequential"}, "count": pages}},
                        {"mmap": {"length": size, "as": "buffer"}},
                        {
                            "access": {
                                "region": "buffer",
                                "pattern": {"type": "sequential"},
                                "count": pages,
                                "op": "write",
                            }
                        },
                    ],
                }
            ],
        },
        [] if path.stem == "whiteboard" else ["machine.ram=" + RAM],
        ROOT,
    )
    result = run_one(experiment.runs[0], 0, seed=1, outputs=experiment.outputs)
    counters = result.tasks[0].counters
    assert result.status == "ok"
    assert counters["accesses"] == 2 * pages
    assert counters["ru_majflt"] >= 1
    assert counters["ru_minflt"] >= pages


def _device(path: Path) -> dict[str, str]:
    from vmsim.spec.load import load_machine

    return {"device": next(iter(load_machine(path).devices))}
