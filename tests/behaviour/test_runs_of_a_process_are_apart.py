"""A run leaves nothing behind: the same run gives the same result whatever ran before it in the process, on the same memory."""

from dataclasses import replace

import pytest

from vmsim.experiment.run import run_one
from vmsim.machine.build import build
from vmsim.spec.experiment import OutputsSpec
from vmsim.spec.load import make_experiment


def small(pages: int, accesses: int, prot: str) -> object:
    handler = {
        "on_signal": {
            "signal": "SIGSEGV",
            "as": "addr",
            "steps": [{"mprotect": {"addr": "addr", "length": 4096, "prot": "READ|WRITE"}}, {"mlock": {"addr": "addr", "length": 4096}}],
        }
    }
    experiment = make_experiment(
        {
            "title": "two runs",
            "machine": {"ram": "64 MiB", "devices": {"sda": {"type": "nvme"}}},
            "files": {"file": {"size": pages * 4096, "cached": "50 %"}},
            "tasks": [
                {
                    "name": "task",
                    "image": "none",
                    "capabilities": ["CAP_IPC_LOCK"],
                    "program": [
                        handler,
                        {"mmap": {"length": pages * 4096, "prot": prot, "file": "file", "as": "map"}},
                        {"access": {"region": "map", "pattern": {"type": "uniform"}, "count": accesses, "op": "write"}},
                    ],
                }
            ],
        }
    )
    return experiment.runs[0]


def test_a_run_does_not_depend_on_those_before_it():
    outputs = OutputsSpec()
    first, other = small(300, 900, "NONE"), small(900, 600, "READ|WRITE")
    results = [run_one(run, 0, seed=1, outputs=outputs) for run in (first, other, first, other)]
    plain = [replace(result, wall_s=0.0) for result in results]
    assert plain[0] == plain[2]
    assert plain[1] == plain[3]
    assert plain[0].sim_ns != plain[1].sim_ns


def test_the_tables_of_an_ended_machine_are_gone():
    kernel = build(small(8, 1, "READ|WRITE")).kernel
    kernel.release()
    with pytest.raises(AttributeError):
        kernel.vma[0, 0]
    with pytest.raises(AttributeError):
        assert kernel.k
