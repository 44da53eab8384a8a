"""The step `show`: what it keeps, when, and where it can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmsim import load_results, run_experiment
from vmsim.errors import VmsimError
from vmsim.report.show import proc_text, run_text
from vmsim.spec.load import make_experiment

PROGRAM = [
    {"mmap": {"length": "4 * PAGE_SIZE", "as": "m"}},
    {"show": ["status"]},
    {"touch": {"addr": "m", "op": "write"}},
    {"compute": "1 ms"},
    {"show": ["status", "maps"]},
]


def test_texts_survive_the_result_directory(tmp_path: Path) -> None:
    """Two points of one program: VmRSS grows by a page between them; the file on disk says the same as the run."""
    experiment = make_experiment({"title": "t", "machine": "whiteboard", "program": PROGRAM})
    made = run_experiment(experiment, out=tmp_path / "out").runs[0]
    run = load_results(tmp_path / "out").runs[0]
    assert run.proc == made.proc
    assert [(shown.file, shown.task) for shown in run.proc] == [("status", "main"), ("status", "main"), ("maps", "main")]
    first, second = (int(shown.text.split("VmRSS:")[1].split()[0]) for shown in run.proc[:2])
    assert second - first == 4
    assert run.proc[1].t_ns - run.proc[0].t_ns >= 1_000_000
    assert proc_text(run, "status").count("==> status of main") == 2
    assert proc_text(run, "maps") == run.proc[2].text
    assert "maps" in run_text(run)
    with pytest.raises(VmsimError, match="kept: status, maps"):
        proc_text(run, "smaps")


def test_showing_takes_no_simulated_time() -> None:
    """The same program without the steps ends at the same nanosecond."""
    plain = [step for step in PROGRAM if "show" not in step]
    times = set()
    for program in (PROGRAM, plain):
        experiment = make_experiment({"title": "t", "machine": "whiteboard", "program": program})
        times.add(run_experiment(experiment).runs[0].sim_ns)
    assert len(times) == 1


def test_an_unknown_file_is_a_mistake() -> None:
    """The nearest name is offered."""
    with pytest.raises(VmsimError, match="did you mean 'smaps'"):
        make_experiment({"title": "t", "machine": "whiteboard", "program": [{"show": ["smap"]}]})
